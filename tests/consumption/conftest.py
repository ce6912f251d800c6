from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.consumption.learning import Learning, new_learning
from tests.consumption.publishing import Publishing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.services.postgres import Postgres


@pytest.fixture
def learning(tmp_path: Path) -> Learning:
    return new_learning(tmp_path)


@pytest.fixture
def publishing(postgres: Postgres) -> Iterator[Publishing]:
    """A database of its own, and a declaration with one table of marts.t."""
    name = f"bi_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres.dsn(), autocommit=True) as session:
        session.execute(f"CREATE DATABASE {name}")
        yield Publishing(postgres.dsn(name), {"t": {"from": "marts.t"}})
        session.execute(f"DROP DATABASE {name} WITH (FORCE)")
