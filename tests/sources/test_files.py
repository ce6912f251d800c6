"""The list of files: versions, positions, half-written files, resumed reads, names."""

from __future__ import annotations

import gzip
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from headwater.contracts import Source
from headwater.core.layers import Family
from headwater.errors import ConnectorError, ProjectError, Retryable
from headwater.sources.common import listing as files_listing
from headwater.sources.files.source import Files, FilesConnection, FilesTable

from .harness import Outcome, read, request

if TYPE_CHECKING:
    from pathlib import Path


def table(**keys: Any) -> FilesTable:
    return FilesTable.model_validate({"path": "*.csv", **keys})


def source(folder: Path, path: str = "") -> Files:
    return Files(FilesConnection(path=path), str(folder))


def load(con, folder: Path, *, position: Any = None, incremental: bool = True, **more: Any) -> Outcome:
    ingest = {"load": "incremental" if incremental else "full"}
    options = more.pop("options", None) or table()
    return read(source(folder), request(con, options, {"a": "int"}, ingest, position=position or {}, **more))


def write(folder: Path, name: str, *values: object) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("a\n" + "".join(f"{value}\n" for value in values))


def test_it_is_a_source():
    assert isinstance(source_class := Files(FilesConnection(), "."), Source)
    assert (source_class.kind, source_class.family) == ("files", Family.FILES)


KINDS = [
    ("x.csv", "csv"),
    ("a/*.CSV.GZ", "csv"),
    ("x.tsv", "tsv"),
    ("**/*.ndjson", "jsonl"),
    ("x.json", "json"),
    ("x.parquet", "parquet"),
]


@pytest.mark.parametrize(("path", "kind"), KINDS)
def test_the_format_comes_from_the_extension(path, kind):
    assert table(path=path).kind == kind
    assert table(path=path, format="jsonl").kind == "jsonl"


def test_an_extension_that_says_nothing_is_an_error():
    with pytest.raises(ProjectError, match="does not say"):
        _ = table(path="data/*").kind


@pytest.mark.parametrize("keys", [{"encoding": "ebcdic"}, {"delimiter": ";;"}, {"colour": "red"}, {"path": ""}])
def test_wrong_keys_are_refused(keys):
    with pytest.raises(ValidationError):
        table(**keys)


def test_an_incremental_read_takes_what_is_new_or_changed(con, tmp_path):
    write(tmp_path, "1.csv", 1)
    write(tmp_path, "2.csv", 2)
    first = load(con, tmp_path)
    assert first.values("a") == [(1,), (2,)]
    assert load(con, tmp_path, position=first.position).chunks == []
    write(tmp_path, "2.csv", 22, 23)
    write(tmp_path, "3.csv", 3)
    second = load(con, tmp_path, position=first.position)
    assert second.values("a", "_file") == [(22, "2.csv"), (23, "2.csv"), (3, "3.csv")]
    assert list(second.position["files"]) == ["2.csv", "3.csv"]
    assert second.reading.manifest["changed"] == ["2.csv"]


def test_a_file_of_the_same_size_and_another_time_is_changed(con, tmp_path):
    write(tmp_path, "1.csv", 1)
    first = load(con, tmp_path)
    write(tmp_path, "1.csv", 2)
    os.utime(tmp_path / "1.csv", ns=(1, first.position["files"]["1.csv"][1] + 1))
    assert load(con, tmp_path, position=first.position).values("a") == [(2,)]


def test_a_vanished_file_is_noted(con, tmp_path):
    write(tmp_path, "1.csv", 1)
    first = load(con, tmp_path)
    (tmp_path / "1.csv").unlink()
    second = load(con, tmp_path, position=first.position)
    assert second.chunks == []
    assert second.reading.manifest["vanished"] == ["1.csv"]


def test_a_full_read_takes_all_files_and_says_complete(con, tmp_path):
    write(tmp_path, "1.csv", 1)
    outcome = load(con, tmp_path, incremental=False, position={"files": {"1.csv": [1, 1]}})
    assert outcome.values("a") == [(1,)]


def test_zero_files(con, tmp_path):
    full = load(con, tmp_path, incremental=False)
    assert (full.rows, full.chunks) == ([], ["empty"])
    assert load(con, tmp_path).chunks == []
    description = source(tmp_path).describe({"t": table()})["t"]
    assert description.version
    assert description.estimated_rows == 0
    assert description.notes == ("no file matches *.csv",)
    assert source(tmp_path).describe({"t": table(path="gone/*.csv")})["t"].notes == ("the folder gone does not exist",)


