"""A query that somebody wrote for a server, as it can stand in parentheses: one statement, what ends it cut off."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_POSTGRES = re.compile(
    r"""(?P<layout>\s+|--[^\n\r]*)|(?P<comment>/\*)
    |[eE]'(?:\\.|''|[^'\\])*'|'(?:[^']|'')*'|"(?:[^"]|"")*"
    |\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$|(?P<end>;)|(?P<open>['"])|[^\W\d][\w$]*|.""",
    re.DOTALL | re.VERBOSE,
)
_SQLITE = re.compile(
    r"""(?P<layout>\s+|--[^\n]*|/\*.*?(?:\*/|\Z))|(?P<comment>(?!))
    |'(?:[^']|'')*'|"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|(?P<end>;)|(?P<open>['"`\[])|\w+|.""",
    re.DOTALL | re.VERBOSE,
)
_COMMENT_PARTS = re.compile(r"/\*|\*/")


def one_statement(query: str, *, sqlite: bool = False) -> str:
    """Return a query without the semicolons, comments and blanks behind it.

    Args:
        query: As it was written.
        sqlite: It is SQLite's, not PostgreSQL's.

    Raises:
        ValueError: It has no statement, or more than one, or a quote that does not end.
    """
    last, ended = 0, False
    for word, start, end in _words(query, _SQLITE if sqlite else _POSTGRES):
        if word == "end":
            ended = True
        elif ended and last:
            line = query.count("\n", 0, start) + 1
            raise ValueError(f"a second statement begins in line {line} of the query: one SELECT per table, so cut it")
        else:
            last, ended = end, False
    if not last:
        raise ValueError("the query has no statement: write a SELECT")
    return query[:last].lstrip("; \t\r\n")


def _words(query: str, pattern: re.Pattern[str]) -> Iterator[tuple[str, int, int]]:
    """Yield (kind, start, end) of every word and semicolon, but for what is between them."""
    at = 0
    while match := pattern.match(query, at):
        at = match.end()
        kind = match.lastgroup or ""
        if kind == "comment":
            at = _after_comment(query, at)
        elif kind == "open":
            raise ValueError(f"a quote in the query does not end: {query[match.start() :][:20]!r}")
        elif kind != "layout":
            yield kind, match.start(), at


def _after_comment(query: str, at: int) -> int:
    """Return where a comment ends whose beginning was read; those of PostgreSQL stand in one another."""
    depth = 1
    while depth:
        match = _COMMENT_PARTS.search(query, at)
        if match is None:
            raise ValueError("a comment in the query does not end: write */")
        at = match.end()
        depth += 1 if match[0] == "/*" else -1
    return at
