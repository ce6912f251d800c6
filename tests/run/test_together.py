"""Small models share a transaction of the warehouse: what is committed, seen and told is as if each had its own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from headwater.api import load
from headwater.run import together
from headwater.run.steps import transform
from headwater.storage.warehouse.file import WarehouseFile
from tests.run.projects import change_models, small_models_project, write
from tests.run.runner import NOW, rows, run, run_all, run_well, statuses

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def transactions(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many transactions the warehouse has had, as the length of a list; groups are as long as they may be."""
    begun: list[int] = []
    whole = WarehouseFile.transaction

    @contextmanager
    def counted(self: WarehouseFile, connection: Any) -> Iterator[None]:
        begun.append(1)
        with whole(self, connection):
            yield

    monkeypatch.setattr(WarehouseFile, "transaction", counted)
    monkeypatch.setattr(together, "MOST_SECONDS", 60.0)
    return begun


def all_rows(folder: Path, count: int) -> list[Any]:
    return [rows(folder, f"SELECT * FROM marts.m{number}") for number in range(1, count)]


def test_a_chain_of_models_takes_two_transactions(tmp_path: Path, transactions: list[int]) -> None:
    """The first model reads nothing, so that nobody knows how much it is; the others go together."""
    folder = small_models_project(tmp_path / "p", "warehouse", 12)
    results = run_well(folder)
    assert set(statuses(results).values()) == {"done"}
    assert len(transactions) == 2
    change_models(folder)
    transactions.clear()
    assert set(statuses(run_well(folder)).values()) == {"done"}
    assert len(transactions) == 2
    assert set(statuses(run_well(folder)).values()) == {"skipped"}