def test_names_of_every_kind(con, tmp_path):
    names = [
        "ü 😀.csv",
        "it's.csv",
        "a[1].csv",
        "b*.csv",
        "bx.csv",
        "q?.csv",
        "d e/f g.csv",
        'quo"te.csv',
        "{x}.csv",
        "%20.csv",
    ]
    for number, name in enumerate(names):
        write(tmp_path, name, number)
    outcome = load(con, tmp_path, options=table(path="**/*.csv"))
    assert outcome.values("_file", "a") == sorted(((name, i) for i, name in enumerate(names)), key=repr)
    assert load(con, tmp_path, options=table(path="b[*].csv")).values("a") == [(3,)]


def test_folders_of_the_connection_and_absolute_paths(con, tmp_path):
    write(tmp_path, "in/1.csv", 1)
    asked = request(con, table(), {"a": "int"}, {"load": "incremental"})
    assert read(source(tmp_path, "in"), asked).values("_file", "a") == [("1.csv", 1)]
    absolute = str(tmp_path / "in" / "*.csv")
    outcome = load(con, tmp_path, options=table(path=absolute))
    assert outcome.values("_file") == [(str(tmp_path / "in" / "1.csv"),)]


def test_a_project_in_a_folder_of_any_name(con, tmp_path):
    folder = tmp_path / "größe 😀 [x]*"
    for name in ("1.csv", "1.jsonl"):
        (folder / "in").mkdir(parents=True, exist_ok=True)
        (folder / "in" / name).write_text("a\n1\nbad\n" if name == "1.csv" else '{"a": 1}\nbad\n')
        outcome = load(con, folder, options=table(path=f"in/{name}"))
        assert outcome.values("_file", "a") == [(f"in/{name}", 1)]
        assert [reject["_file"] for reject in outcome.rejects] == [f"in/{name}"]


def test_a_name_that_is_not_utf8_is_an_error(con, tmp_path):
    with open(os.fsencode(tmp_path) + b"/\xff.csv", "w") as stream:
        stream.write("a\n1\n")
    with pytest.raises(ConnectorError, match=r"\\xff\.csv"):
        load(con, tmp_path)


@pytest.mark.parametrize("content", [gzip.compress(b"a\n1\n" * 50_000)[:-20], b"not packed"])
def test_a_damaged_package_names_its_file_and_no_folder(con, tmp_path, content):
    (tmp_path / "f.csv.gz").write_bytes(content)
    with pytest.raises(ConnectorError, match=r"f\.csv\.gz") as caught:
        load(con, tmp_path, options=table(path="*.gz", format="csv"))
    assert str(tmp_path) not in str(caught.value)
    assert not isinstance(caught.value, Retryable)


def test_hidden_files_and_folders_are_not_rows(con, tmp_path):
    write(tmp_path, ".hidden.csv", 1)
    (tmp_path / "folder.csv").mkdir()
    assert load(con, tmp_path).chunks == []


def chunk_of(con, folder: Path, **more: Any):
    options = more.pop("options", table())
    reading = source(folder).read("t", request(con, options, {"a": "int"}, {"load": "incremental"}, **more))
    return reading, next(reading.chunks)


@pytest.mark.parametrize("name", ["1.csv", "1.jsonl"])
@pytest.mark.parametrize("damage", ["appended", "replaced", "removed", "folder"])
def test_a_file_that_changes_while_it_is_read_fails_retryably(con, tmp_path, name, damage):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / name).write_text("a\n1\n" if name == "1.csv" else '{"a": 1}\n')
    _, chunk = chunk_of(con, folder, options=table(path=f"*.{name[2:]}"))
    con.execute(f"CREATE TEMP TABLE x AS {chunk.query}")
    if damage == "appended":
        with (folder / name).open("a") as stream:
            stream.write("2\n")
    elif damage == "replaced":
        os.utime(folder / name, ns=(1, 1))
    elif damage == "removed":
        (folder / name).unlink()
    else:
        shutil.rmtree(folder)
    with pytest.raises(files_listing.ChangedFileError, match=name) as caught:
        chunk.finish()
    assert isinstance(caught.value, Retryable)
    assert caught.value.fix


