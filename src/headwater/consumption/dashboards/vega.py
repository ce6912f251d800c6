"""Vega-Lite as charts use it: what a declared spec may not hold, and how charts look.

Colours are stand-ins: `svg.py` writes CSS variables in their place, so one drawing serves light and dark pages.
Source: Vega-Lite 6, https://vega.github.io/vega-lite/docs/.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from headwater.core.near import suggest
from headwater.errors import ProjectError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from headwater.documents import Key

_LOADS = {
    "data": "the rows are those of the block's query",
    "datasets": "the rows are those of the block's query",
    "url": "a page asks for nothing",
    "src": "a page asks for nothing",
    "image": "a page shows no images",
    "href": "write a link in the Markdown",
}
"""Keys that a spec may not hold, wherever they stand, and what is so instead."""

_MADE = frozenset({"key", "value", "density", "prob", "count"})
"""Names that transforms give when nobody names them."""

_HEAD = re.compile(r"(?:\\.|[^.\[\\])*")


def find_refused_keys(spec: dict[str, Any]) -> Iterator[tuple[Key, str, str]]:
    """Yield (key, what, fix) of what a spec may not hold: data of its own, and what is loaded from elsewhere."""
    waiting: list[tuple[Key, Any]] = [((), spec)]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, dict):
            for name, inner in value.items():
                if str(name).lower() in _LOADS:
                    yield (*key, name), f"a chart's spec has no {name!r}", _LOADS[str(name).lower()]
                else:
                    waiting.append(((*key, name), inner))
        elif isinstance(value, list):
            waiting += [((*key, at), inner) for at, inner in enumerate(value)]
        elif isinstance(value, str) and _loads(key, value):
            yield key, f"a chart's spec does not load: {value[:60]!r}", "a page asks for nothing"
        elif isinstance(value, float) and value - value != 0:
            yield key, f"{value} is no number of JSON", "write a finite number"


def find_unknown_words(spec: Any, key: Key = ()) -> Iterator[tuple[Key, str, str]]:
    """Yield (key, what, fix) of words of views and channels that Vega-Lite does not know: it would pass over them."""
    if not isinstance(spec, dict):
        return
    if not _DRAWS & set(spec):
        yield key, "the spec draws nothing", f"add one of {', '.join(sorted(_DRAWS))}"
    for name in spec:
        if name not in _VIEW and name.lower() not in _LOADS:
            yield (*key, name), f"unknown word {name!r}", suggest(name, _VIEW)
    channels = spec.get("encoding")
    for name in channels if isinstance(channels, dict) else ():
        if name not in _CHANNELS and name.lower() not in _LOADS:
            yield (*key, "encoding", name), f"unknown channel {name!r}", suggest(name, _CHANNELS)
    for name in ("layer", "concat", "hconcat", "vconcat"):
        for at, inner in enumerate(spec[name] if isinstance(spec.get(name), list) else ()):
            yield from find_unknown_words(inner, (*key, name, at))
    yield from find_unknown_words(spec.get("spec"), (*key, "spec"))


_DRAWS = frozenset({"mark", "layer", "concat", "hconcat", "vconcat", "spec"})

_VIEW = _DRAWS | {
    "$schema", "name", "title", "description", "width", "height", "autosize", "background", "padding", "bounds", "view",
    "config", "usermeta", "params", "transform", "encoding", "projection", "columns", "align", "center", "spacing",
    "facet", "repeat", "resolve",
}  # fmt: skip

_CHANNELS = frozenset({
    "x", "y", "x2", "y2", "xError", "xError2", "yError", "yError2", "xOffset", "yOffset", "theta", "theta2", "radius",
    "radius2", "longitude", "latitude", "longitude2", "latitude2", "color", "fill", "stroke", "opacity", "fillOpacity",
    "strokeOpacity", "strokeWidth", "strokeDash", "size", "angle", "shape", "detail", "key", "text", "tooltip",
    "description", "order", "time", "facet", "row", "column",
})  # fmt: skip


def _loads(key: Key, value: str) -> bool:
    return re.search(r"url\s*\(", value, re.IGNORECASE) is not None or (
        value.lower() == "image" and ("mark" in key[-1:] or key[-2:] == ("mark", "type"))
    )


def check_fields(spec: dict[str, Any], columns: Collection[str]) -> None:
    """Check that every `field` of a spec is a column of its query, or made by a transform.

    Raises:
        ProjectError: One is not: the chart would be empty.
    """
    fields: list[str] = []
    made: set[str] = set()
    waiting: list[Any] = [spec]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()
            if isinstance(field := value.get("field"), str):
                fields.append(field)
            made |= _named(value.get("as")) | (_MADE if "transform" in value else frozenset())
    known = {*columns, *made}
    for field in sorted(set(fields)):
        head = re.sub(r"\\(.)", r"\1", _HEAD.match(field)[0])  # type: ignore[index]
        if "\\" in head:
            raise ProjectError(f"Vega-Lite finds no column named {head!r}", fix="name it without \\ in SQL")
        if head not in known:
            fix = f"write {escape_field(field)!r}" if field in known else suggest(head, columns)
            raise ProjectError(f"the spec's field {field!r} is no column of the query", fix=fix)


def _named(value: Any) -> set[str]:
    return {str(name) for name in (value if isinstance(value, list) else [value]) if isinstance(name, str)}


def escape_field(name: str) -> str:
    """Write a column's name as a Vega-Lite field: points and brackets are no paths."""
    return re.sub(r"([.\[\]\\'\"])", r"\\\1", name)


