"""Where a file store keeps what: one folder per dataset, Headwater's own files in `_headwater/` below it."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from headwater.errors import ConnectorError, StateError
from headwater.storage.common.disk import explain_full_disk
from headwater.storage.common.sql import split_dataset

if TYPE_CHECKING:
    from collections.abc import Iterator

_NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}
"""What a file system without locks answers."""

_AWKWARD = re.compile(r"[^A-Za-z0-9_\-]")


@runtime_checkable
class _Notes(Protocol):
    """A session that says whether stores may write down beside their files what they have found out."""

    leaves_notes: bool


def leaves_notes(session: object) -> bool:
    """Whether a store may write down beside its files what it has found out."""
    return not isinstance(session, _Notes) or session.leaves_notes


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
    """Give a folder for files that are not yet part of a commit; it is gone afterwards.

    It is locked while it is used: maintenance can tell a writer that lives, though it may be stopped, from one that
    was killed.
    """
    place = own_folder(folder) / "scratch" / uuid.uuid4().hex
    place.mkdir(parents=True)
    descriptor = os.open(place, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)  # it waits for who asks `is_used` at this moment
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        yield place
    finally:
        os.close(descriptor)
        shutil.rmtree(place, ignore_errors=True)


def is_used(place: Path) -> bool:
    """Whether the writer of a scratch folder lives."""
    try:
        descriptor = os.open(place, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def is_written(folder: Path) -> bool:
    """Whether some process is about to commit to the table in a folder.

    Who asks this after listing files, and reads after it what the last commit names, knows which of those files no
    commit will ever name: a writer that begins later gives its files names of their own.
    """
    return any(is_used(place) for place in own_folder(folder).glob("scratch/*/"))


@contextmanager
def report_removed(dataset: str) -> Iterator[None]:
    """Say of a file that is gone while a load is written that somebody has removed it."""
    import duckdb

    try:
        yield
    except FileNotFoundError as error:
        what = f"{dataset}: {error.filename2 or error.filename} is gone: somebody removed it meanwhile"
        raise StateError(f"{what}; nothing was changed", fix="run again") from error
    except duckdb.IOException as error:
        if explain_full_disk("", error) is not None:
            raise
        text = str(error).partition("\n")[0]
        raise ConnectorError(f"{dataset}: {text}; nothing was changed", fix="run again") from error
