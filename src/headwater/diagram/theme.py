"""Colours, light and dark. The light fills are those of the reference picture."""

from __future__ import annotations

from dataclasses import dataclass

from headwater.core.layers import LOOKS, Layer


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours as CSS writes them; `fills` and `strokes` by layer, `statuses` by status word."""

    ground: str
    band: str
    band_border: str
    text: str
    quiet: str
    arrow: str
    fills: dict[Layer, str]
    strokes: dict[Layer, str]
    statuses: dict[str, str]


LIGHT = Theme(
    ground="#ffffff",
    band="#f6f8fa",
    band_border="#dde3ea",
    text="#1b1f24",
    quiet="#3d444d",
    arrow="#6b7683",
    fills={layer: look.fill for layer, look in LOOKS.items()},
    strokes={
        Layer.SOURCES: "#3f7d94",
        Layer.INGESTION: "#6e7781",
        Layer.PROCESSING: "#6e7781",
        Layer.STORAGE: "#8a7718",
        Layer.CONSUMPTION: "#2f8432",
    },
    statuses={
        "done": "#0f5323",
        "unchanged": "#0f5323",
        "skipped": "#3d444d",
        "failed": "#9f1212",
        "blocked": "#7a3e00",
        "stopped": "#7a3e00",
        "stale": "#7a3e00",
        "never": "#3d444d",
    },
)

DARK = Theme(
    ground="#0d1117",
    band="#161b22",
    band_border="#2a323c",
    text="#eef2f6",
    quiet="#c3ccd6",
    arrow="#8b96a3",
    fills={
        Layer.SOURCES: "#17394a",
        Layer.INGESTION: "#343a42",
        Layer.PROCESSING: "#343a42",
        Layer.STORAGE: "#423c12",
        Layer.CONSUMPTION: "#1b4423",
    },
    strokes={
        Layer.SOURCES: "#6cb6d4",
        Layer.INGESTION: "#8b949e",
        Layer.PROCESSING: "#8b949e",
        Layer.STORAGE: "#c9b84a",
        Layer.CONSUMPTION: "#5fbf6a",
    },
    statuses={
        "done": "#8be59a",
        "unchanged": "#8be59a",
        "skipped": "#c3ccd6",
        "failed": "#ffb3ad",
        "blocked": "#f2c879",
        "stopped": "#f2c879",
        "stale": "#f2c879",
        "never": "#c3ccd6",
    },
)

_FONT = "Helvetica, Arial, 'Liberation Sans', 'Noto Sans', 'DejaVu Sans', sans-serif"

_FORMS = f"""
text {{ font-family: {_FONT}; }}
.title {{ font-weight: bold; }}
.heading {{ font-weight: bold; }}
.band rect {{ stroke-width: 1; }}
.rule line {{ stroke-width: 1; stroke-dasharray: 2 4; }}
.arrow {{ fill: none; stroke-width: 1.4; }}
.return {{ stroke-dasharray: 5 4; }}
.within {{ stroke-dasharray: 1.5 3.5; stroke-linecap: round; }}
.stream {{ stroke-width: 3; }}
.arrow:hover {{ stroke-width: 4; }}
.shape {{ stroke-width: 1.3; }}
.rim {{ fill: none; }}
.status-failed .shape {{ stroke-width: 2.2; stroke-dasharray: 6 4; }}
.status-blocked .shape {{ stroke-dasharray: 2 3; }}
.icon {{ fill: none; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; }}
.label {{ paint-order: stroke; stroke-width: 7; stroke-linejoin: round; }}
"""


def style_sheet(*, dark: bool) -> str:
    """Return the style sheet of a drawing; with `dark`, its colours follow the reader's preference."""
    light = f"{_FORMS}{_colours(LIGHT)}"
    sheet = f"{light}@media (prefers-color-scheme: dark) {{\n{_colours(DARK)}}}\n" if dark else light
    return _scoped(sheet)


def page_style() -> str:
    """Return the style sheet of a drawing in a page, whose theme is the reader's preference or `data-theme`.

    On paper it is light.
    """
    dark = _scoped(_colours(DARK))
    system = dark.replace(".headwater ", ':root:not([data-theme="light"]) .headwater ')
    chosen = dark.replace(".headwater ", ':root[data-theme="dark"] .headwater ')
    names = f"{{ color-scheme: dark; {_PAGE_DARK} }}"
    return (
        f"{style_sheet(dark=False)}\n@media screen and (prefers-color-scheme: dark) {{\n"
        f':root:not([data-theme="light"]) {names}\n{system}\n}}\n'
        f'@media screen {{\n:root[data-theme="dark"] {names}\n{chosen}\n}}'
    )


_PAGE_DARK = f"""
--ground: {DARK.ground}; --raised: #12181f; --sunken: #1c242e; --line: #2e3844; --text: {DARK.text}; --quiet: #a9b4c0;
--accent: #6cb0ff; --accent-ground: #17304d; --up: #6cb0ff; --down: #f0a15e; --good: #8be59a; --bad: #ffb3ad;
--warn: #f2c879; --code: #0d1319; --keyword: #f0a3d8; --string: #8fe0c0; --comment: #93a0ae; --number: #9cc8ff;
--shadow: 0 1px 2px rgb(0 0 0 / 50%), 0 6px 24px rgb(0 0 0 / 45%);
"""


def _colours(theme: Theme) -> str:
    rules = [
        (".ground", f"fill: {theme.ground}"),
        (".label", f"stroke: {theme.ground}"),
        (".band rect", f"fill: {theme.band}; stroke: {theme.band_border}"),
        (".rule line", f"stroke: {theme.quiet}"),
        (".title, .heading, .name, .status", f"fill: {theme.text}"),
        (".detail, .label, .legend, .muted, .domain", f"fill: {theme.quiet}"),
        (".arrow", f"stroke: {theme.arrow}"),
        (".head", f"fill: {theme.arrow}"),
    ]
    for layer in Layer:
        rules.append((f".layer-{layer} .shape", f"fill: {theme.fills[layer]}; stroke: {theme.strokes[layer]}"))
    for word, colour in theme.statuses.items():
        rules.append((f".icon-{word}", f"stroke: {colour}"))
    rules.append((".status-failed .shape", f"stroke: {theme.statuses['failed']}"))
    rules.append((".status-failed .status", f"fill: {theme.statuses['failed']}"))
    return "".join(f"{selector} {{ {body}; }}\n" for selector, body in rules)


def _scoped(sheet: str) -> str:
    """Keep the rules to our own drawing: a style sheet inside an SVG inside a page holds for the whole page."""
    lines = []
    for line in sheet.strip().splitlines():
        selectors, brace, body = line.partition(" {")
        if brace and not line.startswith("@"):
            selectors = ", ".join(f".headwater {selector}" for selector in selectors.split(", "))
        lines.append(selectors + brace + body)
    return "\n".join(lines)
