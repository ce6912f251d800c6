"""What OpenLineage calls the places rows come from and go to: (namespace, name), by its naming specification.

The specification has no word for DuckDB, SQLite and APIs; these follow its rule: the namespace is the place, the name
is the path within it. Of a connection only host, port and database are ever taken.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from headwater.core.project import Project, SourceTable

Name = tuple[str, str]
"""(namespace, name)."""


def name_dataset(project: Project, dataset: str, location: str) -> Name:
    """Return the name of a stored dataset.

    Args:
        project: The project.
        dataset: The dataset.
        location: Where its store says it is; "" when it was not written yet.
    """
    store = project.stores[project.store_of(dataset)]
    path = Path(store.path).resolve()
    namespace, _, name = dataset.rpartition(".")
    physical = f"{namespace.replace('.', '__')}.{name}"
    if store.kind == "warehouse":
        return f"duckdb://{path}", f"{path.stem}.{physical}"
    return "file", str(Path(location).resolve() if location else path / physical.replace(".", "/"))


def name_source(project: Project, table: SourceTable) -> Name:
    """Return the name of what a source's table is read from."""
    namer = _NAMERS.get(table.kind)
    return namer(project.root, table) if namer else (f"{table.kind}://{table.source}", table.table)


def _name_file(root: str, table: SourceTable) -> Name:
    base = getattr(table.connection, "path", "") or ""
    return "file", str(Path(root, base, getattr(table.options, "path", "")))


def _name_sqlite(root: str, table: SourceTable) -> Name:
    path = Path(root, str(getattr(table.connection, "path", ""))).resolve()
    return f"sqlite://{path}", str(getattr(table.options, "table", None) or table.table)


def _name_rest(_: str, table: SourceTable) -> Name:
    parts = urlsplit(str(getattr(table.connection, "connection", "")))
    port = f":{parts.port}" if parts.port else ""
    path = str(getattr(table.options, "path", ""))
    return f"{parts.scheme}://{parts.hostname}{port}", f"{parts.path.rstrip('/')}/{path.lstrip('/')}"


def _name_postgres(_: str, table: SourceTable) -> Name:
    host, port, database = _postgres_place(getattr(table.connection, "connection", ""))
    schema = getattr(table.connection, "database_schema", "public")
    name = str(getattr(table.options, "table", None) or table.table)
    return f"postgres://{host}:{port}", f"{database}.{name if '.' in name else f'{schema}.{name}'}"


def _postgres_place(connection: str | Mapping[str, Any]) -> tuple[str, str, str]:
    """Return host, port and database of a connection in any of its three spellings."""
    if isinstance(connection, str) and "://" in connection:
        parts = urlsplit(connection)
        return parts.hostname or "localhost", str(parts.port or 5432), parts.path.strip("/") or "postgres"
    words = connection if not isinstance(connection, str) else dict(re.findall(r"(\w+)\s*=\s*(\S+)", connection))
    host, port = str(words.get("host", "localhost")), str(words.get("port", 5432))
    return host, port, str(words.get("dbname", words.get("database", "postgres")))


_NAMERS: dict[str, Callable[[str, SourceTable], Name]] = {
    "files": _name_file,
    "logs": _name_file,
    "sqlite": _name_sqlite,
    "rest": _name_rest,
    "postgres": _name_postgres,
}
