"""`headwater doctor`: all is well, or what is not and the command that mends it; nothing is changed by it."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.run.projects import write

if TYPE_CHECKING:
    from tests.cli.conftest import Call


def content(folder: Path) -> dict[str, tuple[str, int]]:
    """Every file that is no cache, with its digest and the time of its last change."""
    return {
        str(file.relative_to(folder)): (hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_mtime_ns)
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not {"cache", "tmp", "spill"} & set(file.relative_to(folder).parts)
    }


def findings(call: Call, code: int) -> dict[tuple[str, str], dict[str, Any]]:
    outcome = call("doctor", "--json")
    assert outcome.code == code, outcome.text
    assert outcome.json["exit_code"] == code
    return {(one["about"], one["name"]): one for one in outcome.json["findings"]}


def test_all_is_well_and_nothing_is_changed(done: Call, tmp_path: Path) -> None:
    before = content(tmp_path)
    told = done("doctor")
    assert told.code == 0
    assert told.text.endswith("all is well\n")
    found = findings(done, 0)
    assert found["version", "duckdb"]["what"]
    assert found["extra", "charts"]["what"]
    assert ("project", str(tmp_path)) in found
    assert {found[name]["state"] for name in found if name[0] in ("journal", "lease", "store", "table")} == {"ok"}
    assert any("rows" in one["what"] for (about, _), one in found.items() if about == "table")
    assert content(tmp_path) == before


def test_a_left_note_is_not_written(done: Call, tmp_path: Path) -> None:
    for left in (tmp_path / "data").glob("*.left"):
        left.unlink()
    before = content(tmp_path)
    assert done("doctor").code == 0
    assert content(tmp_path) == before


def test_a_project_that_does_not_load_is_told_and_the_rest_looked_at(done: Call, tmp_path: Path) -> None:
    write(tmp_path, {"models/bad.sql": "selekt 1"})
    found = findings(done, 1)
    broken = [one for (about, _), one in found.items() if about == "project"]
    assert any("models/bad.sql" in one["name"] and one["fix"] for one in broken)
    assert any(about == "table" for about, _ in found)
    (tmp_path / "headwater.yaml").write_text("name: [")
    assert ("journal", "journal") in findings(done, 1)
    (tmp_path / "headwater.yaml").unlink()
    (only,) = [one for (about, _), one in findings(done, 1).items() if about == "project"]
    assert "headwater init" in only["fix"]


@pytest.fixture
def stores(call: Call, tmp_path: Path) -> Call:
    """A table in every store, one of objects, and a quarantine."""
    one = "path: in/*.csv, columns: {id: bigint, item: varchar}"
    write(
        tmp_path,
        {
            "headwater.yaml": "name: d\n",
            "sources/s.yaml": "kind: files\ntables:\n"
            + "".join(f"  {store}: {{{one}, into: {store}}}\n" for store in ("lake", "lakehouse", "warehouse"))
            + "  things: {path: things/*, format: objects, into: lake}\n",
            "in/1.csv": "id,item\n" + "".join(f"{n},item {n * 7919}\n" for n in range(3000)) + "x,y\n",
            "things/1.txt": "one\n",
        },
    )
    assert call("run").code == 0
    return call


def middle(file: Path) -> None:
    data = bytearray(file.read_bytes())
    at = len(data) // 2
    data[at : at + 300] = bytes(300)
    file.write_bytes(data)


@pytest.mark.parametrize(
    ("pattern", "about", "name", "fix"),
    [
        ("data/lake/s/lake/load=*/part-*.parquet", "table", "s.lake (lake)", "headwater run --reset s.lake"),
        ("data/lake/s/lake/load=*/_rejects/*.parquet", "table", "s.lake (lake)", "headwater run --reset s.lake"),
        ("data/lake/s/things/_objects/*/*.txt", "table", "s.things (lake)", "headwater run --reset s.things"),
        ("data/lakehouse/s/lakehouse/part-*", "table", "s.lakehouse (lakehouse)", "headwater run --reset s.lakehouse"),
        ("data/lakehouse/s/lakehouse/_delta_log/*.json", "table", "s.lakehouse (lakehouse)", "headwater run --reset"),
        (".headwater/journal.db", "journal", "journal", "loses history only"),
    ],
)
def test_what_is_damaged_is_found_with_what_mends_it(
    stores: Call, tmp_path: Path, pattern: str, about: str, name: str, fix: str
) -> None:
    (file,) = tmp_path.glob(pattern)
    if about == "journal":
        file.write_bytes(b"no journal" * 900)
    else:
        middle(file)
    before = content(tmp_path)
    one = findings(stores, 1)[about, name]
    assert one["state"] == "damaged"
    assert fix in one["fix"]
    assert content(tmp_path) == before
    text = stores("doctor").text
    assert "1 damaged" in text
    assert one["fix"] in text


@pytest.mark.parametrize("place", ["data/lake/s/lake/load=*/part-*", "data/lakehouse/s/lakehouse/part-*"])
def test_a_bit_that_the_disk_lost_is_found(stores: Call, tmp_path: Path, place: str) -> None:
    """Nobody wrote to the file, and it can be read: only its checksum tells."""
    (file,) = tmp_path.glob(place)
    about, data = file.stat(), bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
    one = next(finding for finding in findings(stores, 1).values() if finding["state"] == "damaged")
    assert f"its file {file} is damaged: its bytes are not those that were written" in one["what"]
    assert "headwater run --reset s.lake" in one["fix"]


def test_a_damaged_warehouse_has_a_way_out(stores: Call, tmp_path: Path) -> None:
    file = tmp_path / "data/warehouse.duckdb"
    file.write_bytes(b"garbage" * 4000)
    one = findings(stores, 1)["store", "warehouse"]
    assert f"the warehouse {file} is damaged" in one["what"]
    assert f"mv {file} {file}.damaged" in one["fix"]


def test_journal_and_lease_that_are_no_files(stores: Call, tmp_path: Path) -> None:
    for name in ("journal.db", "lease"):
        (tmp_path / ".headwater" / name).unlink()
        os.mkfifo(tmp_path / ".headwater" / name)
    found = findings(stores, 1)
    assert found["journal", "journal"]["state"] == found["lease", "lease"]["state"] == "damaged"


def test_it_works_while_a_run_is_on_its_way(stores: Call, tmp_path: Path) -> None:
    from headwater.api import load

    write(tmp_path, {"in/2.csv": "id,item\n5000,x\n"})
    reached, go_on = threading.Event(), threading.Event()

    def pause(event: Any) -> None:
        if event.name == "before_commit" and not reached.is_set():
            reached.set()
            go_on.wait(60)

    running = threading.Thread(target=lambda: load(tmp_path).run(listeners=[pause], workers=1))
    running.start()
    try:
        assert reached.wait(60)
        import subprocess
        import sys

        asked = subprocess.run(
            [sys.executable, "-m", "headwater", "doctor", "--json"], cwd=tmp_path, capture_output=True, check=False
        )
        found = json.loads(asked.stdout)["findings"]
        assert asked.returncode == 0, asked.stderr
        assert any(one["about"] == "lease" and f"process {os.getpid()}" in one["what"] for one in found)
        assert any(one["name"].startswith("s.warehouse") and one["state"] == "note" for one in found)
    finally:
        go_on.set()
        running.join()


def test_status_show_and_draw_do_without_a_damaged_journal(stores: Call, tmp_path: Path) -> None:
    for file in (tmp_path / ".headwater").glob("journal.db*"):
        file.unlink()
    (tmp_path / ".headwater/journal.db").write_bytes(b"no journal" * 900)
    for arguments in (["status"], ["show", "s.lake"], ["draw", "--format", "text"], ["status", "--json"]):
        outcome = stores(*arguments)
        assert outcome.code == 0
        assert "that loses history only" in outcome.error
        assert "s.lake" in outcome.text
