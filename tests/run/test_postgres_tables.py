"""Tables of PostgreSQL in a run: published when their data change, whole after a kill, no secret anywhere."""

from __future__ import annotations

import contextlib
import threading
import uuid
from typing import TYPE_CHECKING

import psycopg
import pytest

import headwater
from headwater.core.run import Status
from headwater.errors import ProjectErrors
from tests.run.kill import run_child
from tests.run.projects import write
from tests.run.runner import run, run_well
from tests.services.postgres import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.services.postgres import Postgres

STEP = "dashboards.warehouse"

DECLARED = """kind: postgres
connection: "${env:BI_DSN}"
database_schema: gold
owner: ann
tables:
  daily_revenue: {from: marts.daily_revenue, key: [day, currency]}
  days: {from: marts.days}
files: [pbids]
"""


def models(version: int) -> dict[str, str]:
    revenue = f"select date '2026-01-01' + n::integer as day, 'EUR' as currency, {version}.10 as v from range(50) t(n)"
    return {"models/marts/daily_revenue.sql": revenue, "models/marts/days.sql": "select v from marts.daily_revenue"}


@pytest.fixture
def dsn(postgres: Postgres) -> Iterator[str]:
    name = f"bi_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres.dsn(), autocommit=True) as session:
        session.execute(f"CREATE DATABASE {name}")
    yield postgres.dsn(name)
    with psycopg.connect(postgres.dsn(), autocommit=True) as session:
        session.execute(f"DROP DATABASE {name} WITH (FORCE)")


def project(folder: Path, dsn: str) -> Path:
    files = {"headwater.yaml": "name: bi\n", ".env": f"BI_DSN={dsn}\n", "dashboards/warehouse.yaml": DECLARED}
    return write(folder, {**files, **models(1)})


def ask(dsn: str, sql: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn) as session:
        return session.execute(sql).fetchall()


def state(dsn: str) -> list[tuple[object, ...]]:
    """What both tables have, in one statement: lowest and highest of each, and how many rows."""
    return ask(
        dsn,
        "SELECT a.*, b.* FROM (SELECT min(v)::text, max(v)::text, count(*) FROM gold.daily_revenue) a, "
        "(SELECT min(v)::text, max(v)::text, count(*) FROM gold.days) b",
    )


def whole(version: int) -> list[tuple[object, ...]]:
    return [(f"{version}.10", f"{version}.10", 50) * 2]


def test_published_skipped_and_published_again(tmp_path: Path, dsn: str) -> None:
    folder = project(tmp_path, dsn)
    assert run_well(folder)[STEP].rows == 100
    assert state(dsn) == whole(1)
    assert run_well(folder)[STEP].status is Status.SKIPPED
    write(folder, models(2))
    assert run_well(folder)[STEP].status is Status.DONE
    assert state(dsn) == whole(2)
    assert ask(dsn, "SELECT sequence FROM _headwater.commits") == [(2,)]
    details = headwater.load(folder).states()[STEP].position["details"]
    assert details["sequence"] == 2
    assert details["tables"]["days"] == {"from": "marts.days", "rows": 50, "columns": {"v": "numeric(3,2)"}}
    latest = folder / "data/artefacts/dashboards/warehouse/latest"
    assert sorted(path.name for path in latest.iterdir() if not path.name.startswith("_")) == [
        "connection.pbids",
        "tables.json",
    ]


def test_a_check_that_fails_leaves_the_last_version(tmp_path: Path, dsn: str) -> None:
    folder = project(tmp_path, dsn)
    run_well(folder)
    broken = "/* headwater\nchecks: [{row_count: {max: 10}}]\n*/\n" + models(2)["models/marts/daily_revenue.sql"]
    write(folder, {"models/marts/daily_revenue.sql": broken})
    results = run(folder)
    assert sum(result.status is Status.FAILED for result in results.values()) == 1
    assert results[STEP].status is not Status.DONE
    assert state(dsn) == whole(1)


