"""A chart's block and its rows become a Vega-Lite spec with data: what would be drawn wrongly is refused."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headwater.consumption.dashboards.blocks import MOST_COLOURS, ChartSpec, Mark
from headwater.consumption.dashboards.parameters import NO_VALUE
from headwater.consumption.dashboards.vega import LABELS_WIDTH, LINE, PALETTE, TIMES, WIDTH, check_fields
from headwater.core.texts import visible
from headwater.errors import ProjectError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headwater.consumption.dashboards.results import Cell, Result, ResultColumn

MAX_POINTS = 5_000
"""A chart of more points is refused, never thinned out."""

_AGGREGATE = "aggregate in SQL: by week or month, or the largest of them"
_ISO = re.compile(r"[0-9]{4}-.*")
_COMPOSED = frozenset({"facet", "repeat", "concat", "hconcat", "vconcat"})


@dataclass(frozen=True, slots=True)
class Plot:
    """What is drawn.

    Attributes:
        spec: Vega-Lite, with its data.
        caption: What it shows.
        columns: Places of the columns that it shows.
        note: What of the rows is not drawn; "" when all is.
    """

    spec: dict[str, Any] = field(repr=False)
    caption: str
    columns: tuple[int, ...]
    note: str = ""


def make_plot(block: ChartSpec, result: Result) -> Plot:
    """Return what a chart draws of a result.

    Raises:
        ProjectError: A column is not there, there are too many rows or colours, or the chart would hide rows.
    """
    points = result.count * len(block.y or ("",))
    if points > MAX_POINTS:
        what = f"the query gives {result.count:,} rows; a chart draws {MAX_POINTS:,} points at most"
        raise ProjectError(what, fix=_AGGREGATE)
    return _declared_plot(block, result) if block.spec is not None else _short_plot(block, result)


def _declared_plot(block: ChartSpec, result: Result) -> Plot:
    spec = {key: value for key, value in (block.spec or {}).items() if key not in ("$schema", "usermeta")}
    names = [column.name for column in result.columns]
    check_fields(spec, names)
    values = [
        {name: _drawn(cell, column) for name, cell, column in zip(names, row, result.columns, strict=True)}
        for row in result.rows
    ]
    encoding = spec.get("encoding")
    if not _COMPOSED & {*spec, *(encoding if isinstance(encoding, dict) else ()), *_facets(encoding)}:
        spec = {"width": WIDTH - 80, "height": block.height, **spec}
    lost = _count_lost(result, range(len(names)))
    title = spec.get("title")
    caption = block.title or (title if isinstance(title, str) else f"The rows of {block.query}")
    return Plot({**spec, "data": {"values": values}}, caption, tuple(range(len(names))), _note(lost))


def _facets(encoding: Any) -> set[str]:
    found = {"row", "column"} & set(encoding) if isinstance(encoding, dict) else set()
    return {"facet"} if found else set()


def _short_plot(block: ChartSpec, result: Result) -> Plot:
    x = result.find(block.x or "")
    ys = [result.find(name) for name in block.y or ()]
    colour = result.find(block.color) if block.color else None
    columns = result.columns
    horizontal = block.mark is Mark.BAR and columns[x].is_number and not columns[ys[0]].is_number
    if block.mark not in (Mark.POINT, Mark.RECT):
        _require_numbers([columns[at] for at in ([x] if horizontal else ys)], block)
    shown = dict.fromkeys([x, *ys, *([] if colour is None else [colour])])
    values = list(_points(result, x, ys, colour))
    encoding = {
        "x": _position(block, "x", columns[x], result, x),
        "y": _position(block, "y", columns[ys[0]], result, ys[0], several=len(ys) > 1),
        **_colouring(block, result, colour, [columns[y].name for y in ys], values),
    }
    if block.mark is not Mark.POINT:
        _refuse_doubled(block, result, values, "y" if horizontal else "x")
    spec = {
        "width": WIDTH - _room_of_axis(columns[ys[0]], [row[ys[0]] for row in result.rows]),
        "height": {"step": 22} if horizontal else block.height,
        "mark": _mark(block, values, ordered=columns[x].is_number or columns[x].is_time),
        "encoding": _stacked(block, encoding, "x" if horizontal else "y"),
        "data": {"values": values},
    }
    names = [columns[y].name for y in ys]
    caption = block.title or f"{', '.join(names)} by {columns[x].name}"
    return Plot(spec, caption, tuple(shown), _note(_count_lost(result, shown)))


def _require_numbers(columns: Sequence[ResultColumn], block: ChartSpec) -> None:
    for column in columns:
        if not column.is_number:
            what = f"{block.mark} draws numbers; {column.name} is {column.type}"
            raise ProjectError(what, fix="cast it in SQL, or choose another column")


def _points(result: Result, x: int, ys: Sequence[int], colour: int | None) -> Sequence[dict[str, Any]]:
    """Return the rows as they are drawn: one for each y."""
    columns = result.columns
    found = []
    for row in result.rows:
        for y in ys:
            point: dict[str, Any] = {"x": _drawn(row[x], columns[x]), "y": _drawn(row[y], columns[y])}
            if colour is not None:
                point["c"] = _drawn(row[colour], columns[colour])
            elif len(ys) > 1:
                point["c"] = columns[y].name
            found.append(point)
    return found


def _drawn(cell: Cell, column: ResultColumn) -> Any:
    """Return a value as a chart draws it: the nearest double, an ISO time, or a text; None where it has no place."""
    if column.is_number:
        number = math.nan if cell is None else float(cell)
        return number if math.isfinite(number) else None
    if column.is_time:
        return cell.replace(" ", "T") if cell is not None and _ISO.fullmatch(cell) else None
    return NO_VALUE if cell is None else visible(cell, one_line=True)


def _count_lost(result: Result, columns: Any) -> int:
    """Count rows of which something has no place in a drawing: no value, NaN, infinity, a year beyond 9999."""
    places = [at for at in columns if result.columns[at].is_number or result.columns[at].is_time]
    return sum(any(_drawn(row[at], result.columns[at]) is None for at in places) for row in result.rows)


def _note(lost: int) -> str:
    if not lost:
        return ""
    return f"{lost:,} row{'s have' if lost != 1 else ' has'} a value that cannot be drawn (none, NaN or infinite)"


def _position(
    block: ChartSpec, axis: str, column: ResultColumn, result: Result, at: int, *, several: bool = False
) -> dict[str, Any]:
    label = block.x_label if axis == "x" else block.y_label
    said: dict[str, Any] = {"field": axis, "title": label or (None if several else visible(column.name))}
    if column.is_time:
        unit = _time_unit([row[at] for row in result.rows]) if block.mark in (Mark.BAR, Mark.RECT) else None
        if unit is None:
            return {**said, "type": "temporal", "axis": {"format": TIMES}}
        return {**said, "type": "temporal", "timeUnit": unit, "axis": _in_the_middle(unit) if axis == "x" else {}}
    discrete = block.mark is Mark.RECT or (block.mark is Mark.BAR and axis == "x" and not _is_horizontal(block, result))
    if column.is_number and not discrete:
        return {**said, "type": "quantitative", "scale": {"zero": block.mark in (Mark.BAR, Mark.AREA)}}
    turned = {"axis": {"labelAngle": 0}} if axis == "x" and _fit_side_by_side([row[at] for row in result.rows]) else {}
    return {**said, **turned, **({"type": "ordinal"} if column.is_number else {"type": "nominal", "sort": None})}


def _in_the_middle(unit: str) -> dict[str, Any]:
    """Write labels of time below the middle of their bars, not below where these begin."""
    width = f"(scale('x', {_LENGTHS_MS[unit]}) - scale('x', 0)) / 2"
    return {"labelOffset": {"expr": width}, "labelBound": True}


_DAY_MS = 86_400_000
_LENGTHS_MS = {
    "year": 365 * _DAY_MS,
    "yearmonth": 30 * _DAY_MS,
    "yearmonthdate": _DAY_MS,
    "yearmonthdatehours": 3_600_000,
    "yearmonthdatehoursminutes": 60_000,
    "yearmonthdatehoursminutesseconds": 1_000,
}


def _fit_side_by_side(cells: Sequence[Cell]) -> bool:
    """Whether the labels of an axis have room without being turned."""
    labels = {cell or "" for cell in cells}
    return max(map(len, labels), default=0) * _LETTER < (WIDTH - 80) / max(len(labels), 1)


_LETTER = 7.0
"""Width of a letter in CSS pixels, and a little more."""


def _room_of_axis(column: ResultColumn, cells: Sequence[Cell]) -> int:
    """Return how much of the width the labels and the title of the vertical axis take."""
    longest = 0 if column.is_number or column.is_time else max((len(cell or "") for cell in cells), default=0)
    return 36 + max(LABELS_WIDTH, min(round(longest * _LETTER), 180))


def _is_horizontal(block: ChartSpec, result: Result) -> bool:
    return not result.columns[result.find((block.y or [""])[0])].is_number


def _time_unit(cells: Sequence[Cell]) -> str | None:
    """Return the largest unit of time on whose starts all values stand: so wide are bars."""
    texts = {cell for cell in cells if cell is not None}
    ends = [("-01-01", "year"), ("-01", "yearmonth"), ("", "yearmonthdate")]
    days = {text[:10] for text in texts if re.fullmatch(r"[0-9-]{10}( 00:00:00(\+00:00)?)?", text)}
    if len(days) == len(texts):
        return next(unit for end, unit in (ends if len(days) > 1 else ends[2:]) if all(d.endswith(end) for d in days))
    whole = {text[13:19] for text in texts}
    if any(len(text) > 19 and text[19] == "." for text in texts):
        return None
    if whole == {":00:00"}:
        return "yearmonthdatehours"
    return "yearmonthdatehoursminutes" + ("" if all(end.endswith(":00") for end in whole) else "seconds")


def _colouring(
    block: ChartSpec, result: Result, colour: int | None, names: Sequence[str], values: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    if colour is None and len(names) == 1:
        return {}
    if colour is not None:
        column = result.columns[colour]
        if column.is_number and block.mark in (Mark.POINT, Mark.RECT):
            return {"color": {"field": "c", "type": "quantitative", "title": visible(column.name)}}
        if block.mark is Mark.RECT:
            raise ProjectError(f"rect colours by numbers; {column.name} is {column.type}", fix="choose another color")
        domain = list(dict.fromkeys(value["c"] for value in values))
        title: str | None = visible(column.name)
    else:
        domain, title = list(names), None
    if len(domain) > MOST_COLOURS:
        what = f"color has {len(domain):,} values; {MOST_COLOURS} is the most"
        raise ProjectError(what, fix="keep the largest in SQL and sum up the others")
    scale = {"domain": domain, "range": list(PALETTE[: len(domain)])}
    return {"color": {"field": "c", "type": "nominal", "title": title, "scale": scale, "sort": None}}


def _refuse_doubled(block: ChartSpec, result: Result, values: Sequence[dict[str, Any]], along: str) -> None:
    """Refuse rows that would be drawn over each other: of two bars at one place one is seen."""
    met = set()
    for value in values:
        key = (value["x"], value["y"] if block.mark is Mark.RECT else value[along], value.get("c"))
        if block.mark is Mark.RECT:
            key = (value["x"], value["y"], None)
        if key in met and key[0] is not None:
            where = visible(str(value[along]), one_line=True)
            what = f"two rows stand at {along} = {where}: one would hide the other"
            raise ProjectError(what, fix="aggregate in SQL (GROUP BY), or tell them apart by color")
        met.add(key)


_MOST_DOTS = 60
"""So many values of a line have a dot each; a line of more is a line."""


def _mark(block: ChartSpec, values: Sequence[dict[str, Any]], *, ordered: bool) -> dict[str, Any]:
    if block.mark in (Mark.LINE, Mark.AREA):
        dots = len(values) <= _MOST_DOTS or _has_lonely(values, ordered=ordered)
        point = {"point": {"size": 18, "filled": True}} if dots else {}
        if block.mark is Mark.LINE:
            return {"type": "line", **point}
        return {"type": "area", "line": True, "fillOpacity": 0.35, **point}
    if block.mark is Mark.POINT:
        return {"type": "point", "filled": True, "size": 36, "opacity": 0.75}
    if block.mark is Mark.RECT:
        return {"type": "rect", "stroke": LINE, "strokeWidth": 0.5}
    return {"type": "bar"}


def _has_lonely(values: Sequence[dict[str, Any]], *, ordered: bool) -> bool:
    """Whether a value has none before and behind it: a line leads nowhere from it, and does not show it."""
    lines: dict[Any, list[dict[str, Any]]] = {}
    for value in values:
        if value["x"] is not None:
            lines.setdefault(value.get("c"), []).append(value)
    for line in lines.values():
        there = [value["y"] is not None for value in (sorted(line, key=lambda one: one["x"]) if ordered else line)]
        if any(
            here and not (before or after)
            for before, here, after in zip([False, *there], there, [*there[1:], False], strict=False)
        ):
            return True
    return False


def _stacked(block: ChartSpec, encoding: dict[str, Any], value: str) -> dict[str, Any]:
    """Say whether values of one place stand on each other or side by side."""
    if block.mark not in (Mark.BAR, Mark.AREA) or "color" not in encoding or block.stack:
        return encoding
    apart = {} if block.mark is Mark.AREA else {"yOffset" if value == "x" else "xOffset": {"field": "c", "sort": None}}
    return {**encoding, value: {**encoding[value], "stack": None}, **apart}
