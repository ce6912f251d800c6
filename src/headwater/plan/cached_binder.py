"""Queries bound on empty tables, once per text and shape of what they read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from headwater.core.fragments import SelectSql
from headwater.core.names import ROOT
from headwater.core.secrets import redact
from headwater.errors import ProjectError
from headwater.project.cache import digest
from headwater.sql.placeholders import CLOCK_PROBE, column_before, fill_placeholders

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from headwater.core.commit import Column
    from headwater.project.cache import ParseCache
    from headwater.sql.binding import Binder
    from headwater.sql.catalogs import Catalogs

    Columns = tuple[Column, ...]


class CachedBinder:
    """Makes a binder, and the tables a query needs, only when something is not in the cache."""

    def __init__(self, catalogs: Catalogs, cache: ParseCache) -> None:
        self._catalogs = catalogs
        self._cache = cache
        self._binder: Binder | None = None
        self._added: dict[str, Columns] = {}

    def entry(
        self, text: str, inputs: Mapping[str, Columns], secrets: Collection[str] = (), domain: str = ROOT
    ) -> dict[str, Any]:
        """Return a query's `columns` (name and type each), or its `error`: what, fix, line and column of the text."""
        shapes = {name: [[column.name, column.type] for column in columns] for name, columns in sorted(inputs.items())}

        def make() -> dict[str, Any]:
            query, shifts = fill_placeholders(text, CLOCK_PROBE.get)
            try:
                columns = self._bind(SelectSql(query), inputs, domain)
            except ProjectError as error:
                column = column_before(shifts, error.line, error.column)
                return {"error": [redact(error.what, secrets), redact(error.fix, secrets), error.line, column]}
            return {"columns": [[column.name, column.type] for column in columns]}

        return dict(self._cache.get(digest("bind names", domain, text, json.dumps(shapes)), make))

    def _bind(self, query: SelectSql, inputs: Mapping[str, Columns], domain: str) -> Columns:
        from headwater.sql.binding import Binder

        if self._binder is None:
            self._binder = Binder(self._catalogs)
        for name, columns in inputs.items():
            if self._added.get(name) != columns:
                self._binder.add(name, columns)
                self._added[name] = columns
        return self._binder.bind(query, domain)

    def close(self) -> None:
        """Forget the tables."""
        if self._binder is not None:
            self._binder.close()
