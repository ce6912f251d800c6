"""What tests of several packages share: projects written from texts."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import settings

from headwater.core.project import Project
from headwater.errors import ProjectError, ProjectErrors
from headwater.project.loader import load_project
from tests.services.fixtures import postgres as postgres
from tests.services.fixtures import training_server as training_server
from tests.services.fixtures import warm_training as warm_training

settings.register_profile("headwater", deadline=None)
settings.load_profile("headwater")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # so a shell starts what runs in its background, and all below it
    signal.signal(signal.SIGINT, signal.default_int_handler)

Files = Mapping[str, str]

ORDERS = """kind: files
tables:
  orders:
    path: in/*.csv
    columns: {id: bigint, amount: "decimal(8,2)", placed: timestamp}
"""
"""A source with one table; written to sources/shop.yaml it is shop.orders."""


@pytest.fixture
def write_project(tmp_path: Path) -> Callable[[Files], Path]:
    """Writes a project (headwater.yaml is there already) and returns its folder; later calls add to it."""

    def write(files: Files) -> Path:
        for name, text in {"headwater.yaml": "name: demo\n", **files}.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        return tmp_path

    return write


@pytest.fixture
def load_files(write_project: Callable[[Files], Path]) -> Callable[..., Project]:
    """Writes a project and loads it."""

    def load(files: Files, environment: str = "") -> Project:
        return load_project(write_project(files), environment)

    return load


@pytest.fixture
def errors_of(write_project: Callable[[Files], Path]) -> Callable[..., list[str]]:
    """Writes a project and returns the texts of all its errors, in their order."""

    def load(files: Files, environment: str = "") -> list[str]:
        folder = write_project(files)
        with pytest.raises(ProjectErrors) as caught:
            load_project(folder, environment)
        assert all(isinstance(error, ProjectError) and error.path for error in caught.value.errors)
        return [str(error) for error in caught.value.errors]

    return load
