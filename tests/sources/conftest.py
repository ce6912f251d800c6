from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from headwater.sources.postgres import rows as postgres_rows
from tests.services.postgres import Postgres

from .postgres_database import Database


@pytest.fixture
def con():
    connection = duckdb.connect(config={"threads": 2, "enable_external_file_cache": False})
    connection.execute("SET TimeZone = 'UTC'")
    yield connection
    connection.close()


@pytest.fixture
def db(postgres: Postgres) -> Iterator[Database]:
    database = Database(postgres)
    yield database
    database.drop()


@pytest.fixture(params=["scanner", "copy"])
def route(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways that PostgreSQL's rows can take."""
    if request.param == "copy":
        monkeypatch.setattr(postgres_rows, "find_scanner", lambda: (None, "slow"))
    else:
        assert postgres_rows.find_scanner()[0] is not None
    return str(request.param)
