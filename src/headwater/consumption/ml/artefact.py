"""The files of a trained model, and what of them says that two models are the same.

A model is saved by skops, never by pickle: https://skops.readthedocs.io/en/stable/persistence.html
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

MODEL = "model.skops"
CARD = "model.json"
TRAINING = "training.parquet"

TRUSTED = ("sklearn", "numpy", "scipy")
"""The packages whose types may be in a saved model without being named."""

_SCHEMA = "schema.json"
_VERSION_DIGITS = 16
_ADDRESSES = ("__id__", "_stop_words_id")
"""What holds a place in memory: of skops, and of scikit-learn's vectorizers."""

_NOT_THE_MODEL = ("_skops_version",)


def model_version(path: Path) -> str:
    """Return the hash of a saved model: the same for two that were fitted alike.

    skops names objects by where they lay in memory, so its bytes differ each time. Here an object that is referred to
    is called by its place among all, and a member of the archive by what is in it.
    """
    with zipfile.ZipFile(path) as archive:
        members = {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}
        schema = json.loads(archive.read(_SCHEMA))
    same = _without_addresses(schema, members, {}, count())
    text = json.dumps({key: value for key, value in same.items() if key not in _NOT_THE_MODEL})
    return hashlib.sha256(text.encode()).hexdigest()[:_VERSION_DIGITS]


def _without_addresses(value: Any, members: dict[str, str], places: dict[Any, int], numbers: Iterator[int]) -> Any:
    if isinstance(value, list):
        return [_without_addresses(inner, members, places, numbers) for inner in value]
    if not isinstance(value, dict):
        return value
    number, address = next(numbers), value.get("__id__")
    found: dict[str, Any] = {}
    if value.get("__loader__") == "CachedNode":
        found["__id__"] = places.get(address)
    elif address is not None:
        places[address] = number
    for key, inner in value.items():
        if key == "file" and isinstance(inner, str) and inner in members:
            found[key] = members[inner]
        elif key not in _ADDRESSES:
            found[key] = _without_addresses(inner, members, places, numbers)
    return found


def untrusted_types(path: Path, trust: Collection[str]) -> tuple[str, ...]:
    """Return the types in a saved model that nobody trusts, in alphabetical order; nothing of it is imported."""
    return tuple(name for name in _named_types(path) if not _is_trusted(name) and name not in trust)


def load_model(path: Path, trust: Collection[str]) -> Any:
    """Return the estimator of a file in which all types are trusted (`untrusted_types`)."""
    import skops.io

    return skops.io.load(path, trusted=[name for name in _named_types(path) if _is_trusted(name) or name in trust])


def _named_types(path: Path) -> list[str]:
    """The types that skops itself does not vouch for."""
    import skops.io

    return sorted(skops.io.get_untrusted_types(file=path))


def _is_trusted(name: str) -> bool:
    return name.partition(".")[0] in TRUSTED