# -------------------------------------------------------------------------------------------------------------- looks

WIDTH = 848
"""Width of a chart as it is drawn, in CSS pixels; the page scales it."""

LABELS_WIDTH = 44
"""What the labels of a vertical axis of numbers take of it: charts below each other begin at one line."""

TIMES = {"year": "%Y", "quarter": "%b", "month": "%b", "week": "%b %d", "date": "%b %d", "day": "%b %d"}
"""How an axis of time writes days; shorter times are hours and minutes, as by default."""

INK, QUIET, LINE, GROUND = "#0b01a1", "#0b02a2", "#0b03a3", "#0b04a4"
PALETTE = tuple(f"#0c{number:02x}b{number:x}" for number in range(10))

VARIABLES = {
    INK: "var(--ink)",
    QUIET: "var(--quiet)",
    LINE: "var(--line)",
    GROUND: "var(--ground)",
    **{colour: f"var(--c{number})" for number, colour in enumerate(PALETTE, 1)},
}
"""The CSS variable that each stand-in becomes."""

CONFIG: dict[str, Any] = {
    "aria": False,
    "background": "transparent",
    "font": "Arial, Helvetica, sans-serif",
    "padding": 4,
    "view": {"stroke": None},
    "axis": {
        "domainColor": LINE, "gridColor": LINE, "tickColor": LINE, "labelColor": QUIET, "titleColor": QUIET,
        "labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": "normal", "labelOverlap": True, "titlePadding": 8,
    },
    "axisX": {"grid": False, "labelSeparation": 6},
    "axisY": {"domain": False, "ticks": False, "labelPadding": 6, "minExtent": LABELS_WIDTH},
    "axisBand": {"grid": False},
    "legend": {
        "labelColor": QUIET, "titleColor": QUIET, "labelFontSize": 11, "titleFontSize": 11,
        "titleFontWeight": "normal", "orient": "top", "symbolStrokeWidth": 2, "gradientStrokeColor": LINE,
    },
    "header": {"labelColor": QUIET, "titleColor": QUIET},
    "title": {"color": INK, "subtitleColor": QUIET, "anchor": "start", "fontSize": 13},
    "range": {
        "category": list(PALETTE),
        "ordinal": list(PALETTE),
        "ramp": {"scheme": "viridis"}, "heatmap": {"scheme": "viridis"}, "diverging": {"scheme": "redyellowblue"},
    },
    "mark": {"color": PALETTE[0]},
    "line": {"strokeWidth": 2, "strokeJoin": "round", "strokeCap": "round"},
    "text": {"color": INK},
    "rule": {"color": QUIET},
    "bar": {"discreteBandSize": {"band": 0.82}},
}  # fmt: skip
