"""Journal and lease."""

from __future__ import annotations

from headwater.state.journal import Journal
from headwater.state.lease import Lease, find_holder

__all__ = ["Journal", "Lease", "find_holder"]
