"""Describing files: what is known is not looked at again, and what cannot be told is said with file and reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from headwater.contracts import TableDescription
from headwater.sources.files.source import Files, FilesConnection, FilesTable
from tests.run.runner import put


def describe(folder: Path, **tables: Any) -> dict[str, TableDescription]:
    """Describe tables: name to path, or to all keys."""
    options = {name: {"path": value} if isinstance(value, str) else value for name, value in tables.items()}
    return Files(FilesConnection(), str(folder)).describe(
        {name: FilesTable.model_validate(value) for name, value in options.items()}
    )


def parquet(file: Path, select: str) -> None:
    duckdb.execute(f"COPY ({select}) TO '{file}'")


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The connections that are opened."""
    made: list[object] = []
    connect = duckdb.connect

    def counted(*args: Any, **more: Any) -> Any:
        made.append(connect(*args, **more))
        return made[-1]

    monkeypatch.setattr(duckdb, "connect", counted)
    return made


def test_many_tables_of_parquet_take_one_connection_and_then_none(tmp_path: Path, connections: list[object]) -> None:
    for number in range(20):
        parquet(tmp_path / f"t{number}.parquet", f"SELECT {number} AS n, 'x' AS c{number} FROM range({number})")
    tables = {f"t{number}": f"t{number}.parquet" for number in range(20)}
    found = describe(tmp_path, **tables)
    assert len(connections) == 1
    for number in range(20):
        about = found[f"t{number}"]
        assert ([c.name for c in about.columns], about.estimated_rows) == (["n", f"c{number}"], number)
    assert describe(tmp_path, **tables) == found
    assert len(connections) == 1
    parquet(tmp_path / "t3.parquet", "SELECT 1.5 AS other FROM range(9)")
    again = describe(tmp_path, **tables)
    assert ([c.name for c in again["t3"].columns], again["t3"].estimated_rows) == (["other"], 9)
    assert {**again, "t3": found["t3"]} == found
    assert len(connections) == 2


@pytest.mark.parametrize("text", ["", "[", "[]", '{"stamp": 1}', "entry"])
def test_a_damaged_cache_is_forgotten(tmp_path: Path, text: str) -> None:
    parquet(tmp_path / "t.parquet", "SELECT 1 AS n")
    put(tmp_path, {"c.csv": "a,b\n1,x\n"})
    found = describe(tmp_path, t="t.parquet", c="c.csv")
    (cache,) = (tmp_path / ".headwater/cache").glob("files-*.json")
    if text == "entry":
        data = json.loads(cache.read_text())
        data["entries"] = {name: [[["n"]], "many"] for name in data["entries"]}
        text = json.dumps(data)
    cache.write_text(text)
    assert describe(tmp_path, t="t.parquet", c="c.csv") == found


def test_another_dialect_is_another_sample(tmp_path: Path) -> None:
    put(tmp_path, {"c.csv": "a;b\n1;x\n"})
    assert [c.name for c in describe(tmp_path, c="c.csv")["c"].columns] == ["a;b"]
    table = {"path": "c.csv", "delimiter": ";"}
    assert [c.name for c in describe(tmp_path, c=table)["c"].columns] == ["a", "b"]


DAMAGED = {
    "quote.csv": ('id,name\n1,a\n2,"b\n3,c\n', "quote.csv:3: a quote is opened and never closed"),
    "more.csv": ('id,name\n1,"a"b\n', "more.csv:2: "),
    "broken.json": ('[{"a": 1}, {"a": ', "broken.json: "),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_sample_that_fails_names_file_and_reason(tmp_path: Path, name: str) -> None:
    text, told = DAMAGED[name]
    good = "id,name\n1,a\n" if name.endswith("csv") else '[{"a": 1}]'
    put(tmp_path, {name: text, f"a.{name.partition('.')[2]}": good})
    about = describe(tmp_path, t=f"*.{name.partition('.')[2]}")["t"]
    assert about.columns == ()
    (note,) = about.notes
    assert note.startswith(f"no columns can be proposed: {told}")
    assert note.endswith("mend the file, or declare columns: its bad rows are then rejects")
    assert 'file ""' not in note


@pytest.mark.parametrize("name", DAMAGED)
def test_no_sample_is_taken_where_columns_are_declared(tmp_path: Path, name: str, connections: list[object]) -> None:
    put(tmp_path, {name: DAMAGED[name][0]})
    about = describe(tmp_path, t={"path": name, "columns": {"id": "bigint", "name": "varchar"}})["t"]
    assert (about.columns, about.notes, connections) == ((), (), [])


def test_utf_16_that_duckdb_does_not_read_is_not_guessed_at(tmp_path: Path) -> None:
    source = Files(FilesConnection(), str(tmp_path))
    table = FilesTable.model_validate({"path": "a.csv", "encoding": "utf-16"})
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe" + "id,n\n1,ü\n".encode("utf-16-le"))
    assert [column.name for column in source.describe({"t": table})["t"].columns] == ["id", "n"]
    (tmp_path / "a.csv").write_bytes(b"\xfe\xff" + "id,n\n1,ü\n2,z\n".encode("utf-16-be"))
    about = Files(FilesConnection(), str(tmp_path)).describe({"t": table})["t"]
    assert about.columns == ()
    assert about.notes[0].startswith("no columns can be proposed: a.csv: UTF-16 that is big-endian")
