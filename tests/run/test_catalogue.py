"""What a run knows of its tables: never what is not committed, and after a commit what the store says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from headwater.api import load
from headwater.run import together
from tests.run.projects import change_models, small_models_project
from tests.run.runner import HEADER, NOW, put, run_well, source

if TYPE_CHECKING:
    from pathlib import Path

    from headwater.core.run import Event
    from headwater.run.catalogue import Catalogue


def run_watched(folder: Path, watch: Any = None, **options: Any) -> Catalogue:
    """Run a project; return what the run knew in the end. `watch` is called with that and each event."""
    known: list[Catalogue] = []

    def listen(event: Event) -> None:
        if watch is not None and known:
            watch(known[0], event)

    result = load(folder).run(
        now=NOW,
        workers=1,
        listeners=[listen],
        on_start=lambda _, context: known.append(context.catalogue),
        **options,
    )
    assert not [step.error for step in result.results if step.error]
    return known[0]


@pytest.mark.parametrize("store", ["lake", "lakehouse", "warehouse"])
def test_the_position_after_a_commit_is_the_stores(tmp_path: Path, store: str) -> None:
    folder = put(tmp_path / "p", {"sources/shop.yaml": source(store, "load: incremental")})
    for number in range(3):
        put(folder, {f"in/{number}.csv": f"{HEADER}{number},a,1.00\n"})
        known = run_watched(folder).states["shop.orders"]
        described = load(folder).states()["shop.orders"]
        assert sorted(known.position["files"]) == [f"in/{n}.csv" for n in range(number + 1)]
        assert known.position == described.position
    (folder / "in/0.csv").unlink()
    known = run_watched(folder).states["shop.orders"]
    assert known.position == load(folder).states()["shop.orders"].position


@pytest.mark.parametrize("changed", [False, True], ids=["first run", "second run"])
def test_nobody_sees_what_a_group_has_not_committed(
    tmp_path: Path, changed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a group is in its transaction, whoever asks the run is told of the tables as they are for everybody."""
    monkeypatch.setattr(together, "MOST_SECONDS", 60.0)
    folder = small_models_project(tmp_path / "p", "warehouse")
    if changed:
        run_well(folder)
        change_models(folder)
    seen: dict[str, dict[str, int | None]] = {}

    def watch(known: Catalogue, event: Event) -> None:
        if event.name == "step_started":
            seen[event.step] = {name: state.version for name, state in known.states.items()}

    before = {name: state.version for name, state in load(folder).states().items()}
    known = run_watched(folder, watch)
    together_with_others = [seen[f"marts.m{number}/transform"] for number in range(1, 9)]
    for versions in together_with_others:
        assert {name: version for name, version in versions.items() if name != "raw.m0"} == {
            name: version for name, version in before.items() if name != "raw.m0"
        }
    assert {name: state.version for name, state in known.states.items()} == {
        name: state.version for name, state in load(folder).states().items()
    }


@pytest.mark.parametrize("store", ["lakehouse", "warehouse"])
def test_what_a_position_forgets_stays_forgotten(tmp_path: Path, store: str) -> None:
    """A full load starts afresh: files that are gone are in no position, of the run or of the store."""
    folder = put(tmp_path / "p", {"sources/shop.yaml": source(store, "load: incremental\nkey: id\ndeletes: ignore")})
    put(folder, {f"in/{number}.csv": f"{HEADER}{number},a,1.00\n" for number in range(3)})
    run_watched(folder)
    (folder / "in/0.csv").unlink()
    known: list[Catalogue] = []
    load(folder).run(
        now=NOW, workers=1, full=["shop.orders"], on_start=lambda _, context: known.append(context.catalogue)
    )
    position = known[0].states["shop.orders"].position
    assert sorted(position["files"]) == ["in/1.csv", "in/2.csv"]
    assert position == load(folder).states()["shop.orders"].position
