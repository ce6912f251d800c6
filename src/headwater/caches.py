"""Caches in files: who wrote them and a checksum stand before the entries; losing one costs time only."""

from __future__ import annotations

import json
import os
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from headwater.core.files import read_regular

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def read_cache(file: Path, stamp: str) -> dict[str, Any]:
    """Return the entries of a cache; a file that cannot be read, is damaged or bears another stamp has none."""
    try:
        text = read_regular(file)
        body = text[len(_head(stamp, b"")) : -1]
        entries = json.loads(body) if text == _head(stamp, body) + body + b"}" else {}
    except (OSError, ValueError):
        return {}
    return entries if isinstance(entries, dict) else {}


def write_cache(file: Path, stamp: str, entries: Mapping[str, Any]) -> None:
    """Write a cache, the checksum of its entries before them; a folder that cannot be written is passed over."""
    body = json.dumps(entries).encode()
    aside = file.with_suffix(f".{os.getpid()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(_head(stamp, body) + body + b"}")
        aside.replace(file)
    except OSError:
        with suppress(OSError):
            aside.unlink()


def _head(stamp: str, body: bytes) -> bytes:
    """Return what stands before the entries: who wrote them, and their checksum."""
    return f'{{"stamp": {json.dumps(f"{stamp} {zlib.crc32(body):08x}")}, "entries": '.encode()
