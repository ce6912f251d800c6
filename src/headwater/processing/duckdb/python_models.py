"""Python models: the user's function is called with relations and gives one back."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.core.fragments import SelectSql, quote_dataset
from headwater.decorators import objects_in
from headwater.errors import UserCodeError
from headwater.project_code import compile_from_text, is_of_project, load_module
from headwater.sql.binding import tell_apart

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from duckdb import DuckDBPyConnection

    from headwater.core.project import Model

OUTPUT = "_hw_python"
_CALLING = threading.RLock()


def call_model(
    model: Model, root: str, connection: DuckDBPyConnection, folders: Sequence[str] = ()
) -> tuple[SelectSql, Any]:
    """Run a Python model on a connection; `object_path` looks in the folders.

    The function gets one DuckDB relation per input and returns a relation, an Arrow table or reader, a pandas or a
    polars frame.

    Returns:
        A SELECT of its rows on the connection, and an object that must stay alive until it has run.

    Raises:
        UserCodeError: The function gives something else.
    """
    import duckdb

    with _project_on_path(model, root), objects_in(folders):
        function = _load_function(model, root)
        inputs = {
            name: connection.sql(f"SELECT * FROM {quote_dataset(dataset)}") for name, dataset in model.arguments.items()
        }
        result = function(**inputs)
        if isinstance(result, duckdb.DuckDBPyRelation):
            if _runs_on(connection, result.sql_query()):
                return SelectSql(result.sql_query()), (result, inputs)
            result = result.to_arrow_table()
        if hasattr(result, "read_all"):  # a reader over an input runs on the connection that would wait for it
            result = result.read_all()
    if not (hasattr(result, "__arrow_c_stream__") or type(result).__module__.split(".")[0] in ("pandas", "polars")):
        raise UserCodeError(
            f"{model.function}() returned {type(result).__name__}",
            fix="return a relation, an Arrow table, a pandas or a polars frame",
            path=model.location.path,
            line=model.location.line,
        )
    connection.register(OUTPUT, _with_single_names(result))
    return SelectSql(f"SELECT * FROM {OUTPUT}"), (result, inputs)


def _with_single_names(result: Any) -> Any:
    """Tell columns of one name apart the way DuckDB does: `a`, `a_1`."""
    if hasattr(result, "column_names"):
        names = list(result.column_names)
    else:  # a frame of polars has every name once, and a lazy one would be computed to tell
        names = list(map(str, result.columns)) if type(result).__module__.startswith("pandas") else []
    if len({name.casefold() for name in names}) == len(names):
        return result
    single = tell_apart(names)
    return result.rename_columns(single) if hasattr(result, "rename_columns") else result.set_axis(single, axis=1)


def _runs_on(connection: DuckDBPyConnection, query: str) -> bool:
    """Whether a relation's SQL says all of it: one over a Python object, or of another connection, does not."""
    import duckdb

    try:
        connection.execute(f"DESCRIBE\n{query}")
    except duckdb.Error:
        return False
    return True


@contextmanager
def _project_on_path(model: Model, root: str) -> Iterator[None]:
    """Let the model import from its own folder and from the project's, afresh: two folders may have files of one name.

    What others had imported before is left alone. One model is called at a time: what is imported by a name is one
    thing in a process, and a model beside it would get this one's.
    """
    paths = [str((Path(root) / model.location.path).parent), root]
    with _CALLING:
        compile_from_text(root)
        before = set(sys.modules)
        sys.path[:0] = paths
        try:
            yield
        finally:
            for path in paths:
                sys.path.remove(path)
            for name in [name for name in set(sys.modules) - before if is_of_project(sys.modules[name], Path(root))]:
                del sys.modules[name]


def _load_function(model: Model, root: str) -> Any:
    """Import the model's file, whatever was imported before."""
    module = load_module(f"_headwater_model_{model.name.replace('.', '__')}", Path(root) / model.location.path)
    return getattr(module, model.function)
