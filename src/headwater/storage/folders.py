"""Where a file store keeps what: one folder per dataset, Headwater's own files in `_headwater/` below it."""

from __future__ import annotations

import re
import shutil
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from headwater.storage.sql import split_dataset

if TYPE_CHECKING:
    from collections.abc import Iterator

_AWKWARD = re.compile(r"[^A-Za-z0-9_\-]")


def encode_name(name: str) -> str:
    """Return a name as a folder's name: awkward characters become `~XX` (percent signs confuse file URLs)."""
    return _AWKWARD.sub(lambda match: "".join(f"~{byte:02X}" for byte in match[0].encode()), name)


def decode_name(text: str) -> str:
    """Return the name that `encode_name` spelled."""
    raw = re.sub(rb"~([0-9A-F]{2})", lambda match: bytes([int(match[1], 16)]), text.encode())
    return raw.decode(errors="replace")


def dataset_folder(root: str, dataset: str) -> Path:
    """Return the folder of a dataset."""
    namespace, name = split_dataset(dataset)
    return Path(root, encode_name(namespace), encode_name(name))


def own_folder(folder: Path) -> Path:
    """Return the folder of Headwater's own files beside a dataset's."""
    return folder / "_headwater"


def list_datasets(root: str) -> Iterator[str]:
    """Yield the names of the datasets that have a folder."""
    top = Path(root)
    for namespace in sorted(top.iterdir()) if top.is_dir() else []:
        for folder in sorted(namespace.iterdir()) if namespace.is_dir() else []:
            if own_folder(folder).is_dir():
                yield f"{decode_name(namespace.name).replace('__', '.')}.{decode_name(folder.name)}"


@contextmanager
def scratch_folder(folder: Path) -> Iterator[Path]:
    """Give a folder for files that are not yet part of a commit; it is gone afterwards."""
    place = own_folder(folder) / "scratch" / uuid.uuid4().hex
    place.mkdir(parents=True)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
