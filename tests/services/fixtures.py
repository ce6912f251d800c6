"""Fixtures of the servers: one of each per session of tests (and per worker of xdist)."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from headwater.consumption.ml import process
from tests.services.postgres import Postgres, ServerUnavailableError
from tests.services.warm_training import WarmTraining


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL; without one the test is skipped, and fails when REQUIRE_SERVICES=1."""
    try:
        with Postgres.start() as server:
            yield server
    except ServerUnavailableError as error:
        if os.environ.get("REQUIRE_SERVICES") == "1":
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def training_server() -> Iterator[WarmTraining]:
    """Forks for each training what has everything imported."""
    server = WarmTraining()
    yield server
    server.stop()


@pytest.fixture
def warm_training(training_server: WarmTraining, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets models be trained in forks; a process that Python starts for each takes seconds."""
    monkeypatch.setattr(process, "start_child", training_server.start)
