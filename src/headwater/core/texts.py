"""Texts of others as people see them: what a terminal, a log or a page would obey or hide is written out instead."""

from __future__ import annotations

import re

_HIDDEN = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e0fff"
)
"""Control characters but for tab and line feed, what turns the direction of text or has no width, lone surrogates."""

_IN_LINES = re.compile(f"[{_HIDDEN}]")
_IN_A_LINE = re.compile(f"[{_HIDDEN}\t\n]")
_NAMED = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


def visible(text: str, *, one_line: bool = False) -> str:
    r"""Write out the characters that would be obeyed or not be seen: an escape is `\x1b`.

    Tabs and line feeds stay, but for `one_line`.
    """
    return (_IN_A_LINE if one_line else _IN_LINES).sub(_written, text)


def visible_json(text: str) -> str:
    """Do so in a JSON text, by JSON's own escapes: the values stay what they are."""
    return _IN_LINES.sub(lambda match: "".join(f"\\u{unit:04x}" for unit in _units(match[0])), text)


def is_hidden(character: str) -> bool:
    """Whether a character would be obeyed or not be seen, tabs and line feeds among them."""
    return _IN_A_LINE.match(character) is not None


def _written(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] in _NAMED:
        return _NAMED[match[0]]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _units(character: str) -> tuple[int, ...]:
    """Return the UTF-16 code units of a character."""
    code = ord(character)
    if code < 0x10000:
        return (code,)
    return 0xD800 + ((code - 0x10000) >> 10), 0xDC00 + ((code - 0x10000) & 0x3FF)
