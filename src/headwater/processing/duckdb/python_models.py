"""Python models: the user's function is called with relations and gives one back."""

from __future__ import annotations

import importlib.util
import sys
import sysconfig
import threading
from contextlib import contextmanager
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    SourceFileLoader,
)
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.core.fragments import SelectSql, quote_dataset
from headwater.decorators import objects_in
from headwater.errors import UserCodeError
from headwater.sql.binding import tell_apart

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import CodeType, ModuleType

    from duckdb import DuckDBPyConnection

    from headwater.core.project import Model

OUTPUT = "_hw_python"
_CALLING = threading.RLock()

_PYTHON = {Path(place) for place in sysconfig.get_paths().values()}
"""Where Python keeps its own modules and those that are installed."""

_ROOTS: set[str] = set()
"""The folders of projects whose models were called."""


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
        _compile_from_text(root)
        before = set(sys.modules)
        sys.path[:0] = paths
        try:
            yield
        finally:
            for path in paths:
                sys.path.remove(path)
            for name in [name for name in set(sys.modules) - before if _is_of_project(sys.modules[name], Path(root))]:
                del sys.modules[name]


def _load_function(model: Model, root: str) -> Any:
    """Import the model's file, whatever was imported before."""
    name, path = f"_headwater_model_{model.name.replace('.', '__')}", Path(root) / model.location.path
    loader = _TextLoader(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    assert spec is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    importlib.invalidate_caches()
    loader.exec_module(module)
    return getattr(module, model.function)


class _TextLoader(SourceFileLoader):
    """Compiles a file's text, whatever byte code is there: of a text of before it is taken for this one's.

    Python compares size and time in whole seconds only: https://docs.python.org/3/reference/import.html#pyc-invalidation
    """

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


def _compile_from_text(root: str) -> None:
    """Have what is imported from a project's folder from now on compiled from its text."""
    if not _ROOTS:
        sys.path_hooks.insert(0, _find_text)
    _ROOTS.add(root)
    for path in [path for path in sys.path_importer_cache if Path(path).is_relative_to(root)]:
        sys.path_importer_cache.pop(path, None)


def _find_text(path: str) -> FileFinder:
    """Find modules in a folder of a project; anything else is left to Python's own finders."""
    folder = Path(path)
    if not folder.is_dir() or not any(_is_own(folder, Path(root)) for root in _ROOTS):
        raise ImportError(f"{path} is no folder of a project")
    return FileFinder(path, (ExtensionFileLoader, EXTENSION_SUFFIXES), (_TextLoader, SOURCE_SUFFIXES))


def _is_of_project(module: ModuleType, root: Path) -> bool:
    """Whether a module, or a package without a file of its own, lies in a project."""
    places = [getattr(module, "__file__", None), *(getattr(module, "__path__", None) or ())]
    return any(_is_own(Path(place), root) for place in places if place)


def _is_own(place: Path, root: Path) -> bool:
    """Whether a place is in a project, and not in an environment or in Python itself that lie in it."""
    if not place.is_relative_to(root) or "site-packages" in place.relative_to(root).parts:
        return False
    return not any(place.is_relative_to(other) for other in _PYTHON if not root.is_relative_to(other))
