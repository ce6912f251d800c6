"""What a changed declaration takes away from those who read it."""

from __future__ import annotations

from dataclasses import dataclass

_SHOWN_HITS = 20
"""Hits that a line for people names; JSON has all."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A dataset below a changed column: which of its columns is made of it, or how it decides over the rows.

    Attributes:
        dataset: The dataset.
        column: Its column; "" when the changed column decides over its rows, or its columns are unknown.
        how: value, filter, join, group, sort or window; unknown when it reads the dataset in a way that is not known.
        kind: What it is: how a model is materialized, the kind of a consumer; "" when it is not declared any more.
        domain: The domain that owns it.
        owner: Who answers for it, "" when nobody is named.
    """

    dataset: str
    column: str
    how: str
    kind: str = ""
    domain: str = "main"
    owner: str = ""

    def __str__(self) -> str:
        owned = f", {self.owner}" if self.owner else ""
        return f"{self.dataset}{'.' if self.column else ''}{self.column} ({self.how}{owned})"


@dataclass(frozen=True, slots=True)
class Break:
    """A column that a changed declaration takes away or retypes, or a promise that it breaks, and what reads it.

    Attributes:
        dataset: The dataset.
        column: The column; "" for a promise about several, or the whole port.
        change: What becomes of it.
        hits: What is made of it.
        is_promise: A port promised it: nothing runs until it is kept, or has a new major.
    """

    dataset: str
    column: str
    change: str
    hits: tuple[Hit, ...] = ()
    is_promise: bool = False

    def __str__(self) -> str:
        names = [str(hit) for hit in self.hits[:_SHOWN_HITS]]
        more = f" and {len(self.hits) - _SHOWN_HITS} more" if len(self.hits) > _SHOWN_HITS else ""
        told = f"hits {', '.join(names)}{more}" if names else "nothing reads it"
        what = self.change if self.is_promise else f"column {self.column} {self.change}"
        return f"{self.dataset}: {what}; {told}"
