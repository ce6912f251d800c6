"""Headwater: the data architecture diagram that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation as Relation

    from headwater.decorators import model

__all__ = ["Relation", "model"]


def __getattr__(name: str) -> Any:
    """Import on first use, so that `import headwater` stays light."""
    if name == "Relation":
        from duckdb import DuckDBPyRelation

        return DuckDBPyRelation
    if name == "model":
        from headwater.decorators import model

        return model
    raise AttributeError(f"module 'headwater' has no attribute {name!r}")