def test_killed_at_every_boundary_of_a_publish(tmp_path: Path, dsn: str) -> None:
    """After PostgreSQL's commit and before the artefact's too: the next run publishes again."""
    folder = project(tmp_path, dsn)
    run_well(folder)
    write(folder, models(2))
    steps: list[str] = []
    headwater.load(folder).run(listeners=[lambda event: steps.append(event.step)], workers=1)
    places = [number for number, step in enumerate(steps, start=1) if step == STEP]
    assert len(places) > 3
    doubled = 0
    for version, at in enumerate(places, start=3):
        write(folder, models(version))
        assert run_child(folder, at=at).killed
        assert state(dsn) in (whole(version - 1), whole(version))
        before = ask(dsn, "SELECT sequence FROM _headwater.commits")
        done = state(dsn) == whole(version)
        run_well(folder)
        assert state(dsn) == whole(version)
        doubled += done and ask(dsn, "SELECT sequence FROM _headwater.commits") != before
    assert doubled  # one of the kills was between both commits


def test_killed_at_any_moment_of_a_publish(tmp_path: Path, dsn: str) -> None:
    folder = project(tmp_path, dsn)
    usual = run_child(folder)
    for version in range(2, 8):
        write(folder, models(version))
        run_child(folder, after_s=usual.lasted_s * (0.4 + version * 0.08))
        assert state(dsn) in (whole(version - 1), whole(version))
        run_well(folder)
        assert state(dsn) == whole(version)


def test_the_password_stands_nowhere(tmp_path: Path, dsn: str, capfd: pytest.CaptureFixture[str]) -> None:
    wrong = "Wr0ng-and-secret"
    folder = project(tmp_path, dsn)
    run_well(folder)
    write(folder, {".env": f"BI_DSN={dsn.replace(PASSWORD, wrong)}\n", **models(2)})
    result = run(folder)[STEP]
    assert result.status is Status.FAILED
    assert "check user and password of the connection" in result.error
    assert wrong not in result.error
    for file in (path for path in (folder / "data").rglob("*") if path.is_file()):
        held = file.read_bytes()
        assert PASSWORD.encode() not in held, file
        assert wrong.encode() not in held, file
    shown = "".join(capfd.readouterr())
    assert PASSWORD not in shown
    assert wrong not in shown
    assert state(dsn) == whole(1)


def test_the_server_goes_away_and_comes_back(tmp_path: Path, dsn: str, postgres: Postgres) -> None:
    folder = project(tmp_path, dsn)
    run_well(folder)
    write(folder, models(2))
    postgres.stop()
    try:
        result = run(folder)[STEP]
    finally:
        postgres.resume()
    assert result.status is Status.FAILED
    assert "run again when the server answers" in result.error
    assert run_well(folder)[STEP].status is Status.DONE
    assert state(dsn) == whole(2)


def test_a_session_that_is_cut_off_in_the_middle(tmp_path: Path, dsn: str) -> None:
    folder = project(tmp_path, dsn)
    run_well(folder)
    write(folder, models(2))
    stop = threading.Event()

    def cut() -> None:
        with psycopg.connect(dsn, autocommit=True) as session:
            while not stop.is_set():
                session.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
                    "AND pid <> pg_backend_pid() AND application_name LIKE 'headwater%'"
                )

    thread = threading.Thread(target=cut)
    thread.start()
    with contextlib.suppress(AssertionError):
        assert run(folder)[STEP].status is Status.FAILED
    stop.set()
    thread.join()
    assert state(dsn) in (whole(1), whole(2))
    run_well(folder)
    assert state(dsn) == whole(2)


def test_mistakes_are_errors_at_check(tmp_path: Path, dsn: str) -> None:
    folder = project(tmp_path, dsn)
    write(folder, {"dashboards/warehouse.yaml": DECLARED.replace("marts.days", "marts.dayz")})
    with pytest.raises(ProjectErrors, match=r"dashboards/warehouse\.yaml.*marts\.dayz"):
        headwater.load(folder).check()
    write(folder, {"dashboards/warehouse.yaml": DECLARED.replace("files: [pbids]", "files: [pdf]")})
    with pytest.raises(ProjectErrors, match=r"dashboards/warehouse\.yaml:8"):
        headwater.load(folder).check()
    write(folder, {"dashboards/warehouse.yaml": DECLARED, ".env": f"BI_DSN={dsn.rpartition('/')[0]}\n"})
    with pytest.raises(ProjectErrors, match="names no database") as caught:
        headwater.load(folder).check()
    assert PASSWORD not in str(caught.value)
