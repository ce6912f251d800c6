"""Being somebody whom permissions bind: for root they do not."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_NOBODY = 65534


@contextmanager
def open_folder() -> Iterator[Path]:
    """Give a folder whose parents everybody may enter; pytest's own are closed."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Be `nobody` in this process, if it is root's; what is imported meanwhile has to be imported already."""
    if os.geteuid():
        yield
        return
    try:
        os.seteuid(_NOBODY)
    except PermissionError:
        pytest.skip("root may not become another user here, and permissions do not bind root")
    try:
        yield
    finally:
        os.seteuid(0)
