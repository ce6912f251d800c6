"""What a contract's file says that is not evaluated: kept as JSON values, and written again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headwater.core.values import Plain, resolve_scalar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

PREFIX = "headwater."
"""What Headwater's own custom properties of a contract begin with."""

OWN = ("from", "port", "product", "owner", "strict", "hidden", "check", "to", "kept")
"""What stands behind the prefix."""

KEPT_PROPERTY = f"{PREFIX}kept"
"""The custom property that holds keys which the version that is written does not have."""


def carry(value: Any) -> Any:
    """Return what is kept as JSON values: a number that JSON would change stays a text."""
    if isinstance(value, dict):
        return {str(key): carry(one) for key, one in value.items()}
    if isinstance(value, list):
        return [carry(one) for one in value]
    if isinstance(value, Plain):
        typed = resolve_scalar(value)
        return str(value) if isinstance(typed, float) and str(typed) != str(value) else typed
    return value


def carry_model(model: BaseModel) -> dict[str, Any]:
    """Return what a part of the file says, with the keys that an export had put among its custom properties."""
    kept: dict[str, Any] = carry(model.model_dump(by_alias=True, exclude_defaults=True))
    properties = [one for one in kept.get("customProperties", ()) if one.get("property") != KEPT_PROPERTY]
    others = [one["value"] for one in kept.pop("customProperties", ()) if one.get("property") == KEPT_PROPERTY]
    return {**kept, **(others[0] if others else {}), **({"customProperties": properties} if properties else {})}


def present(**values: Any) -> dict[str, Any]:
    """Return the values that are something."""
    return {name: value for name, value in values.items() if value is not None and value not in ("", [], {})}


def owner_of(team: Mapping[str, Any]) -> str:
    """Return who of a team answers for what it offers: its first member whose role is owner."""
    members = [one for one in team.get("members") or () if isinstance(one, dict)]
    owners = [one for one in members if str(one.get("role", "")).strip().lower() == "owner"]
    return str(owners[0].get("username") or "") if owners else ""


def team_of(owner: str) -> dict[str, Any]:
    """Return the team of a contract whose owner alone is known."""
    return {"members": [{"username": owner, "role": "owner"}]}
