"""What somebody may have meant by a name that is not known."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def list_near(word: str, known: Iterable[str], count: int = 3, cutoff: float = 0.6) -> list[str]:
    """Return the known words that are nearest, at least as near as `cutoff` (0 to 1), the nearest first."""
    import difflib

    return difflib.get_close_matches(word, list(known), count, cutoff)


def find_near(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the known word that is nearest, "" when none is near."""
    return next(iter(list_near(word, known, 1, cutoff)), "")


def suggest(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return "did you mean …?" with the nearest known word; when none is near `otherwise`, or the list of them."""
    words = sorted(set(known))
    near = find_near(word, words)
    if near:
        return f"did you mean {near!r}?"
    if otherwise:
        return otherwise
    return f"known: {', '.join(words[:20])}{', …' if len(words) > 20 else ''}" if words else "nothing is allowed here"