def test_it_is_as_if_each_had_its_own(tmp_path: Path, transactions: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    shared = small_models_project(tmp_path / "shared", "warehouse")
    alone = small_models_project(tmp_path / "alone", "warehouse")
    told: dict[str, list[Any]] = {}
    for folder in (shared, alone):
        events: list[Any] = []
        monkeypatch.setattr(transform, "SMALL_ROWS", -1 if folder == alone else 100_000)
        for _ in range(2):
            run_all(folder, listeners=[lambda event, events=events: events.append((event.name, event.step))])
            change_models(folder)
        told[folder.name] = sorted(events)
        states = load(folder).states()
        told[folder.name] += [
            (n, s.version, s.columns, s.commit and (s.commit.inputs, s.commit.rows, s.commit.times, s.commit.content))
            for n, s in sorted(states.items())
        ]
    assert told["shared"] == told["alone"]
    assert all_rows(shared, 9) == all_rows(alone, 9)
    assert len(transactions) == 4 + 2 * 9


def test_one_that_fails_takes_nobody_with_it(tmp_path: Path, transactions: list[int]) -> None:
    header = "/* headwater\nstore: warehouse\nchecks:\n  - range: {max: 100}\n    column: v\n*/\n"
    files = {"models/marts/m3.sql": f"{header}select id, v from marts.m2\n"}
    folder = write(small_models_project(tmp_path / "p", "warehouse"), files)
    results = run(folder)
    assert statuses(results) == {
        "raw.m0/transform": "done",
        "marts.m1/transform": "done",
        "marts.m2/transform": "done",
        "marts.m3/transform": "failed",
        **{f"marts.m{number}/transform": "blocked" for number in range(4, 9)},
    }
    assert "range" in results["marts.m3/transform"].error
    assert sorted(load(folder).states()) == ["marts.m1", "marts.m2", "raw.m0"]
    write(folder, {"models/marts/m3.sql": header.replace("100", "10000") + "select id, v from marts.m2\n"})
    assert statuses(run_well(folder))["marts.m8/transform"] == "done"


def test_an_error_of_the_query_is_told_as_ever(
    tmp_path: Path, transactions: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "select id, case when v > 30 then error('too much') else v end as v from marts.m1\n"
    header = "/* headwater\nstore: warehouse\n*/\n"
    told = []
    for name, small_rows in (("shared", 100_000), ("alone", -1)):
        monkeypatch.setattr(transform, "SMALL_ROWS", small_rows)
        folder = write(small_models_project(tmp_path / name, "warehouse"), {"models/marts/m2.sql": header + text})
        events: list[tuple[str, str]] = []
        found = load(folder).run(now=NOW, workers=1, listeners=[lambda e, to=events: to.append((e.name, e.step))])
        results = {result.step: result for result in found.results}
        told.append((results["marts.m2/transform"].error, statuses(results)))
        assert events.count(("step_started", "marts.m2/transform")) == 1
        assert events.count(("step_started", "marts.m1/transform")) == 1
    assert told[0] == told[1]
    assert "too much" in told[0][0]


@pytest.mark.parametrize(
    "read",
    ["select * from m1_view", 'select * from "marts"."m1"', "select Marts.m1.id, m1.v from marts.m1",
     "with a as (select * from marts . m1) select a.* from a join (from marts.m1) as b using (id)"],
    ids=["a view", "quoted", "with its namespace", "twice"],
)  # fmt: skip
def test_what_was_written_in_the_same_transaction_is_read(tmp_path: Path, transactions: list[int], read: str) -> None:
    header = "/* headwater\nstore: warehouse\n*/\n"
    files = {
        "models/main/m1_view.sql": "/* headwater\nmaterialize: view\n*/\nselect * from marts.m1\n",
        "models/marts/reads.sql": f"{header}{read}\n",
    }
    folder = write(small_models_project(tmp_path / "p", "warehouse", 4), files)
    run_well(folder)
    assert rows(folder, "SELECT * FROM marts.reads") == rows(folder, "SELECT * FROM marts.m1")
    change_models(folder)
    run_well(folder)
    assert rows(folder, "SELECT * FROM marts.reads") == rows(folder, "SELECT * FROM marts.m1")
    assert rows(folder, "SELECT v FROM marts.m1 WHERE id = 0") == [(8,)]


def test_a_model_that_reads_much_has_its_own(
    tmp_path: Path, transactions: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transform, "SMALL_ROWS", 19)
    run_well(small_models_project(tmp_path / "p", "warehouse"))
    assert len(transactions) == 9


def test_a_check_that_looks_into_another_table_has_its_own(tmp_path: Path, transactions: list[int]) -> None:
    check = "checks:\n  - relationship: {to: marts.m1, field: id}\n    column: id\n"
    text = f"/* headwater\nstore: warehouse\n{check}*/\nselect id, v from marts.m2\n"
    folder = write(small_models_project(tmp_path / "p", "warehouse"), {"models/marts/m3.sql": text})
    assert statuses(run_well(folder))["marts.m8/transform"] == "done"
    assert len(transactions) == 4


def test_workers_share_the_work(tmp_path: Path) -> None:
    folder = small_models_project(tmp_path / "p", "warehouse", 30)
    assert set(statuses(run_well(folder, workers=4)).values()) == {"done"}
    assert len(all_rows(folder, 30)) == 29


@pytest.mark.parametrize(
    ("boundary", "ended"), [("before_commit", "stopped"), ("claimed", "stopped"), ("after_commit", "done")]
)
def test_a_stop_within_a_transaction_leaves_all_of_it_or_nothing(
    tmp_path: Path, transactions: list[int], boundary: str, ended: str
) -> None:
    folder = small_models_project(tmp_path / "p", "warehouse")
    contexts: list[Any] = []

    def stop(event: Any) -> None:
        if (event.name, event.step) == (boundary, "marts.m3/transform"):
            contexts[0].stopping.set()

    loaded = load(folder)
    found = loaded.run(now=NOW, workers=1, listeners=[stop], on_start=lambda _, context: contexts.append(context))
    got = statuses({result.step: result for result in found.results})
    made = {name for name in load(folder).states() if name.startswith("marts.")}
    assert made in (set(), {f"marts.m{number}" for number in range(1, 9)})
    assert (got["marts.m1/transform"], bool(made)) == (ended, ended == "done")
    assert set(statuses(run_well(folder)).values()) <= {"done", "skipped"}
    assert len(all_rows(folder, 9)) == 8
