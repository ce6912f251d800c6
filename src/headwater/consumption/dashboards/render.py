"""The blocks of a page as HTML. Every text from data is escaped, and what nobody would see in it is written out."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from headwater.consumption.dashboards.blocks import Aggregate, BigNumberSpec, TableSpec, TextSpec
from headwater.consumption.dashboards.markdown import names_in, render_sentence
from headwater.consumption.dashboards.numbers import aggregate, difference, show_cell
from headwater.consumption.dashboards.parameters import NO_VALUE
from headwater.core.texts import visible
from headwater.errors import HeadwaterError, ProjectError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from headwater.consumption.dashboards.blocks import ShownBlock
    from headwater.consumption.dashboards.charts import Plot
    from headwater.consumption.dashboards.results import Cell, Result, ResultColumn

_NULL = f'<span class="null" aria-label="no value">{NO_VALUE}</span>'


def seen(text: str) -> str:
    """Return a text as HTML on one line."""
    return escape(visible(text, one_line=True))


def render_big_number(spec: BigNumberSpec, result: Result) -> str:
    """Return one number with its label, and how it compares.

    Raises:
        ProjectError: There is no such column, or several rows and no `agg`.
    """
    at = result.find(spec.value)
    column = result.columns[at]
    if spec.agg is None and result.count > 1:
        what = f"the query gives {result.count:,} rows, and one number is shown"
        raise ProjectError(what, fix="say agg: sum, avg, min, max, count, first or last; or give one row")
    value = aggregate(result.whole[at], column, spec.agg or Aggregate.FIRST)
    counted = spec.agg is Aggregate.COUNT
    shown = _shown_value(value, column, spec, counted=counted)
    label = f'<div class="label">{seen(spec.label or spec.value)}</div>'
    return f'<div class="number">{label}<div class="value">{shown}</div>{_compared(spec, result, value)}</div>'


def _shown_value(value: Cell, column: ResultColumn, spec: BigNumberSpec, *, counted: bool) -> str:
    if value is None:
        return _NULL
    if counted:
        column = type(column)(column.name, "BIGINT")
    return escape(show_cell(value, column, spec.format))


def _compared(spec: BigNumberSpec, result: Result, value: Cell) -> str:
    if spec.compare is None:
        return ""
    at = result.find(spec.compare)
    agg = spec.agg or Aggregate.FIRST
    for place in (at, result.find(spec.value)):
        if not result.columns[place].is_number and agg is not Aggregate.COUNT:
            column = result.columns[place]
            raise ProjectError(f"compare is for numbers; {column.name} is {column.type}", fix="leave compare out")
    other = aggregate(result.whole[at], result.columns[at], agg)
    told = difference(value, other)
    against = f"{seen(spec.compare_label or spec.compare)} " + _shown_value(
        other, result.columns[at], spec, counted=agg is Aggregate.COUNT
    )
    if told is None:
        return f'<div class="compare">{NO_VALUE} against {against}</div>'
    by, share = told
    way = "same" if not by.strip("-0.") else "down" if by.startswith("-") else "up"
    shown = _shown_value(by, result.columns[at], spec, counted=agg is Aggregate.COUNT)
    sign = "+" if way == "up" else ""
    return f'<div class="compare {way}">{sign}{shown}{f" ({share})" if share else ""} against {against}</div>'


def render_sentence_block(block: ShownBlock, spec: TextSpec, result: Result, params: Mapping[str, str]) -> str:
    """Return the sentence of a `text` block with the values of its one row.

    Raises:
        ProjectError: There is not one row, or no such column.
    """
    if result.count == 0 and spec.empty is not None:
        return f"<p>{render_sentence(block.empty, params, {})}</p>"
    if result.count != 1:
        what = f"the query gives {result.count:,} rows; a text is made of one"
        raise ProjectError(what, fix="add empty: … for no row" if not result.count else "aggregate in SQL, or LIMIT 1")
    values = {}
    for name in names_in(block.sentence, "value"):
        column, form = _column_and_form(name, result)
        values[name] = show_cell(result.rows[0][column], result.columns[column], form)
    return f"<p>{render_sentence(block.sentence, params, values)}</p>"


def _column_and_form(name: str, result: Result) -> tuple[int, str | None]:
    """Read `revenue` or `revenue:,.2f`."""
    from headwater.consumption.dashboards.blocks import is_format

    column, colon, form = name.rpartition(":")
    if colon and is_format(f"{{:{form}}}"):
        return result.find(column), f"{{:{form}}}"
    return result.find(name), None


def render_table(spec: TableSpec, result: Result) -> str:
    """Return a table of the first rows.

    Raises:
        ProjectError: There is no such column, or a format does not fit one.
    """
    places = [result.find(name) for name in spec.columns] if spec.columns else list(range(len(result.columns)))
    labels = {result.find(name): label for name, label in spec.labels.items()}
    formats = {result.find(name): form for name, form in spec.formats.items()}
    shown = min(spec.rows, result.count)
    count = f"{result.count:,} row{'' if result.count == 1 else 's'}"
    cut = f"{shown:,} of {count}" if shown < result.count else count
    caption = f"{seen(spec.title)} <span>{cut}</span>" if spec.title else f"<span>{cut}</span>"
    named = spec.title or f"Rows of {spec.query}"
    return _table(named, caption, result, places, labels, formats, result.rows[:shown])


def _table(
    named: str,
    caption: str,
    result: Result,
    places: Sequence[int],
    labels: Mapping[int, str],
    formats: Mapping[int, str],
    rows: Sequence[tuple[Cell, ...]],
) -> str:
    columns = result.columns
    kinds = {at: ' class="n"' if columns[at].is_number else "" for at in places}
    head = "".join(f'<th scope="col"{kinds[at]}>{seen(labels.get(at, columns[at].name))}</th>' for at in places)
    body = []
    for row in rows:
        cells = (_cell(row[at], columns[at], formats.get(at), kinds[at]) for at in places)
        body.append(f"<tr>{''.join(cells)}</tr>")
    lines = "\n".join(body)
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{seen(named)}"><table><caption>{caption}</caption>'
        f"<thead><tr>{head}</tr></thead>\n<tbody>{lines}</tbody></table></div>"
    )


def _cell(value: Cell, column: ResultColumn, form: str | None, kind: str) -> str:
    inner = _NULL if value is None else escape(show_cell(value, column, form, in_table=True))
    return f"<td{kind}>{inner}</td>"


def render_chart(plot: Plot, drawing: str, result: Result) -> str:
    """Return a drawn chart with its caption, and the exact values of its rows beside it."""
    note = f' <span class="note">{escape(plot.note)}.</span>' if plot.note else ""
    count = f"{result.count:,} row{'' if result.count == 1 else 's'}"
    table = _table(f"Data of {plot.caption}", f"<span>{count}</span>", result, plot.columns, {}, {}, result.rows)
    return (
        f'<figure class="chart"><figcaption>{seen(plot.caption)}{note}</figcaption>'
        f'<div class="drawing">{drawing}</div>'
        f"<details><summary>Data: {count}</summary>{table}</details></figure>"
    )


def render_empty(caption: str) -> str:
    """Return what stands in the place of a chart without rows."""
    return f'<figure class="chart"><figcaption>{seen(caption)}</figcaption><p class="empty">No rows.</p></figure>'


def render_problem(where: str, word: str, error: HeadwaterError) -> str:
    """Return what stands in the place of a block that cannot be shown."""
    fix = f'<div class="fix">{seen(error.fix)}</div>' if error.fix else ""
    return (
        f'<div class="problem" role="note"><strong>This {seen(word)} cannot be shown.</strong> {seen(error.what)}'
        f'{fix}<div class="where">{seen(where)}</div></div>'
    )
