"""Packed files: gzip, zstd and zip, of every format, whole and damaged."""

from __future__ import annotations

import gzip
import io
import json
import resource
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headwater.core.run import Status
from headwater.errors import ProjectError
from headwater.sources.files.source import FilesTable
from tests.run.projects import write
from tests.run.runner import rows, run, run_well

ROWS = [{"id": number, "item": f"é{number}"} for number in range(5)]
COLUMNS = "columns: {id: bigint, item: varchar}"


def pack(folder: Path, name: str, data: bytes) -> None:
    """Write a file as its name says."""
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    if name.endswith(".gz"):
        file.write_bytes(gzip.compress(data))
    elif name.endswith(".zst"):
        with pa.output_stream(str(file), compression="zstd") as stream:
            stream.write(data)
    else:
        file.write_bytes(data)


def archive(folder: Path, name: str, members: dict[str, bytes]) -> None:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for member, data in members.items():
            packed.writestr(member, data)


def content(form: str, found: list[dict[str, object]]) -> bytes:
    if form == "csv":
        return b"id,item\n" + b"".join(f"{r['id']},{r['item']}\n".encode() for r in found)
    if form == "jsonl":
        return b"".join(json.dumps(row).encode() + b"\n" for row in found)
    if form == "json":
        return json.dumps(found).encode()
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(found), sink)
    return sink.getvalue()


def project(folder: Path, path: str, more: str = COLUMNS, source: str = "") -> Path:
    table = f"tables:\n  t: {{path: '{path}', {more}}}\n"
    return write(folder, {"headwater.yaml": "name: packed\n", "sources/s.yaml": f"kind: files\n{source}{table}"})


SELECT = "select id, item from s.t"
WANTED = [(row["id"], row["item"]) for row in ROWS]


@pytest.mark.parametrize("form", ["csv", "json", "jsonl"])
@pytest.mark.parametrize("ending", ["gz", "zst"])
def test_a_packed_file_is_read(tmp_path: Path, form: str, ending: str) -> None:
    project(tmp_path, f"in/*.{form}.{ending}")
    pack(tmp_path, f"in/a.{form}.{ending}", content(form, ROWS))
    run_well(tmp_path)
    assert rows(tmp_path, SELECT) == WANTED
    assert rows(tmp_path, "select distinct _file from system.s__t") == [(f"in/a.{form}.{ending}",)]


@pytest.mark.parametrize("ending", ["gz", "zst"])
def test_damaged_rows_of_a_packed_file_have_their_lines(tmp_path: Path, ending: str) -> None:
    project(tmp_path, f"in/*.csv.{ending}")
    pack(tmp_path, f"in/a.csv.{ending}", b"id,item\n1,a\nx,b\n3\n4,d\n")
    assert run_well(tmp_path)["s.t/load"].rejected == 2
    assert rows(tmp_path, "select _line, rule from quarantine.s__t") == [(3, "cast"), (4, "too_few_fields")]


@pytest.mark.parametrize("form", ["csv", "json", "jsonl", "parquet"])
def test_every_member_of_an_archive_is_a_file(tmp_path: Path, form: str) -> None:
    project(tmp_path, "in/*.zip", f"format: {form}, {COLUMNS}")
    members = {
        f"b.{form}": content(form, ROWS[:2]),
        f"deep/a.{form}": content(form, ROWS[2:]),
        "__MACOSX/._b": b"rubbish",
        ".hidden": b"rubbish",
    }
    archive(tmp_path, "in/one.zip", members)
    run_well(tmp_path)
    assert rows(tmp_path, SELECT) == WANTED
    files = [(f"in/one.zip/b.{form}",), (f"in/one.zip/deep/a.{form}",)]
    assert rows(tmp_path, "select distinct _file from system.s__t") == files
    assert run(tmp_path)["s.t/load"].status is Status.SKIPPED


