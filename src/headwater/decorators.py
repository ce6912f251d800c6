"""What Python models use: the decorator that declares them, and the way to the lake's objects."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from headwater.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

FunctionT = TypeVar("FunctionT", bound="Callable[..., Any]")

_LAKES: ContextVar[Sequence[str]] = ContextVar("_LAKES", default=())


def model(*, inputs: Mapping[str, str], **header: Any) -> Callable[[FunctionT], FunctionT]:
    """Declare a function as a model.

    Its arguments must be literals: they are read from the file without running it.

    Args:
        inputs: Parameter name to the dataset it reads.
        **header: The keys of a SQL model's header: materialize, store, key, columns, checks and so on.
    """

    def declare(function: FunctionT) -> FunctionT:
        function.__headwater__ = {"inputs": dict(inputs), **header}  # type: ignore[attr-defined]  # a mark on a function
        return function

    return declare


def object_path(place: str) -> Path:
    """Return the file of an object, as the column `object` of a catalogue (`format: objects`) names it.

    Within a model's function: the lakes are those of the environment that runs.

    Raises:
        RunError: No model is running.
    """
    lakes = _LAKES.get()
    if not lakes:
        raise RunError("no model is running, so there is no lake", fix="call object_path within the model's function")
    paths = [Path(lake, place) for lake in lakes]
    return next((path for path in paths if path.exists()), paths[0])


@contextmanager
def objects_in(lakes: Sequence[str]) -> Iterator[None]:
    """Have `object_path` look in the folders of lakes."""
    token = _LAKES.set(lakes)
    try:
        yield
    finally:
        _LAKES.reset(token)
