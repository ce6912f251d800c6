"""The lakehouse: one Delta table per dataset."""

from __future__ import annotations

from typing import ClassVar

from headwater.core.layers import Family
from headwater.storage.delta.store import DeltaStore


class Lakehouse(DeltaStore):
    """Delta tables in a folder, read as plain Parquet files without an extension.

    Emits: every change mode; a commit is one version of the Delta log, files that hold affected rows are written anew.
    Units and time zone: integers as BIGINT, floats as DOUBLE (the caller lands them so); instants in UTC.
    State: the log holds producer and sequence (`txn`), `_headwater/commits/` the rest of each commit, claimed before.
    Delivery: exactly once; the version after the one that was read is written, or nothing.
    Raises: `StateError` when somebody else wrote in between, `ConnectorError` for a full disk or a type Delta lacks.
    Source: https://github.com/delta-io/delta/blob/master/PROTOCOL.md
    """

    kind: ClassVar[str] = "lakehouse"
    family: ClassVar[Family] = Family.LAKEHOUSE
