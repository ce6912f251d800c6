"""The decorator of Python models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FunctionT = TypeVar("FunctionT", bound="Callable[..., Any]")


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
