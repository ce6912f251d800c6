"""Python models: the user's function is called with relations and gives one back."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.errors import UserCodeError
from headwater.sql.placeholders import quote_dataset

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from headwater.core.project import Model

OUTPUT = "_hw_python"


def call_model(model: Model, root: str, connection: DuckDBPyConnection) -> tuple[str, Any]:
    """Run a Python model on a connection.

    The function gets one DuckDB relation per input and returns a relation, an Arrow table or reader, a pandas or a
    polars frame.

    Returns:
        A SELECT of its rows on the connection, and an object that must stay alive until it has run.

    Raises:
        UserCodeError: The function gives something else.
    """
    import duckdb

    function = _load_function(model, root)
    inputs = {
        name: connection.sql(f"SELECT * FROM {quote_dataset(dataset)}") for name, dataset in model.arguments.items()
    }
    result = function(**inputs)
    if isinstance(result, duckdb.DuckDBPyRelation):
        return result.sql_query(), (result, inputs)
    if not (hasattr(result, "__arrow_c_stream__") or type(result).__module__.split(".")[0] in ("pandas", "polars")):
        raise UserCodeError(
            f"{model.function}() returned {type(result).__name__}",
            fix="return a relation, an Arrow table, a pandas or a polars frame",
            path=model.location.path,
            line=model.location.line,
        )
    connection.register(OUTPUT, result)
    return f"SELECT * FROM {OUTPUT}", (result, inputs)


def _load_function(model: Model, root: str) -> Any:
    """Import the model's file afresh, with its folder and the project's on the path."""
    file = Path(root) / model.location.path
    name = f"_headwater_model_{model.name.replace('.', '__')}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    paths = [str(file.parent), root]
    sys.path[:0] = paths
    try:
        spec.loader.exec_module(module)
    finally:
        for path in paths:
            sys.path.remove(path)
    return getattr(module, model.function)
