"""What is known of a chunk once its rows are prepared; kept with the staged chunk, so that a killed load goes on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headwater.core.commit import merge_positions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_REJECTS = "rejects"


@dataclass(frozen=True, slots=True)
class PreparedEnd:
    """The end of a prepared chunk.

    Attributes:
        position: Where the reader stands after the chunk (plain JSON).
        good: Rows that land.
        rejected: Rows that are rejects, of the reader and of the rules.
        deduped: Rows that `dedupe` left out.
        swallowed: Lines that rejects took beside their first ones.
        resume: What a resumed read has to know to go on after the chunk, see `ChunkEnd.resume`.
    """

    position: dict[str, Any] = field(default_factory=dict)
    good: int = 0
    rejected: int = 0
    deduped: int = 0
    swallowed: int = 0
    resume: Mapping[str, Any] = field(default_factory=dict)

    def pack(self) -> dict[str, Any]:
        """Return plain JSON values."""
        found: dict[str, Any] = {
            "position": self.position, "good": self.good, "rejected": self.rejected, "deduped": self.deduped,
        }  # fmt: skip
        return {
            **found,
            **({"swallowed": self.swallowed} if self.swallowed else {}),
            **({"resume": dict(self.resume)} if self.resume else {}),
        }


@dataclass(frozen=True, slots=True)
class StagedRejects:
    """The end of a part that holds the rejects of a chunk: its rows are for the quarantine, and move no position."""

    def pack(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {_REJECTS: True}


def unpack_end(data: Mapping[str, Any]) -> PreparedEnd | StagedRejects:
    """Read what `pack` of either wrote; rejects that an earlier version staged say nothing."""
    return PreparedEnd(**data) if data and _REJECTS not in data else StagedRejects()


def add_up(ends: Iterable[PreparedEnd]) -> PreparedEnd:
    """Return the end of all the chunks together, in their order."""
    ends = list(ends)
    return PreparedEnd(
        merge_positions(end.position for end in ends),
        sum(end.good for end in ends),
        sum(end.rejected for end in ends),
        sum(end.deduped for end in ends),
        sum(end.swallowed for end in ends),
    )
