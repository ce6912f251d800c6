"""What the blocks of a page name of their queries' columns, seen before anything runs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from headwater.consumption.dashboards.blocks import (
    BigNumberSpec,
    ChartSpec,
    ShownBlock,
    TableSpec,
    TextSpec,
    is_format,
)
from headwater.consumption.dashboards.markdown import names_in
from headwater.consumption.dashboards.results import find_column
from headwater.consumption.dashboards.vega import check_fields
from headwater.errors import ProjectError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from headwater.consumption.dashboards.declaration import DeclaredPage


def find_missing(page: DeclaredPage, columns: Mapping[str, Sequence[str]]) -> Iterator[ProjectError]:
    """Yield an error for each column that a block names and its query does not give; `columns` are those by query."""
    for block in page.pieces:
        if isinstance(block, ShownBlock) and block.spec.query in columns:
            known = columns[block.spec.query]
            checks: list[partial[Any]] = [partial(find_column, known, name) for name in _named(block)]
            if isinstance(block.spec, ChartSpec) and block.spec.spec is not None:
                checks.append(partial(check_fields, block.spec.spec, known))
            for check in checks:
                try:
                    check()
                except ProjectError as error:
                    yield ProjectError.at(block.location, f"{block.word}: {error.what}", error.fix)


def _named(block: ShownBlock) -> Iterator[str]:
    spec = block.spec
    if isinstance(spec, BigNumberSpec):
        yield from (name for name in (spec.value, spec.compare) if name)
    elif isinstance(spec, TableSpec):
        yield from (*(spec.columns or ()), *spec.labels, *spec.formats)
    elif isinstance(spec, ChartSpec):
        yield from (name for name in (spec.x, *(spec.y or ()), spec.color) if name)
    elif isinstance(spec, TextSpec):
        for name in (*names_in(block.sentence, "value"), *names_in(block.empty, "value")):
            column, colon, form = name.rpartition(":")
            yield column if colon and is_format(f"{{:{form}}}") else name
