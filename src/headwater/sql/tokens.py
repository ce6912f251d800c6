"""A query as DuckDB's tokenizer sees it: text, comments and quoted names are never taken for anything else."""

from __future__ import annotations

import re
from itertools import pairwise

_QUOTED = re.compile(
    r"""[eE]'(?:\\.|''|[^'\\])*'|[bBxX]?'(?:[^']|'')*'|"(?:[^"]|"")*"|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$""", re.DOTALL
)
_BARE = re.compile(r"(?:(?!--|/\*)\S)+")
_LAYOUT = re.compile(r"(?:\s|--[^\n]*|/\*.*?\*/)*", re.DOTALL)


def split_tokens(text: str) -> list[tuple[int, str]]:
    """Return (byte offset, token and what follows it up to the next one) of every token."""
    import duckdb

    raw = text.encode()
    starts = [offset for offset, _ in duckdb.tokenize(text)]
    return [(start, raw[start:end].decode()) for start, end in pairwise([*starts, len(raw)])]


def canonical_text(query: str) -> str:
    """Return a query without comments and with single spaces: what a change of layout does not change."""
    return " ".join(_without_layout(token) for _, token in split_tokens(query))


def _without_layout(token: str) -> str:
    found = _QUOTED.match(token) or _BARE.match(token)
    if found is None or not _LAYOUT.fullmatch(token, found.end()):
        return token.strip()
    return found[0]


def drop_semicolons(query: str) -> str:
    """Return a query with spaces in place of the semicolons that end it, so that it can stand in parentheses."""
    if ";" not in query:
        return query
    tokens = split_tokens(query)
    raw = bytearray(query.encode())
    for offset, token in reversed(tokens):
        if not token.startswith(";"):
            break
        raw[offset : offset + 1] = b" "
    return raw.decode()
