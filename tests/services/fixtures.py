"""Fixtures of the servers: one of each per session of tests (and per worker of xdist)."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.services.postgres import Postgres, ServerUnavailableError


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
