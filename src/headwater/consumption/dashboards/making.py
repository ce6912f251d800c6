"""A page is made: its queries are run once, its blocks shown, its charts drawn, and one file is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from headwater.consumption.dashboards.blocks import BigNumberSpec, ChartSpec, ShownBlock, TableSpec, TextSpec
from headwater.consumption.dashboards.charts import MAX_POINTS, Plot, make_plot
from headwater.consumption.dashboards.drawing import Drawn, draw_charts
from headwater.consumption.dashboards.markdown import Prose, first_heading, render_prose
from headwater.consumption.dashboards.page import Head, PagePart, write_page
from headwater.consumption.dashboards.render import (
    render_big_number,
    render_chart,
    render_empty,
    render_problem,
    render_sentence_block,
    render_table,
)
from headwater.consumption.dashboards.results import Result, Wanted, revive, run_query
from headwater.consumption.dashboards.svg import clean_svg
from headwater.consumption.dashboards.vega import CONFIG
from headwater.contracts.consumer import Made
from headwater.core.graph import Location
from headwater.errors import HeadwaterError, ProjectError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headwater.consumption.dashboards.declaration import DeclaredPage
    from headwater.consumption.dashboards.parameters import Parameters
    from headwater.contracts.consumer import Consumption
    from headwater.core.consumer import ConsumerQuery
    from headwater.core.fragments import SelectSql

FILE = "index.html"

MAX_PAGE_BYTES = 10_000_000
"""A larger page is refused: no browser likes it, and nobody reads it."""


@dataclass(slots=True)
class _Waiting:
    """A chart that is to be drawn: where its part stands, and what it is."""

    part: int
    block: ShownBlock
    plot: Plot
    result: Result


@dataclass(slots=True)
class _Making:
    """A page while it is made."""

    params: Parameters
    answers: Mapping[str, Result | HeadwaterError]
    parts: list[PagePart] = field(default_factory=list)
    problems: list[tuple[Location, str]] = field(default_factory=list)
    charts: list[_Waiting] = field(default_factory=list)

    def add(self, piece: Prose | ShownBlock) -> None:
        if isinstance(piece, Prose):
            self.parts.append(PagePart(render_prose(piece.tokens, self.params.texts)))
            return
        try:
            answer = self.answers[piece.spec.query]
            if isinstance(answer, HeadwaterError):
                raise answer
            self.parts.append(self._show(piece, answer))
        except HeadwaterError as error:
            self.parts.append(self._problem(piece, error))

    def _show(self, block: ShownBlock, result: Result) -> PagePart:
        spec = block.spec
        if isinstance(spec, BigNumberSpec):
            return PagePart(render_big_number(spec, result), is_number=True)
        if isinstance(spec, TableSpec):
            return PagePart(render_table(spec, result))
        if isinstance(spec, TextSpec):
            return PagePart(render_sentence_block(block, spec, result, self.params.texts))
        if not isinstance(spec, ChartSpec):
            raise ProjectError(f"{block.word} is no block")
        plot = make_plot(spec, result)
        if result.count == 0:
            return PagePart(render_empty(plot.caption))
        self.charts.append(_Waiting(len(self.parts), block, plot, result))
        return PagePart("")

    def _problem(self, block: ShownBlock, error: HeadwaterError) -> PagePart:
        place = Location(error.path, error.line, error.column) if error.path else block.location
        fix = f" (fix: {error.fix})" if error.fix else ""
        word = block.word if place.line == block.location.line else f"{block.word} in line {block.location.line}"
        self.problems.append((block.location, f"{place}: {word}: {error.what}{fix}"))
        return PagePart(render_problem(str(place), block.word, error))

    def draw(self) -> None:
        """Draw the charts, all in one process, and put them in their places."""
        if not self.charts:
            return
        drawings = draw_charts([chart.plot.spec for chart in self.charts], CONFIG)
        for number, (chart, drawn) in enumerate(zip(self.charts, drawings, strict=True), 1):
            try:
                svg = _take(drawn, number, chart.plot.caption)
                part = PagePart(render_chart(chart.plot, svg, chart.result))
            except HeadwaterError as error:
                part = self._problem(chart.block, error)
            self.parts[chart.part] = part


def _take(drawn: Drawn, number: int, label: str) -> str:
    if drawn.problem:
        raise HeadwaterError(f"it was not drawn: {drawn.problem}")
    return clean_svg(drawn.svg, f"chart{number}-", label)


def make_page(page: DeclaredPage, description: str, owner: str, consumption: Consumption) -> Made:
    """Make a page in the consumption's folder.

    Raises:
        HeadwaterError: The page is too large, or it has charts and the extra `charts` is not installed.
    """
    blocks = [piece for piece in page.pieces if isinstance(piece, ShownBlock)]
    making = _Making(page.params, _ask(page, blocks, consumption))
    for piece in page.pieces:
        making.add(piece)
    making.draw()
    head = Head(
        page.title,
        description,
        owner,
        page.params.texts,
        consumption.versions,
        consumption.now,
        first_heading(page.pieces),
    )
    content = write_page(head, making.parts).encode(errors="replace")
    if len(content) > MAX_PAGE_BYTES:
        what = f"the page would have {len(content):,} bytes; {MAX_PAGE_BYTES:,} are the most"
        raise HeadwaterError(what, fix="aggregate in SQL, or show fewer rows and columns", path=blocks[0].location.path)
    (consumption.folder / FILE).write_bytes(content)
    results = {name: answer for name, answer in making.answers.items() if isinstance(answer, Result)}
    return Made(
        rows=sum(result.count for result in results.values()),
        details={
            "title": page.title,
            "queries": {name: result.count for name, result in results.items()},
            "charts": len(making.charts),
            "bytes": len(content),
        },
        problems=tuple(text for _, text in sorted(making.problems, key=lambda problem: problem[0].line)),
    )


def _ask(
    page: DeclaredPage, blocks: Sequence[ShownBlock], consumption: Consumption
) -> dict[str, Result | HeadwaterError]:
    """Run each query that a block shows, once; one that fails has its error instead of its rows."""
    wanted: dict[str, Wanted] = {}
    for block in blocks:
        _want(wanted.setdefault(block.spec.query, Wanted()), block)
    asked = {query.name: query for query in page.queries if query.name in wanted}
    answers: dict[str, Result | HeadwaterError] = {}
    waiting = list(asked)
    while waiting:
        name = waiting.pop(0)
        run = partial(_run, consumption, consumption.queries.get(name), asked[name], wanted[name])
        answers[name] = run()
        if isinstance(answers[name], HeadwaterError) and revive(consumption.connection):
            # What was read before was of a transaction that is gone: one page is of one.
            waiting = [name for name in asked if not isinstance(answers.get(name), HeadwaterError)]
    return {name: answers[name] for name in asked}


def _run(
    consumption: Consumption, sql: SelectSql | None, query: ConsumerQuery, wanted: Wanted
) -> Result | HeadwaterError:
    if sql is None:
        return ProjectError.at(query.location, "the query was not bound", "run headwater check")
    try:
        return run_query(consumption.connection, sql, wanted)
    except HeadwaterError as error:
        place = query.place(error.line, error.column)
        return HeadwaterError(error.what, fix=error.fix, path=place.path, line=place.line, column=place.column)


def _want(wanted: Wanted, block: ShownBlock) -> None:
    spec = block.spec
    if isinstance(spec, BigNumberSpec):
        wanted.whole |= {spec.value, *([spec.compare] if spec.compare else [])}
    elif isinstance(spec, TableSpec):
        wanted.rows = max(wanted.rows, spec.rows)
    elif isinstance(spec, ChartSpec):
        wanted.rows = max(wanted.rows, MAX_POINTS)
    else:
        wanted.rows = max(wanted.rows, 1)