def test_archives_and_plain_files_side_by_side_and_a_changed_archive(tmp_path: Path) -> None:
    project(tmp_path, "in/*", f"format: csv, load: incremental, {COLUMNS}")
    archive(tmp_path, "in/a.zip", {"1.csv": content("csv", ROWS[:1]), "2.csv": b"id,item\n9,gone\n"})
    write(tmp_path, {"in/b.csv": content("csv", ROWS[1:2]).decode()})
    pack(tmp_path, "in/c.csv.zst", content("csv", ROWS[2:3]))
    run_well(tmp_path)
    assert rows(tmp_path, SELECT) == [*WANTED[:3], (9, "gone")]
    archive(tmp_path, "in/a.zip", {"1.csv": content("csv", ROWS[:1]), "3.csv": content("csv", ROWS[3:])})
    run_well(tmp_path)
    assert rows(tmp_path, SELECT) == WANTED


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda data: data[: len(data) // 2], "not a zip file"),
        (lambda data: data.replace(b"0123456789", b"0123456780"), "Bad CRC-32"),
        (lambda _: b"", "not a zip file"),
    ],
)
def test_a_damaged_archive_changes_nothing(tmp_path: Path, damage: object, told: str) -> None:
    project(tmp_path, "in/*.zip", f"format: csv, {COLUMNS}")
    archive(tmp_path, "in/a.zip", {"1.csv": content("csv", ROWS)})
    run_well(tmp_path)
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w", zipfile.ZIP_STORED) as packed:
        packed.writestr("1.csv", b"id,item\n1,0123456789\n")
    (tmp_path / "in/a.zip").write_bytes(damage(stored.getvalue()))  # type: ignore[operator]
    error = run(tmp_path)["s.t/extract"].error
    assert "in/a.zip cannot be unpacked" in error
    assert told in error
    assert rows(tmp_path, SELECT) == WANTED


def test_a_member_cannot_lead_out_of_its_folder(tmp_path: Path) -> None:
    project(tmp_path, "in/*.zip", f"format: csv, {COLUMNS}")
    archive(tmp_path, "in/a.zip", {"../../../evil.csv": content("csv", ROWS)})
    run_well(tmp_path)
    assert rows(tmp_path, "select distinct _file from system.s__t") == [("in/a.zip/evil.csv",)]
    assert not (tmp_path.parent / "evil.csv").exists()


def test_what_an_archive_cannot_say(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="does not say what the files are"):
        FilesTable(path="in/*.zip").kind  # noqa: B018
    assert FilesTable(path="in/*.csv.zip").kind == "csv"
    project(tmp_path, "in/*.csv.zip", "load: full")
    archive(tmp_path, "in/a.csv.zip", {"1.csv": content("csv", ROWS)})
    assert "declare columns" in run(tmp_path)["s.t/extract"].error
    archive(tmp_path, "in/a.csv.zip", {})
    project(tmp_path, "in/*.csv.zip")
    assert "holds no file" in run(tmp_path)["s.t/extract"].error
    project(tmp_path, f"{tmp_path}/in/*.csv.zip")
    assert "make the folder the source's path" in run(tmp_path)["s.t/extract"].error
    archive(tmp_path, "in/a.csv.zip", {"1.csv": content("csv", ROWS)})
    project(tmp_path, "*.csv.zip", source=f"path: {tmp_path}/in\n")
    run_well(tmp_path)
    assert rows(tmp_path, SELECT) == WANTED


def test_what_was_unpacked_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    aside = tmp_path / "aside"
    aside.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(aside))
    project(tmp_path, "in/*.zip", f"format: csv, {COLUMNS}")
    archive(tmp_path, "in/a.zip", {"1.csv": content("csv", ROWS)})
    run_well(tmp_path)
    archive(tmp_path, "in/a.zip", {"1.csv": b"other,header\n1,2\n"})
    assert run(tmp_path)["s.t/extract"].error
    assert [path.name for path in aside.iterdir() if "unpacked" in path.name] == []


