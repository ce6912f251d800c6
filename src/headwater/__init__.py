"""Headwater: the data architecture diagram that runs.

`load` opens a project; `model` declares a Python model, in which `object_path` finds the lake's objects. Names are
imported when they are first used, so that `import headwater` stays light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from headwater.errors import (
    BusyError,
    ConnectorError,
    HeadwaterError,
    PlanError,
    ProjectError,
    RunError,
    StateError,
    StepError,
)

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation as Relation

    from headwater.api import LoadedProject, load
    from headwater.core.graph import Graph
    from headwater.core.plan import Plan
    from headwater.core.run import Event, Run
    from headwater.decorators import model, object_path

__all__ = [
    "BusyError",
    "ConnectorError",
    "Event",
    "Graph",
    "HeadwaterError",
    "LoadedProject",
    "Plan",
    "PlanError",
    "ProjectError",
    "Relation",
    "Run",
    "RunError",
    "StateError",
    "StepError",
    "load",
    "model",
    "object_path",
]

_LAZY = {
    "Event": ("headwater.core.run", "Event"),
    "Graph": ("headwater.core.graph", "Graph"),
    "LoadedProject": ("headwater.api", "LoadedProject"),
    "Plan": ("headwater.core.plan", "Plan"),
    "Relation": ("duckdb", "DuckDBPyRelation"),
    "Run": ("headwater.core.run", "Run"),
    "load": ("headwater.api", "load"),
    "model": ("headwater.decorators", "model"),
    "object_path": ("headwater.decorators", "object_path"),
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name not in _LAZY:
        raise AttributeError(f"module 'headwater' has no attribute {name!r}")
    module, attribute = _LAZY[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
