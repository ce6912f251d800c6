"""Files that are not what their names say: named by every command, and what is next to them goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Call
from tests.run.damage import DAMAGES, FORMATS, source

ROWS = {
    *((form, damage) for form in ("csv", "tsv", "log") for damage in ("cut", "only the beginning", "nothing")),
    *((form, "nothing") for form in FORMATS if form.startswith(("json", "csv.gz", "csv.zst", "log"))),
    *((form, damage) for form in ("log", "jsonl") for damage in ("web page", "binary")),
    *((form, "only the beginning") for form in ("jsonl",)),
    *((form, "a byte changed") for form in ("csv", "tsv", "jsonl", "csv.zst", "jsonl.zst", "log", "log.zst", "db")),
    ("jsonl", "cut"),
}
"""What may load in part: broken rows are rejects, and of a file of text nobody knows that it was longer."""


@pytest.mark.parametrize("damage", [*DAMAGES, "a folder"])
@pytest.mark.parametrize("form", FORMATS)
def test_a_broken_file_is_named_and_the_rest_goes_on(call: Call, tmp_path: Path, form: str, damage: str) -> None:
    (tmp_path / "sources").mkdir()
    (tmp_path / "headwater.yaml").write_text("name: p\n")
    (tmp_path / "ok.csv").write_text("id\n7\n")
    ok = "kind: files\ntables: {t: {path: ok.csv, columns: {id: bigint}}}\n"
    (tmp_path / "sources/ok.yaml").write_text(ok)
    file = tmp_path / f"data.{form}"
    (tmp_path / "sources/bad.yaml").write_text(source(form, file.name))
    good = FORMATS[form](tmp_path)
    if damage == "a folder":
        file.mkdir()
    else:
        file.write_bytes(DAMAGES[damage](good))

    checked, planned, ran = call("check"), call("plan"), call("run")
    drawn, status = call("draw", "--format", "text"), call("status")
    for outcome in (checked, planned, ran, drawn, status):
        assert "Traceback" not in outcome.error + outcome.text
    assert [outcome.code for outcome in (checked, planned, drawn, status)] == [0] * 4
    assert call("query", "select id from ok.t", "--format", "csv").text.split() == ["id", "7"]
    told = ran.text + ran.error
    if damage == "a folder":
        assert file.name in planned.text
    elif (form, damage) not in ROWS or ran.code:
        assert ran.code == 1
        assert file.name in told
        assert file.name in status.text
        if form in ("parquet", "db") and damage not in ("a byte changed", "nothing"):
            assert file.name in checked.text
            assert file.name in planned.text
        if damage == "nothing":
            assert file.name in planned.text
    if (form, damage) in ROWS and "zst" not in form:  # which has no checksum: what a changed byte does is chance
        assert ran.code == 0
