"""How wide text is, without a font at hand: the wider of Helvetica and DejaVu Sans for every character."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from itertools import accumulate, takewhile

from headwater.core.texts import is_hidden

_ASCII = (
    318, 401, 460, 838, 637, 951, 780, 275, 391, 391, 500, 838, 318, 361, 318, 337,
    637, 637, 637, 637, 637, 637, 637, 637, 637, 637, 337, 337, 838, 838, 838, 556,
    1015, 685, 687, 722, 771, 667, 611, 778, 752, 295, 500, 667, 558, 863, 749, 788,
    667, 788, 722, 667, 611, 732, 685, 989, 686, 667, 686, 391, 337, 391, 838, 556,
    500, 613, 635, 550, 635, 616, 353, 635, 634, 278, 278, 580, 278, 975, 634, 612,
    635, 635, 412, 521, 393, 634, 592, 818, 592, 592, 525, 637, 337, 637, 838,
)  # fmt: skip
"""Advance widths of the characters from space to tilde, in thousandths of the font size."""

_OTHER = {"·": 340, "–": 560, "…": 1000, "→": 1000}
_UNKNOWN = 1250
_WIDE = 1400
ELLIPSIS = "…"


@lru_cache(maxsize=4096)
def _char_width(char: str) -> int:
    code = ord(char)
    if 32 <= code < 127:
        return _ASCII[code - 32]
    if char in _OTHER:
        return _OTHER[char]
    base = unicodedata.normalize("NFD", char)[0]
    if base != char and 32 <= ord(base) < 127:
        return _ASCII[ord(base) - 32]
    if unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return _WIDE if unicodedata.east_asian_width(char) in ("W", "F") else _UNKNOWN


def text_width(text: str, size: float) -> float:
    """Return the width of one line of text at a font size, rounded up rather than down."""
    return sum(map(_char_width, text)) * size / 1000


def fit_end(text: str, size: float, width: float) -> str:
    """Return the text, or as much of its beginning as fits into a width, an ellipsis at the end."""
    if text_width(text, size) <= width:
        return text
    room = width - text_width(ELLIPSIS, size)
    return text[: _count_fitting(text, size, room)].rstrip() + ELLIPSIS


def fit_middle(text: str, size: float, width: float) -> str:
    """Return the text, or its beginning and end with an ellipsis between them: names differ at both ends."""
    if text_width(text, size) <= width:
        return text
    room = width - text_width(ELLIPSIS, size)
    head = text[: _count_fitting(text, size, room * 0.45)]
    rest = room - text_width(head, size)
    tail = _count_fitting(text[::-1], size, rest)
    return head + ELLIPSIS + text[len(text) - tail :]


def _count_fitting(text: str, size: float, width: float) -> int:
    """Return how many characters of a text that is too wide fit."""
    ends = accumulate(map(_char_width, text))
    return sum(1 for _ in takewhile(lambda end: end * size / 1000 <= width, ends))


def clean(text: str) -> str:
    """Return a text as one line that XML can hold: white space is one space, control characters are replaced."""
    return "".join(char if _printable(char) else "\ufffd" for char in " ".join(text.split()))


def _printable(char: str) -> bool:
    return not is_hidden(char)
