"""The Markdown of a dashboard: prose as tokens, fenced blocks with the lines they stand on. No HTML, no images."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any

from headwater.consumption.dashboards.parameters import PLACE
from headwater.core.graph import Location
from headwater.errors import ProjectError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from markdown_it import MarkdownIt
    from markdown_it.token import Token

BLOCKS = ("sql", "big_number", "chart", "table", "text")
"""The fenced blocks that are more than code."""

MAX_BYTES = 200_000
"""A longer file is refused: what a person writes is a tenth of it."""

NO_IMAGES = ("a page shows no images: it asks for nothing", "draw a chart, or link to the image")
"""What is wrong with an image, and what to do."""

_SCHEMES = re.compile(r"(?:https?|mailto):", re.IGNORECASE)
_VALUE = re.compile(r"\{([^{}\n]+)\}")


@dataclass(frozen=True, slots=True)
class Prose:
    """Markdown between two blocks."""

    tokens: Sequence[Token] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Fence:
    """A fenced block: its word, what stands behind it, its text, and the line of its fence in the file."""

    word: str
    rest: str
    text: str
    line: int

    @property
    def first_line(self) -> int:
        """The line of the file on which its text begins."""
        return self.line + 1


Piece = Prose | Fence


def parse_page(text: str, path: str, errors: list[ProjectError]) -> list[Piece]:
    """Take a page apart; what is wrong in it is added to `errors`.

    Raises:
        ProjectError: It is too long to be read.
    """
    size_bytes = len(text.encode(errors="surrogatepass"))
    if size_bytes > MAX_BYTES:
        what = f"the file holds {size_bytes:,} bytes; a dashboard has {MAX_BYTES:,} at most"
        raise ProjectError(what, fix="take it apart; data belongs into datasets, and is read by SQL", path=path)
    if "\x00" in text:
        line = _line_of(text, text.index("\x00"))
        raise ProjectError("the file holds a NUL character", fix="remove it", path=path, line=line)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    pieces: list[Piece] = []
    prose: list[Token] = []
    for token in _markdown().parse(text):
        problem, fence = _judge(token, lines)
        if problem[0]:
            errors.append(ProjectError.at(Location(path, _line(token)), *problem))
        if fence is None:
            prose.append(token)
            continue
        pieces += [Prose(prose), fence] if prose else [fence]
        prose = []
    return [*pieces, Prose(prose)] if prose else pieces


def _line_of(text: str, offset: int) -> int:
    return len(re.split("\r\n?|\n", text[:offset]))


def _line(token: Token) -> int:
    return (token.map[0] if token.map else 0) + 1


def _judge(token: Token, lines: Sequence[str]) -> tuple[tuple[str, str], Fence | None]:
    """Return what is wrong with a token (what, fix), and the block that it is."""
    nothing = ("", "")
    if token.type == "inline":
        images = any(child.type == "image" for child in token.children or ())
        return (NO_IMAGES if images else nothing), None
    if token.type != "fence":
        return nothing, None
    word, _, rest = token.info.strip().partition(" ")
    if token.level:
        nested = ("a block stands within a list or a quotation", "begin its lines at the left margin")
        return (nested if word in BLOCKS else nothing), None
    if not _is_closed(token, lines):
        return ("the block is not closed", f"end it with a line that is only {token.markup}"), None
    meant = next((block for block in BLOCKS if _bare(word) == _bare(block)), "")
    if meant and word != meant:
        return (f"{word!r} is no block", f"did you mean {meant!r}?"), None
    fence = Fence(word, rest.strip(), token.content, _line(token)) if word in BLOCKS else None
    return nothing, fence


def _bare(word: str) -> str:
    return re.sub("[-_]", "", word.casefold()).removesuffix("s")


def _is_closed(token: Token, lines: Sequence[str]) -> bool:
    first, end = token.map or (0, 0)
    mark = token.markup
    closing = re.compile(rf" {{0,3}}{re.escape(mark[0])}{{{len(mark)},}}[ \t]*")
    return end - first > 1 and closing.fullmatch(lines[end - 1]) is not None


# ------------------------------------------------------------------------------------------------------ names in prose


def check_prose(
    tokens: Sequence[Token], known: Mapping[str, str], unknown: Callable[[str, int], ProjectError]
) -> list[ProjectError]:
    """Return an error for each `$name` of prose that is not known, where it stands first.

    Args:
        tokens: The prose.
        known: The parameters.
        unknown: Makes the error of a name and the line of the file.
    """
    found: dict[str, ProjectError] = {}
    for token in tokens:
        for child in token.children or ():
            if child.type == "param" and child.content not in known and child.content not in found:
                found[child.content] = unknown(child.content, _line(token) + int(child.meta["line"]))
    return list(found.values())


def first_heading(pieces: Sequence[object]) -> bool:
    """Whether the page has a heading of the first level of its own."""
    tokens = (token for piece in pieces if isinstance(piece, Prose) for token in piece.tokens)
    return any(token.type == "heading_open" and token.tag == "h1" for token in tokens)


def render_prose(tokens: Sequence[Token], params: Mapping[str, str]) -> str:
    """Return prose as HTML, parameters replaced by their texts."""
    markdown = _markdown()
    rendered: str = markdown.renderer.render(tokens, markdown.options, {"params": params})
    return rendered


def parse_sentence(text: str) -> list[Token]:
    """Parse Markdown of one paragraph, in which `{column}` stands for a value."""
    return _markdown().parseInline(text, {"sentence": True})


def names_in(tokens: Sequence[Token], kind: str) -> list[str]:
    """Return the names of a kind that stand in a sentence: `param` or `value`."""
    return [child.content for token in tokens for child in token.children or () if child.type == kind]


def has_images(tokens: Sequence[Token]) -> bool:
    """Whether a sentence holds an image."""
    return any(child.type == "image" for token in tokens for child in token.children or ())


def render_sentence(tokens: Sequence[Token], params: Mapping[str, str], values: Mapping[str, str]) -> str:
    """Return a sentence as HTML."""
    markdown = _markdown()
    rendered: str = markdown.renderer.render(tokens, markdown.options, {"params": params, "values": values})
    return rendered


@cache
def _markdown() -> MarkdownIt:
    """Return the parser: CommonMark with tables, without HTML; links are http, https, mailto or relative."""
    from markdown_it import MarkdownIt

    class PageMarkdown(MarkdownIt):
        def validateLink(self, url: str) -> bool:  # noqa: N802 - the library's name
            return _is_link(url)

    markdown = PageMarkdown("commonmark", {"html": False}).enable(["table", "strikethrough"])
    markdown.inline.ruler.before("escape", "param", _read_param)
    markdown.inline.ruler.before("escape", "value", _read_value)
    markdown.add_render_rule("param", _render_param)
    markdown.add_render_rule("value", _render_value)
    markdown.add_render_rule("link_open", _render_link)
    return markdown


def _is_link(url: str) -> bool:
    if _SCHEMES.match(url):
        return True
    place = re.split(r"[/?#]", url, maxsplit=1)[0]
    return ":" not in place and not url.startswith(("//", "\\")) and "%3a" not in place.lower()


def _read_param(state: Any, silent: bool) -> bool:
    return _read_name(state, silent, PLACE, "param")


def _read_value(state: Any, silent: bool) -> bool:
    return bool(state.env.get("sentence")) and _read_name(state, silent, _VALUE, "value")


def _read_name(state: Any, silent: bool, pattern: re.Pattern[str], kind: str) -> bool:
    found = pattern.match(state.src, state.pos, state.posMax)
    if found is None:
        return False
    if not silent:
        token = state.push(kind, "bdi", 0)
        token.content = found[1]
        token.meta = {"line": state.src.count("\n", 0, state.pos)}
    state.pos = found.end()
    return True


def _render_param(renderer: Any, tokens: Sequence[Token], at: int, options: Any, env: Mapping[str, Any]) -> str:
    return f"<bdi>{escape(env['params'].get(tokens[at].content, ''))}</bdi>"


def _render_value(renderer: Any, tokens: Sequence[Token], at: int, options: Any, env: Mapping[str, Any]) -> str:
    return f"<bdi>{escape(env['values'][tokens[at].content])}</bdi>"


def _render_link(renderer: Any, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
    tokens[at].attrSet("rel", "noopener noreferrer")
    rendered: str = renderer.renderToken(tokens, at, options, env)
    return rendered
