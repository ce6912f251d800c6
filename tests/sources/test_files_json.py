"""JSON, JSON lines and Parquet: raw text beside typed columns, drift by policy, broken lines as rejects."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from headwater.errors import ConnectorError, ProjectError
from headwater.sources.files.source import Files, FilesConnection, FilesTable

from .harness import Outcome, read, request

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = {"a": "int", "b": "varchar"}


def load(con, folder: Path, columns: dict[str, str] | None = None, ingest: Any = None, **table: Any) -> Outcome:
    options = FilesTable.model_validate({"path": "*.jsonl", **table})
    return read(Files(FilesConnection(), str(folder)), request(con, options, columns or COLUMNS, ingest))


def write(folder: Path, *lines: str | bytes, name: str = "f.jsonl", end: bytes = b"\n") -> None:
    parts = [line if isinstance(line, bytes) else line.encode() for line in lines]
    (folder / name).write_bytes(end.join(parts) + end)


def test_rows_carry_their_raw_text_and_missing_keys_are_null(con, tmp_path):
    write(tmp_path, '{"a": 1, "b": "x", "more": {"deep": 1.10}}', '{"b": null}', "", '  {"a": "3"}  ')
    outcome = load(con, tmp_path)
    assert outcome.values("a", "b") == [(1, "x"), (3, None), (None, None)]
    assert outcome.rows[0]["_raw"] == '{"a": 1, "b": "x", "more": {"deep": 1.10}}'
    assert outcome.rejects == []


BROKEN = [
    ("json", b'{"a": 1'), ("json", b"nonsense"), ("json", b'{"a": 1}{"a": 2}'), ("encoding", b'{"a": 1, "b": "\xff"}'),
    ("json", b'{"a": 1, "b": "x\0"}'), ("json", b"[1]"), ("json", b"5"), ("json", b"null"), ("json", b'"text"'),
    ("cast", b'{"a": "many"}'), ("cast", b'{"a": {"b": 1}}'), ("cast", b'{"a": 99999999999}'),
    ("nul_byte", b'{"b": "x\\u0000"}'),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "line"), BROKEN)
def test_a_broken_line_is_a_reject_never_a_failed_load(con, tmp_path, rule, line):
    write(tmp_path, '{"a": 1}', line, '{"a": 3}')
    outcome = load(con, tmp_path)
    assert outcome.values("a") == [(1,), (3,)]
    (reject,) = outcome.rejects
    assert reject["rule"] == rule
    assert reject["_file"] == "f.jsonl"
    assert reject["raw"]
    if b"\xff" not in line and b"\0" not in line and rule != "nul_byte":
        assert reject["raw"] == line.decode()
    if line.startswith((b'{"a": 1', b"nonsense")):
        assert reject["_line"] == 2


def test_all_kinds_of_damage_at_once_in_many_files(con, tmp_path):
    for number in range(4):
        write(
            tmp_path,
            *[line for _, line in BROKEN],
            '{"a": 1}',
            name=f"{number}.jsonl",
            end=b"\r\n" if number % 2 else b"\n",
        )
    outcome = load(con, tmp_path)
    assert len(outcome.rows) == 4
    assert outcome.rules == sorted(rule for rule, _ in BROKEN * 4)


@pytest.mark.parametrize("bad", [b"", b"broken\n"])
def test_marks_and_packing(con, tmp_path, bad):
    write(tmp_path, b'\xef\xbb\xbf{"a": 1}', '{"a": 2}', name="mark.jsonl")
    (tmp_path / "z.jsonl.gz").write_bytes(gzip.compress(b'{"a": 3}\n' + bad))
    outcome = load(con, tmp_path, path="*.jsonl*", format="jsonl")
    assert outcome.values("a", "_file") == [(1, "mark.jsonl"), (2, "mark.jsonl"), (3, "z.jsonl.gz")]
    assert [(r["_file"], r["_line"]) for r in outcome.rejects] == ([("z.jsonl.gz", 2)] if bad else [])


def test_no_file_and_empty_files(con, tmp_path):
    assert load(con, tmp_path).rows == []
    (tmp_path / "f.jsonl").write_bytes(b"\n\n")
    (tmp_path / "g.jsonl").write_bytes(b"")
    assert load(con, tmp_path).rows == []


TYPES = [
    ("bigint", "-9223372036854775808", None),
    ("hugeint", "9223372036854775807", None),
    ("double", "-0.0", -0.0),
    ("decimal(12,2)", "10.25", None),
    ("decimal(38,10)", '"9999999999999999999999999999.9999999999"', None),
    ("boolean", "true", True),
    ("date", '"9999-12-31"', None),
    ("timestamp", '"0001-01-01 00:00:00"', None),
    ("timestamptz", '"2024-01-01T00:00:00.000001+02:00"', "2023-12-31 22:00:00.000001+00"),
    ("epoch_s", "1700000000.25", "2023-11-14 22:13:20.25+00"),
    ("epoch_ms", "1700000000123", "2023-11-14 22:13:20.123+00"),
    ("json", '{"x": [1, 2]}', '{"x":[1,2]}'),
    ("varchar", '{"x": 1}', '{"x":1}'),
    ("integer[]", "[1, 2]", [1, 2]),
    ("struct(x integer)", '{"x": 5}', {"x": 5}),
    ("uuid", '"00000000-0000-0000-0000-00000000000a"', None),
]


@pytest.mark.parametrize(("type_text", "text", "expected"), TYPES)
def test_each_type(con, tmp_path, type_text, text, expected):
    write(tmp_path, f'{{"v": {text}}}', '{"v": null}')
    outcome = load(con, tmp_path, {"v": type_text})
    assert outcome.rejects == []
    value = outcome.rows[0]["v"]
    assert (str(value) == text.strip('"')) if expected is None else (value == expected)
    assert outcome.rows[1]["v"] is None


def test_any_key_and_keys_match_exactly(con, tmp_path):
    names = ["select", "a b", 'quo"te', "it's", "π", "😀", "a.b", "$x", "back\\slash"]
    write(tmp_path, json.dumps({name: i for i, name in enumerate(names)} | {"SELECT": 99}, ensure_ascii=False))
    outcome = load(con, tmp_path, dict.fromkeys(names, "int"))
    assert [outcome.rows[0][name] for name in names] == list(range(len(names)))


def test_unknown_keys_by_policy(con, tmp_path):
    write(tmp_path, '{"a": 1, "new": null}', '{"a": 2, "new": 5, "x": 1}')
    assert load(con, tmp_path).values("a") == [(1,), (2,)]
    outcome = load(con, tmp_path, ingest={"schema": "discard_row"})
    assert outcome.values("a") == [(1,)]
    assert [(r["rule"], r["reason"]) for r in outcome.rejects] == [
        ("unknown_column", "keys that are not declared: new, x"),
    ]  # fmt: skip
    with pytest.raises(duckdb.InvalidInputException, match="new, x; schema is freeze"):
        load(con, tmp_path, ingest={"schema": "freeze"})


def test_hidden_keys_never_show(con, tmp_path):
    write(tmp_path, '{"a": 1, "b": "SECRET"}', '{"a": "x", "b": "SECRET"}', '{"b": "SECRET', '{"a": 5, "b": "SECRET"}')
    hide = [{"mask": {"columns": ["b"], "key": "k"}}]
    outcome = load(con, tmp_path, ingest={"prepare": hide, "reject_if": {"five": "a = 5"}})
    assert outcome.rules == ["cast", "five", "json"]
    assert "SECRET" not in str(outcome.rows) + str(outcome.rejects)
    assert json.loads(outcome.rows[0]["_raw"]) == {"a": 1}


def test_order_is_known_where_it_decides(con, tmp_path):
    write(tmp_path, '{"a": 2}', "broken", '{"a": 1}', name="1.jsonl")
    write(tmp_path, '{"a": 1}', name="2.jsonl")
    outcome = load(con, tmp_path, ingest={"key": "a"})
    assert outcome.values("_file", "_line", "a") == [("1.jsonl", 1, 2), ("1.jsonl", 3, 1), ("2.jsonl", 1, 1)]


def test_many_broken_lines_in_a_large_file(con, tmp_path):
    lines = [
        b'{"a": %d, "b": "%s"}' % (i, b"x" * (i % 90)) if i % 7 else b'{"a": %d, "b": "\xff"' % i
        for i in range(150_000)
    ]
    write(tmp_path, *lines)
    outcome = load(con, tmp_path)
    assert len(outcome.rejects) == len(range(0, 150_000, 7))
    assert len(outcome.rows) + len(outcome.rejects) == 150_000
    assert sorted(r["_line"] for r in outcome.rejects)[:3] == [1, 8, 15]


@pytest.mark.parametrize("text", ['[{"a": 1}, {"a": 2}]', '{"a": 1}\n\n{\n"a": 2\n}', "\n"])
def test_documents_that_span_lines(con, tmp_path, text):
    (tmp_path / "f.json").write_text(text)
    assert load(con, tmp_path, path="*.json").values("a") == ([(1,), (2,)] if text.strip() else [])


@pytest.mark.parametrize("packing", [None, gzip.compress], ids=["plain", "gzip"])
def test_blanks_before_a_list_change_nothing(con, tmp_path, packing):
    data = (" " * 70_000 + "[" + '{"a": 0},' * 9000 + '{"a": 1}]').encode()
    name = "f.json.gz" if packing else "f.json"
    (tmp_path / name).write_bytes(packing(data) if packing else data)
    assert len(load(con, tmp_path, path=name).rows) == 9001


@pytest.mark.parametrize("text", ['[{"a": 1}, {"a"', '\ufeff[{"a": 1}]', "nonsense"])
def test_a_broken_document_names_itself(con, tmp_path, text):
    (tmp_path / "f.json").write_text(text)
    with pytest.raises(ConnectorError, match=r"f\.json"):
        load(con, tmp_path, path="*.json")


# -------------------------------------------------------------------------------------------------------- Parquet


@pytest.mark.parametrize("packing", [None, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("many", [1, 9000])
def test_a_list_that_is_cut_off_anywhere_is_refused(con, tmp_path, packing, many):
    """DuckDB takes one that ends after a comma for whole; `many` makes one of more than a block."""
    text = "[" + '{"a": 0},\n' * many + '{"a": 1, "b": "[x]"},\n{"a": 2}\n]\n'
    name = "f.json.gz" if packing else "f.json"
    for cut in range(max(1, len(text) - 40), len(text) + 1):
        data = text[:cut].encode()
        (tmp_path / name).write_bytes(packing(data) if packing else data)
        if cut >= len(text.rstrip()):
            assert len(load(con, tmp_path, path=name).rows) == many + 2
            continue
        with pytest.raises(ConnectorError, match=name) as caught:
            load(con, tmp_path, path=name)
        assert caught.value.fix


def parquet(con, folder: Path, sql: str, name: str = "f.parquet") -> None:
    con.execute(f"COPY ({sql}) TO '{folder / name}' (FORMAT parquet)")


def test_parquet_files_go_together_by_name(con, tmp_path):
    parquet(con, tmp_path, "SELECT 1 AS a, 'x' AS b", "1.parquet")
    parquet(con, tmp_path, "SELECT 'y' AS b, 2::BIGINT AS A, 5 AS new", "2.parquet")
    outcome = load(con, tmp_path, path="*.parquet")
    assert outcome.values("a", "b", "new", "_line") == [(1, "x", None, 1), (2, "y", 5, 1)]
    assert load(con, tmp_path, path="*.parquet", ingest={"schema": "discard_row"}).rules == ["unknown_column"]
    with pytest.raises(ProjectError, match="new: new"):
        load(con, tmp_path, path="*.parquet", ingest={"schema": "freeze"})


def test_a_parquet_value_that_does_not_fit_is_a_reject(con, tmp_path):
    parquet(con, tmp_path, "SELECT unnest(['1', 'x', NULL]) AS a")
    outcome = load(con, tmp_path, path="*.parquet")
    assert outcome.values("a") == [(1,), (None,)]
    assert [(r["rule"], r["_line"]) for r in outcome.rejects] == [("cast", 2)]


def test_a_file_that_is_not_parquet(con, tmp_path):
    (tmp_path / "f.parquet").write_text("a,b\n")
    with pytest.raises(ConnectorError, match=r"^f\.parquet: f\.parquet"):
        load(con, tmp_path, path="*.parquet")


NESTED = [
    ("STRUCT(a INTEGER, b VARCHAR)", '{"a": 1, "b": {"k": 1.10}}', {"a": 1, "b": '{"k":1.10}'}),
    ("STRUCT(a INTEGER, b VARCHAR)", '{"b": "x", "zz": 7}', {"a": None, "b": "x"}),
    ("STRUCT(a INTEGER, b VARCHAR)", "[1, 2]", None),
    ("STRUCT(a INTEGER, b VARCHAR)", '"x"', None),
    ("STRUCT(a INTEGER, b VARCHAR)", '{"a": 1, "a": 2}', None),
    ("STRUCT(a INTEGER, b VARCHAR)", '{"A": 1}', None),
    ("STRUCT(a INTEGER, b VARCHAR)", '{"a": 1.5}', None),
    ("STRUCT(x JSON)", '{"x": "str"}', {"x": '"str"'}),
    ("VARCHAR[]", '[{"k": 1.10}, [2.50], 3.0]', ['{"k":1.10}', "[2.50]", "3.0"]),
    ("INTEGER[]", '{"a": 1}', None),
    ("DECIMAL(38,4)[]", "[12345678901234567890.1234]", ["12345678901234567890.1234"]),
    ("INTEGER[2]", "[1]", None),
    ("MAP(VARCHAR, BIGINT)", '{"a": 1, "b": 2.0}', [("a", 1), ("b", 2)]),
    ("MAP(VARCHAR, BIGINT)", '{"a": 1, "a": 2}', None),
    ("MAP(INTEGER, VARCHAR)", '{"1": "a", "01": "b"}', None),
    ("JSON", '"x"', '"x"'),
    ("JSON", '"1"', '"1"'),
    ("JSON", "1.0", "1.0"),
]


@pytest.mark.parametrize(("kind", "text", "value"), NESTED)
def test_nested_types_hold_what_was_delivered(con, tmp_path, kind, text, value):
    write(tmp_path, f'{{"a": 7, "v": {text}}}', '{"a": 8, "v": null}')
    outcome = load(con, tmp_path, {"a": "int", "v": kind})
    landed = {row["a"]: row["v"] for row in outcome.rows}
    assert landed[8] is None
    if value is None:
        assert outcome.rules == ["cast"]
    else:
        shown = [str(part) for part in landed[7]] if kind.startswith("DECIMAL") else landed[7]
        assert shown == value


@pytest.mark.parametrize("policy", ["freeze", "discard_row"])
def test_a_key_that_a_struct_does_not_have_is_told_by_strict_policies(con, tmp_path, policy):
    write(tmp_path, '{"a": 7, "v": {"b": "x", "zz": 7}}')
    assert load(con, tmp_path, {"a": "int", "v": "STRUCT(b VARCHAR)"}, {"schema": policy}).rules == ["cast"]