@pytest.mark.parametrize(
    ("one", "other"), [("1.csv", "1.csv"), ("/1.csv", "1.csv"), ("../1.csv", "1.csv"), ("a//b.csv", "a/./b.csv")]
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_of_one_name_are_refused(tmp_path: Path, one: str, other: str) -> None:
    project(tmp_path, "in/*.csv.zip")
    (tmp_path / "in").mkdir()
    with zipfile.ZipFile(tmp_path / "in/a.csv.zip", "w") as packed:
        packed.writestr(one, content("csv", ROWS[:2]))
        packed.writestr(other, content("csv", ROWS[2:]))
    error = run(tmp_path)["s.t/extract"].error
    assert "in/a.csv.zip holds two files named" in error
    assert "pack it anew" in error


@pytest.mark.parametrize("form", ["parquet", "parquet of nanoseconds", "json", "jsonl.gz"])
def test_what_is_damaged_in_the_middle_is_named_with_what_to_do(tmp_path: Path, form: str) -> None:
    (tmp_path / "in").mkdir()
    plain = form.partition(" ")[0]
    columns = COLUMNS
    for name in ("good", "bad"):
        file = tmp_path / f"in/{name}.{plain}"
        if plain == "parquet":
            table = pa.table({"id": range(50_000), "item": [f"item {number * 7919}" for number in range(50_000)]})
            if form != plain:
                table = table.append_column("at", pa.array(range(50_000), pa.timestamp("ns", "UTC")))
            pq.write_table(table, file, compression="zstd")
        else:
            pack(tmp_path, f"in/{name}.{plain}", content(plain.partition(".")[0], ROWS * 2000))
    data = bytearray(file.read_bytes())
    third = len(data) // 3
    data[third : 2 * third] = bytes(third)
    file.write_bytes(data)
    project(tmp_path, f"in/*.{plain}", columns)
    error = run(tmp_path)["s.t/extract"].error
    assert "in/bad" in error
    assert "in/good" not in error
    assert "fix: mend the file or take it out of the folder" in error
    assert str(tmp_path) not in error


# -------------------------------------------------------------------------------------------------------------- bombs

BOMB_BYTES = 150_000_000


def bomb(folder: Path, name: str, form: str) -> None:
    """Pack 150 MB of one character into some kilobytes."""
    begin = content(form, [{"id": 1, "item": "x"}]).rstrip()[:-1]
    data = begin + b" " * BOMB_BYTES
    if name.endswith(".zip"):
        archive(folder, name, {f"a.{form}": data})
    else:
        pack(folder, name, data)
    assert (folder / name).stat().st_size < 300_000


@pytest.mark.parametrize("ending", ["gz", "zst", "zip"])
@pytest.mark.parametrize("form", ["csv", "jsonl", "json"])
def test_a_packed_file_that_holds_far_more_than_it_is_is_an_error(tmp_path: Path, form: str, ending: str) -> None:
    name = f"in/a.{ending}" if ending == "zip" else f"in/a.{form}.{ending}"
    bomb(tmp_path, name, form)
    more = f"{COLUMNS}, format: {form}"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    error = run(project(tmp_path, name, more))["s.t/extract"].error
    assert f"{name} unpacks to far more than its size can explain" in error
    assert "max_unpacked: 20 GB" in error
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 100_000_000


@pytest.mark.parametrize("name", ["in/a.csv.gz", "in/a.csv.zst", "in/a.zip"])
def test_how_much_a_packed_file_may_hold_can_be_declared(tmp_path: Path, name: str) -> None:
    data = content("csv", ROWS * 3000)
    archive(tmp_path, name, {"a.csv": data}) if name.endswith("zip") else pack(tmp_path, name, data)
    error = run(project(tmp_path, name, f"{COLUMNS}, format: csv, max_unpacked: 50 kB"))["s.t/extract"].error
    assert f"{name} unpacks to more than 50,000 bytes" in error
    run_well(project(tmp_path, name, f"{COLUMNS}, format: csv, max_unpacked: 1 MB"))
    assert rows(tmp_path, "select count(*) from s.t") == [(15_000,)]


def test_a_packed_log_that_holds_far_more_than_it_is_is_an_error(tmp_path: Path) -> None:
    pack(tmp_path, "in/a.log.gz", b"x" * BOMB_BYTES)
    text = "kind: logs\ntables:\n  t: {path: in/*.gz, pattern: '(?P<word>.*)'}\n"
    write(tmp_path, {"headwater.yaml": "name: packed\n", "sources/s.yaml": text})
    assert "in/a.log.gz unpacks to far more" in run(tmp_path)["s.t/extract"].error


@pytest.mark.parametrize("form", ["json", "jsonl"])
@pytest.mark.parametrize("deep", [b"[" * 500_000, b'{"a":' * 200_000, b"[" * 50_000 + b"]" * 50_000])
def test_json_that_is_nested_without_end_is_an_error_or_a_reject(tmp_path: Path, form: str, deep: bytes) -> None:
    line = b'{"id": 1, "item": ' + deep
    pack(tmp_path, f"in/a.{form}", line + (b"}" if deep.endswith(b"]") else b"") + b"\n")
    result = run(project(tmp_path, f"in/*.{form}"))["s.t/extract"]
    assert result.error or result.status is Status.DONE
    assert "Traceback" not in result.error
    assert "recursion" not in result.error


@pytest.mark.parametrize("size", ["0", "-1", "2 XB", "GB", "1e9", "many", "true", "1 GB 2"])
def test_a_size_that_is_none(size: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        FilesTable.model_validate({"path": "a.csv", "max_unpacked": size})


@pytest.mark.parametrize(
    ("size", "read"), [("2 GB", 2 * 10**9), ("1.5MiB", 3 << 19), (7, 7), ("10", 10), ("1 kb", 1000), ("3 B", 3)]
)
def test_a_size_is_read(size: object, read: int) -> None:
    assert FilesTable.model_validate({"path": "a.csv", "max_unpacked": size}).max_unpacked == read
