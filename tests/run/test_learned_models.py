"""Learned models in a run: trained once, kept when they are good enough, and asked for scores."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import headwater
from headwater.core.run import Status, StepResult
from headwater.errors import PlanError, ProjectErrors, StateError

pytestmark = pytest.mark.usefixtures("warm_training")

Write = Callable[[dict[str, str]], Path]

DECLARED = """kind: model
owner: ann
spine: {from: marts.labels, key: customer, time: at, label: churned}
features:
  - {from: marts.history, columns: [orders], available: seen}
train: churn.py:train
split: {test_from: 2024-09-01}
metrics: [roc_auc]
baseline: most_frequent
must_beat_baseline: true
score: {rows: marts.labels, into: lakehouse}
"""

TRAIN = """import numpy as np
from sklearn.linear_model import LogisticRegression


def train(rows):
    matrix = np.column_stack([rows["orders"].to_numpy()])
    return LogisticRegression().fit(matrix, rows["churned"].to_pylist())
"""

LABELS = (
    "select range as customer, timestamp '2024-01-01' + to_days(range::integer) as at,\n"
    "(range * 7919 % 10) > 4 as churned from range(400)"
)

PROJECT = {
    "models/marts/labels.sql": LABELS,
    "models/marts/history.sql": (
        "select range as customer, timestamp '2024-01-01' + to_days(range::integer) - interval 1 hour as seen,\n"
        "((range * 7919 % 10) > 4)::integer * 5 + range % 3 as orders from range(400)"
    ),
    "models/marts/late.sql": "select customer, score from ml.churn_scores where score > 0.5",
    "ml/churn.yaml": DECLARED,
    "ml/churn.py": TRAIN,
}


def results(folder: Path) -> dict[str, StepResult]:
    return {result.step: result for result in headwater.load(folder).run().results}


def test_it_is_trained_once_gives_scores_and_is_skipped(write_project: Write) -> None:
    folder = write_project(PROJECT)
    first = results(folder)
    assert {one.status for one in first.values()} == {Status.DONE}, [one.error for one in first.values()]
    loaded = headwater.load(folder)
    (scored,) = loaded.query(
        "select count(*) as n, count(distinct model_version) as v from ml.churn_scores"
    ).to_pylist()
    assert scored == {"n": 400, "v": 1}
    (late,) = loaded.query("select count(*) as n from marts.late").to_pylist()
    assert late == {"n": 200}
    details = loaded.states()["ml.churn"].position["details"]
    assert details["metrics"] == {"roc_auc": 1.0}
    assert details["baseline"]["metrics"] == {"roc_auc": 0.5}
    assert {one.status for one in results(folder).values()} == {Status.SKIPPED}
    files = {path.name for path in (folder / "data/artefacts/ml/churn/latest").iterdir()}
    assert files == {"_commit.json", "model.json", "model.skops", "training.parquet"}
    lineage = loaded.lineage()
    assert lineage.datasets["ml.churn"].column("training.orders").leaves == (("marts.history", "orders"),)  # type: ignore[union-attr]


def test_code_and_rows_that_change_train_again(write_project: Write) -> None:
    folder = write_project(PROJECT)
    results(folder)
    version = headwater.load(folder).states()["ml.churn"].position["details"]["model_version"]
    write_project({"ml/churn.py": TRAIN.replace("LogisticRegression()", "LogisticRegression(C=0.1)")})
    again = results(folder)
    assert (again["ml.churn"].status, again["ml.churn_scores/score"].status) == (Status.DONE, Status.DONE)
    assert headwater.load(folder).states()["ml.churn"].position["details"]["model_version"] != version
    write_project({"models/marts/labels.sql": LABELS.replace("range(400)", "range(390)")})
    again = results(folder)
    assert again["ml.churn"].rows == 390
    assert again["ml.churn_scores/score"].rows == 390


def test_a_model_that_is_no_better_than_its_baseline_stays_out(write_project: Write) -> None:
    folder = write_project(PROJECT)
    results(folder)
    before = headwater.load(folder).states()["ml.churn"].position["details"]["model_version"]
    worse = TRAIN.replace('rows["orders"].to_numpy()', '0 * rows["orders"].to_numpy()')
    write_project({"ml/churn.py": worse})
    again = results(folder)
    assert again["ml.churn"].status is Status.FAILED
    assert "baseline" in again["ml.churn"].error
    assert again["ml.churn_scores/score"].status is Status.BLOCKED
    assert headwater.load(folder).states()["ml.churn"].position["details"]["model_version"] == before
    assert headwater.load(folder).query("select count(*) as n from ml.churn_scores").to_pylist() == [{"n": 400}]


def test_an_error_of_the_users_code_has_its_line(write_project: Write) -> None:
    folder = write_project({**PROJECT, "ml/churn.py": TRAIN.replace("    matrix =", "    1 / 0\n    matrix =")})
    failed = results(folder)["ml.churn"]
    assert failed.status is Status.FAILED
    assert "ml/churn.py:6" in failed.error
    assert "ZeroDivisionError" in failed.error


def test_a_wrong_declaration_is_told_before_anything_runs(write_project: Write) -> None:
    with pytest.raises(ProjectErrors, match="kolumns"):
        headwater.load(write_project({**PROJECT, "ml/churn.yaml": DECLARED.replace("columns:", "kolumns:")}))
    with pytest.raises(ProjectErrors) as caught:
        headwater.load(write_project({**PROJECT, "ml/churn.yaml": DECLARED.replace("[orders]", "[order]")})).check()
    assert "ml/churn.yaml" in str(caught.value)
    assert "orders" in str(caught.value)
    with pytest.raises(ProjectErrors, match="lakehous"):
        headwater.load(write_project({**PROJECT, "ml/churn.yaml": DECLARED.replace("lakehouse", "lakehous")}))


def test_secrets_that_the_code_prints_are_in_no_commit(write_project: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "hunter2hunter2")
    noisy = TRAIN.replace("    matrix =", '    print("hunter2hunter2")\n    matrix =')
    source = 'kind: rest\nconnection: http://127.0.0.1:9\nauth: {kind: bearer, token: "${env:TOKEN}"}\n'
    source += "tables: {t: {path: /x, columns: {id: bigint}}}\n"
    folder = write_project({**PROJECT, "ml/churn.py": noisy, "sources/api.yaml": source})
    loaded = headwater.load(folder)
    run = loaded.run(select=["+ml.churn"])
    assert run.status is Status.DONE, [one.error for one in run.results]
    assert "hunter2" not in json.dumps(loaded.states()["ml.churn"].position)
    kept = [path for path in (folder / "data").rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]
    assert kept == []


def test_it_works_in_a_domain(write_project: Write) -> None:
    moved = {f"domains/crm/{name}": text for name, text in PROJECT.items()}
    folder = write_project(moved)
    done = results(folder)
    assert {one.status for one in done.values()} == {Status.DONE}, [one.error for one in done.values()]
    assert headwater.load(folder).query("select count(*) as n from crm.marts.late").to_pylist() == [{"n": 200}]


def test_a_damaged_model_gives_no_scores(write_project: Write) -> None:
    folder = write_project(PROJECT)
    results(folder)
    model = (folder / "data/artefacts/ml/churn/latest/model.skops").resolve()
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    write_project({"ml/churn.yaml": DECLARED.replace("owner: ann", "owner: ann\ndescription: x")})
    loaded = headwater.load(folder)
    failed = {r.step: r for r in loaded.run(select=["ml.churn_scores"], full=["ml.churn_scores"]).results}
    assert failed["ml.churn_scores/score"].status is Status.FAILED
    assert "its bytes are not those that were written" in failed["ml.churn_scores/score"].error
    assert "headwater run --reset ml.churn" in failed["ml.churn_scores/score"].error
    assert loaded.query("select count(*) as n from ml.churn_scores").to_pylist() == [{"n": 400}]


def test_an_earlier_version_is_used_and_let_go(write_project: Write) -> None:
    folder = write_project(PROJECT)
    results(folder)
    write_project({"ml/churn.py": TRAIN.replace("LogisticRegression()", "LogisticRegression(C=0.1)")})
    results(folder)
    loaded = headwater.load(folder)
    newest, first = loaded.states()["ml.churn"].kept
    scores = "select distinct model_version from ml.churn_scores"
    models = {kept.commit.version: kept.commit.position["details"]["model_version"] for kept in (first, newest)}
    assert sorted(models) == [1, 2]
    assert loaded.query(scores).to_pylist() == [{"model_version": models[2]}]

    loaded.reset([], use=["ml.churn@1"])
    again = results(folder)
    assert (again["ml.churn"].status, again["ml.churn"].reason) == (
        Status.SKIPPED, "it is of version 1, as asked; `run --use ml.churn` ends that",
    )  # fmt: skip
    assert again["ml.churn_scores/score"].status is Status.DONE
    assert loaded.query(scores).to_pylist() == [{"model_version": models[1]}]
    write_project({"models/marts/labels.sql": LABELS.replace("range(400)", "range(390)")})
    again = results(folder)
    assert again["ml.churn"].status is Status.SKIPPED
    assert again["ml.churn_scores/score"].rows == 390
    notes = headwater.load(folder).plan().notes
    assert "ml.churn is of version 1, as asked, and not made again: `headwater run --use ml.churn` ends that" in notes
    assert [kept.commit.position.get("pinned") for kept in headwater.load(folder).states()["ml.churn"].kept] == [
        1, None, None,
    ]  # fmt: skip

    headwater.load(folder).reset([], use=["ml.churn"])
    again = results(folder)
    assert again["ml.churn"].rows == 390
    assert headwater.load(folder).query(scores).to_pylist() != [{"model_version": models[1]}]
    assert "pinned" not in headwater.load(folder).states()["ml.churn"].position


def test_to_end_a_version_is_to_read_the_newest(write_project: Write) -> None:
    """What the newest was made of is what there is now: nothing is due, and yet it is read again."""
    folder = write_project(
        {**PROJECT, "ml/churn.py": TRAIN.replace("def train", "SEED = len(__file__)\n\n\ndef train")}
    )
    results(folder)
    write_project({"ml/churn.py": TRAIN.replace("LogisticRegression()", "LogisticRegression(C=0.1)")})
    results(folder)
    write_project({"ml/churn.py": TRAIN.replace("def train", "SEED = len(__file__)\n\n\ndef train")})
    loaded = headwater.load(folder)
    newest = loaded.states()["ml.churn"].position["details"]["model_version"]
    loaded.reset([], use=["ml.churn@1"])
    write_project({"ml/churn.py": TRAIN.replace("LogisticRegression()", "LogisticRegression(C=0.1)")})
    headwater.load(folder).reset([], use=["ml.churn"])
    assert headwater.load(folder).states()["ml.churn"].position["details"]["model_version"] == newest
    again = results(folder)
    assert (again["ml.churn"].status, again["ml.churn_scores/score"].status) == (Status.SKIPPED, Status.DONE)


@pytest.mark.parametrize("damage", ["changed", "gone", "beside"])
def test_a_version_that_is_not_as_it_was_written(write_project: Write, damage: str) -> None:
    folder = write_project(PROJECT)
    results(folder)
    write_project({"ml/churn.py": TRAIN.replace("LogisticRegression()", "LogisticRegression(C=0.1)")})
    results(folder)
    first = folder / "data/artefacts/ml/churn/load=00000001"
    if damage == "beside":
        (first / "other.py").write_text("x = 1\n")
        headwater.load(folder).reset([], use=["ml.churn@1"])
        files = {path.name for path in (folder / "data/artefacts/ml/churn/latest").iterdir()}
        assert files == {"_commit.json", "model.json", "model.skops", "training.parquet"}
        return
    card = (first / "model.json").read_bytes()
    (first / "model.json").write_bytes(card.replace(b"1", b"2", 1)) if damage == "changed" else (
        first / "model.json"
    ).unlink()
    before = headwater.load(folder).states()["ml.churn"].commit
    with pytest.raises(StateError if damage == "changed" else PlanError, match=r"not as it was written|no version 1"):
        headwater.load(folder).reset([], use=["ml.churn@1"])
    assert headwater.load(folder).states()["ml.churn"].commit == before


def test_an_earlier_version_mends_a_damaged_one(write_project: Write) -> None:
    folder = write_project(PROJECT)
    results(folder)
    write_project({"ml/churn.py": TRAIN.replace("LogisticRegression()", "LogisticRegression(C=0.1)")})
    results(folder)
    (folder / "data/artefacts/ml/churn/load=00000002/model.skops").write_bytes(b"nothing")
    assert headwater.load(folder).states()["ml.churn"].foreign
    headwater.load(folder).reset([], use=["ml.churn@1"])
    assert headwater.load(folder).states()["ml.churn"].foreign == ""
    assert results(folder)["ml.churn_scores/score"].status is Status.DONE


def test_a_word_that_is_wrong_beside_it_changes_nothing(write_project: Write) -> None:
    folder = write_project(PROJECT)
    results(folder)
    loaded = headwater.load(folder)
    before = loaded.states()["ml.churn"].commit
    for names, use in ((["nope"], ["ml.churn@1"]), ([], ["ml.churn@1", "ml.churn"])):
        with pytest.raises(PlanError):
            loaded.reset(names, use=use)
    assert loaded.states()["ml.churn"].commit == before


def test_full_ends_a_version_that_was_asked_for(write_project: Write) -> None:
    folder = write_project(PROJECT)
    results(folder)
    loaded = headwater.load(folder)
    loaded.reset([], use=["ml.churn@1"])
    assert loaded.states()["ml.churn"].position["pinned"] == 1
    run = headwater.load(folder).run(full=["ml.churn"])
    assert {result.step: result.status for result in run.results}["ml.churn"] is Status.DONE
    assert "pinned" not in headwater.load(folder).states()["ml.churn"].position


@pytest.mark.parametrize(
    ("term", "what", "fix"),
    [
        ("ml.churn@7", "ml.churn has no version 7 whose files are kept", "these are: 1"),
        ("ml.churn@x", "'x' is no version", "headwater show ml.churn lists them"),
        ("ml.chrn@1", "nothing that makes files is named ml.chrn", "did you mean 'ml.churn'?"),
        ("marts.late@1", "nothing that makes files is named marts.late", "known: ml.churn"),
    ],
)
def test_a_version_that_cannot_be_used(write_project: Write, term: str, what: str, fix: str) -> None:
    folder = write_project(PROJECT)
    loaded = headwater.load(folder)
    with pytest.raises(StateError, match=r"ml\.churn was never made"):
        loaded.reset([], use=["ml.churn@1"])
    results(folder)
    before = loaded.states()["ml.churn"].commit
    with pytest.raises(PlanError) as told:
        loaded.reset([], use=[term] if term.startswith("ml.churn@") else ["ml.churn@1", term])
    assert what in told.value.what
    assert fix in told.value.fix
    assert loaded.states()["ml.churn"].commit == before
