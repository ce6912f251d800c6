"""The registry of connectors: entry points by kind, loaded when a kind is first used."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast

from headwater.contracts import Consumer, Engine, Source, Store
from headwater.core.near import suggest
from headwater.errors import ProjectError


@cache
def _points(group: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=f"headwater.{group}")}


def list_kinds(group: str) -> tuple[str, ...]:
    """Return the kinds registered in a group ("sources", "stores", "engines" or "consumers"), in alphabetical order."""
    return tuple(sorted(_points(group)))


@cache
def _load(group: str, kind: str, contract: type[Any]) -> Any:
    points = _points(group)
    if kind not in points:
        raise ProjectError(f"unknown kind {kind!r} among the {group}", fix=suggest(kind, points))
    try:
        found = points[kind].load()
    except ImportError as error:
        extra = next(iter(points[kind].extras), kind)
        raise ProjectError(
            f"kind {kind!r} needs the package {error.name}", fix=f"pip install 'headwater[{extra}]'"
        ) from error
    except AttributeError:
        what = f"kind {kind!r} is registered as {points[kind].value}, which is not there"
        raise ProjectError(what, fix="install the package that registers it again") from None
    return found if contract in found.__mro__ else type(found.__name__, (found, contract), {"__doc__": found.__doc__})


def load_source(kind: str) -> type[Source]:
    """Return the class of a source kind.

    Raises:
        ProjectError: No such kind is registered, or its driver is not installed (the message has the install line).
    """
    return cast("type[Source]", _load("sources", kind, Source))


def load_store(kind: str) -> type[Store]:
    """Return the class of a store kind.

    Raises:
        ProjectError: As for `load_source`.
    """
    return cast("type[Store]", _load("stores", kind, Store))


def load_engine(kind: str) -> type[Engine]:
    """Return the class of an engine kind.

    Raises:
        ProjectError: As for `load_source`.
    """
    return cast("type[Engine]", _load("engines", kind, Engine))


def load_consumer(kind: str) -> type[Consumer]:
    """Return the class of a consumer kind.

    Raises:
        ProjectError: As for `load_source`.
    """
    return cast("type[Consumer]", _load("consumers", kind, Consumer))