def test_a_file_that_changes_between_listing_and_reading_fails_retryably(con, tmp_path):
    write(tmp_path, "1.csv", 1)
    reading = source(tmp_path).read("t", request(con, table(), {"a": "int"}))
    write(tmp_path, "1.csv", 1, 2, 3)
    with pytest.raises(files_listing.ChangedFileError):
        next(reading.chunks)


def test_small_files_are_read_together_and_large_ones_alone(con, tmp_path, monkeypatch):
    monkeypatch.setattr(files_listing, "GROUP_BYTES", 20)
    for number, size in enumerate([3, 3, 30, 3, 3, 3]):
        write(tmp_path, f"{number}.csv", *range(size))
    outcome = load(con, tmp_path)
    assert outcome.reading.manifest["chunks"] == [[0, 2], [2, 3], [3, 5], [5, 6]]
    assert len(outcome.rows) == 45
    assert len(outcome.position["files"]) == 6
    monkeypatch.setattr(files_listing, "GROUP_BYTES", 10_000)
    monkeypatch.setattr(files_listing, "GROUP_FILES", 4)
    assert [len(load(con, tmp_path).chunks)] == [2]


@pytest.mark.parametrize("incremental", [True, False])
def test_a_resumed_read_goes_on_after_its_finished_chunks(con, tmp_path, monkeypatch, incremental):
    monkeypatch.setattr(files_listing, "GROUP_BYTES", 1)
    for number in range(4):
        write(tmp_path, f"{number}.csv", number)
    whole = load(con, tmp_path, incremental=incremental)
    write(tmp_path, "9.csv", 9)
    rest = load(
        con, tmp_path, incremental=incremental, manifest=whole.reading.manifest, finished=frozenset(whole.chunks[:3])
    )
    assert rest.chunks == whole.chunks[3:]
    assert rest.values("a") == [(3,)]


def test_the_manifest_is_plain_json(con, tmp_path):
    import json

    write(tmp_path, "ü.csv", 1)
    manifest = load(con, tmp_path).reading.manifest
    assert json.loads(json.dumps(manifest)) == manifest


def test_a_table_without_columns_is_refused(con, tmp_path):
    write(tmp_path, "1.csv", 1)
    with pytest.raises(ProjectError, match="nothing is inferred unattended"):
        source(tmp_path).read("t", request(con, table(), {}))


def test_describe_proposes_for_text_and_knows_parquet(con, tmp_path):
    write(tmp_path, "1.csv", *range(1000))
    con.execute(f"COPY (SELECT 1::INTEGER AS a, '{{}}'::JSON AS j FROM range(7)) TO '{tmp_path}/1.parquet'")
    (tmp_path / "1.jsonl").write_text('{"a": 1, "n": {"x": 1}}\n{"a": 2.5, "late": true}\nbroken\n')
    tables = {name: table(path=f"*.{name}") for name in ("csv", "parquet", "jsonl")}
    found = source(tmp_path).describe(tables)
    assert [(c.name, c.type) for c in found["csv"].columns] == [("a", "BIGINT")]
    assert found["csv"].proposed
    assert found["csv"].estimated_rows == 1000
    assert [(c.name, c.type) for c in found["jsonl"].columns] == [("a", "DOUBLE"), ("n", "JSON"), ("late", "BOOLEAN")]
    assert not found["parquet"].proposed
    assert (found["parquet"].estimated_rows, found["parquet"].columns[0].type) == (7, "INTEGER")


def test_the_version_changes_with_the_files(tmp_path):
    def version() -> str | None:
        return source(tmp_path).describe({"t": table()})["t"].version

    versions = [version()]
    write(tmp_path, "1.csv", 1)
    versions.append(version())
    write(tmp_path, "1.csv", 1, 2)
    versions.append(version())
    (tmp_path / "1.csv").rename(tmp_path / "2.csv")
    versions.append(version())
    assert len(set(versions)) == 4
    assert version() == versions[-1]


def test_files_that_cannot_be_sampled_are_noted(tmp_path):
    (tmp_path / "1.csv").write_bytes(b"")
    description = source(tmp_path).describe({"t": table()})["t"]
    assert description.notes == ("1 of 1 files are empty: 1.csv",)
    assert not description.proposed
