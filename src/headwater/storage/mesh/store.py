"""The data mesh: one Delta table per port, in a folder per domain."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from headwater.core.layers import Family
from headwater.core.stores import Capabilities
from headwater.storage.delta.store import DeltaStore


class Mesh(DeltaStore):
    """Delta tables of ports, `<path>/<domain>/<port>_v<major>/`, which any reader of Delta can open.

    Emits: the whole table with each publish; a commit is one version of the Delta log.
    Units and time zone: integers as BIGINT, floats as DOUBLE (the caller lands them so); instants in UTC.
    State: as the lakehouse's; the position of each commit holds the contract that was published with it.
    Delivery: exactly once; the version after the one that was read is written, or nothing.
    Raises: `StateError` when somebody else wrote in between, `ConnectorError` for a full disk or a type Delta lacks.
    Source: https://github.com/delta-io/delta/blob/master/PROTOCOL.md
    """

    kind: ClassVar[str] = "mesh"
    family: ClassVar[Family] = Family.MESH
    capabilities: ClassVar[Capabilities] = replace(DeltaStore.capabilities, keeps_tables=False)
