"""Journal and lease."""

from __future__ import annotations

from headwater.state.journal import Journal
from headwater.state.lease import Lease, find_holder
from headwater.state.look import look_at_journal, look_at_lease

__all__ = ["Journal", "Lease", "find_holder", "look_at_journal", "look_at_lease"]
