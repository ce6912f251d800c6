"""Each file of each store, and of what Headwater keeps of itself, damaged anywhere: the right answer, or an error."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from headwater.api import LoadedProject, load
from headwater.errors import HeadwaterError
from headwater.storage.common.folders import decode_name
from headwater.workspace.doctor import diagnose
from tests.run.projects import write
from tests.run.runner import NOW, run_well

from .damaging import damage_file, remove, replace_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STORES = ("lake", "lakehouse", "warehouse")
DATASETS = [f"{name}{store}" for store in STORES for name in ("shop.orders_", "marts.totals_")]


def build(folder: Path) -> Path:
    """A project with loads, rejects and models in every store, run three times so that each has a history."""
    tables = "".join(
        f"  orders_{store}:\n    path: in/*.csv\n    load: incremental\n    into: {store}\n"
        "    columns: {id: bigint, item: varchar, day: date}\n"
        for store in STORES
    )
    models = {
        f"models/marts/totals_{store}.sql": f"/* headwater\nstore: {store}\n*/\n"
        f"select day, count(*) as n, sum(id) as ids from shop.orders_{store} group by all\n"
        for store in STORES
    }
    write(
        folder, {"headwater.yaml": "name: damage\n", "sources/shop.yaml": f"kind: files\ntables:\n{tables}", **models}
    )
    for number in range(3):
        lines = "".join(f"{number * 10 + n},item {n},2026-01-{n + 1:02d}\n" for n in range(9))
        write(folder, {f"in/{number}.csv": f"id,item,day\n{lines}x,broken,2026-01-01\n"})
        run_well(folder)
    return folder


def answers(folder: Path, names: Sequence[str] = DATASETS) -> dict[str, Any]:
    """The rows of datasets, or the error of asking for them."""
    found: dict[str, Any] = {}
    for name in names:
        try:
            found[name] = load(folder).query(f"select * from {name} order by all", form="text").to_pylist()
        except HeadwaterError as error:
            found[name] = error
    return found


def refusal(call: Any) -> HeadwaterError | None:
    """What a call is refused with."""
    try:
        call()
    except HeadwaterError as error:
        return error
    return None


LOOKS: tuple[Callable[[LoadedProject], object], ...] = (
    lambda project: project.plan(now=NOW),
    lambda project: project.check(),
    lambda project: project.states(),
    lambda project: project.draw(format="text", now=NOW),
    lambda project: project.draw(format="html", now=NOW),
    lambda project: project.runs(),
    lambda project: project.maintain(),
    lambda project: diagnose(project.project.root),
)
"""What looks at a project or tidies it up: an error of ours, or none."""


def failed(folder: Path) -> set[str]:
    """Run; return the datasets that failed, each with a way out."""
    found: list[Any] = []
    error = refusal(lambda: found.extend(load(folder).run(now=NOW, workers=1).results))
    assert error is None or error.fix, str(error)
    if error:
        return set(DATASETS)
    results = found
    wrong = [result for result in results if result.error]
    assert all("\n  fix: " in result.error for result in wrong), [result.error for result in wrong]
    return {result.step.partition("/")[0] for result in results if result.status.value in ("failed", "blocked")}


def mend(folder: Path, wrong: set[str]) -> None:
    """Do what the errors say: reset the tables, move the warehouse's file away, or remove what lies in a place."""
    for name in sorted(wrong):
        error = refusal(lambda name=name: load(folder).reset([name]))
        if error is not None and error.fix == "remove it: nothing is kept in it":
            remove(folder / ".headwater/lease")
        elif error is not None:
            assert "move it away (mv " in error.fix, str(error)
            for file in folder.glob("data/warehouse.duckdb*"):
                remove(file)


def kept_files(folder: Path) -> list[Path]:
    """Every file of every store and of `.headwater`, in order."""
    found = [file for top in ("data", ".headwater") for file in (folder / top).rglob("*") if file.is_file()]
    return sorted(found)


class Damaging:
    """Damages a copy of one project again and again."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.truth = answers(base)
        self.files = [file.relative_to(base) for file in kept_files(base)]
        self.seen: Counter[str] = Counter()

    def once(self, place: Path, seed: int, kind: str | None = None, what: str | None = None) -> None:
        """Damage a file and see what comes of it; the kind of file, and what to put in its place, may be given."""
        draw = Random(seed)
        folder = place / "p"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.base, folder, symlinks=True)
        # every kind of file as often as the others, not every file
        kind = kind or draw.choice(sorted({_kind(file) for file in self.files}))
        file = draw.choice([file for file in self.files if _kind(file) == kind])
        if what or draw.random() < 0.15:
            how = replace_file(folder / file, what or draw.choice(("nothing", "folder", "pipe", "gone")))
        else:
            how = damage_file(folder / file, draw)
        try:
            self._check(folder, kind, draw)
        except Exception as error:
            raise AssertionError(f"seed {seed}: {file} ({how}): {type(error).__name__}: {error}") from error

    def _check(self, folder: Path, kind: str, draw: Random) -> None:
        near = [name for name in DATASETS if name.endswith(kind.partition(" ")[0].partition("/")[2].partition(".")[0])]
        asked = near if 0 < len(near) < len(DATASETS) else draw.sample(DATASETS, 2)
        told = self._compare(answers(folder, asked))
        error = refusal(lambda: draw.choice(LOOKS)(load(folder)))
        assert error is None or "fix: " in str(error), str(error)
        wrong = failed(folder) | told | self._compare(answers(folder, asked))
        self.seen[f"{kind}{': told' if wrong else ''}"] += 1
        for _ in range(3):  # a table that is dropped may show that the whole file is damaged
            if not wrong:
                break
            mend(folder, wrong)
            wrong = failed(folder) | self._compare(answers(folder))
        assert not wrong

    def _compare(self, found: dict[str, Any]) -> set[str]:
        """Return what gave an error; anything else must be the truth."""
        told = {name for name, answer in found.items() if isinstance(answer, HeadwaterError)}
        for name in set(found) - told:
            assert found[name] == self.truth[name], name
        return told


def _kind(file: Path) -> str:
    """What a file is for."""
    parts = [part for part in file.parts if not part.startswith(("load=", "part-")) and "_" not in part[:1]]
    place = "/".join(parts[:2])
    if file.suffix == ".parquet":
        return f"{place} data"
    return f"{place} {decode_name(file.parent.name)[:4]} {file.suffix or file.name}"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Damaging:
    return Damaging(build(tmp_path_factory.mktemp("damage") / "base"))


def test_a_pipe_in_the_place_of_a_file_is_waited_for_by_nobody(base: Damaging, tmp_path: Path) -> None:
    for number, kind in enumerate(sorted({_kind(file) for file in base.files})):
        base.once(tmp_path, number, kind, "pipe")


SEED = int(os.environ.get("DAMAGE_SEED", "1"))


@pytest.mark.parametrize("part", range(4))
def test_a_damaged_store_gives_the_right_answer_or_an_error(base: Damaging, tmp_path: Path, part: int) -> None:
    for number in range(11):
        base.once(tmp_path, SEED * 1_000_000 + part * 11 + number)


@pytest.mark.kill
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(20))
def test_a_damaged_store_many_times(base: Damaging, tmp_path: Path, part: int) -> None:
    for number in range(52):
        base.once(tmp_path, SEED * 1_000_000 + 10_000 + part * 52 + number)
