"""CSV: every row is good or exactly one reject, whatever is wrong with it."""

from __future__ import annotations

import gzip
import random
from typing import TYPE_CHECKING, Any

import pytest

from headwater.errors import ConnectorError, ProjectError
from headwater.sources.files import csv as files_csv
from headwater.sources.files import scan as files_scan
from headwater.sources.files.source import Files, FilesConnection, FilesTable

from .harness import Outcome, read, request

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = {"a": "int", "b": "varchar"}


def load(con, folder: Path, columns: dict[str, str] | None = None, ingest: Any = None, **table: Any) -> Outcome:
    table.setdefault("path", "*.csv*")
    options = FilesTable.model_validate({"format": "csv", **table})
    return read(Files(FilesConnection(), str(folder)), request(con, options, columns or COLUMNS, ingest))


def write(folder: Path, content: bytes | str, name: str = "f.csv") -> None:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


DAMAGE = [
    ("too_few_fields", b"2", 3),
    ("too_many_fields", b"2,y,z", 3),
    ("cast", b"q,y", 3),
    ("encoding", b"2,\xff\xfe", 3),
    ("encoding", b"q,\xff,z", 3),
    ("quote", b'2,"un"quoted"', 3),
    ("quote", b'2,"a"b,c', 3),
    ("nul_byte", b"2,x\0y", None),
    ("cast", b"\x002,x", 3),
    ("cast", b"99999999999,x", 3),
    ("too_many_fields", b"q,\xffz,y"[:2] + b"y,z", 3),
]


@pytest.mark.parametrize(("rule", "line", "number"), DAMAGE)
def test_a_damaged_row_is_one_reject_with_its_line(con, tmp_path, rule, line, number):
    write(tmp_path, b"a,b\n1,x\n" + line + b"\n3,z\n")
    outcome = load(con, tmp_path)
    assert outcome.values("a", "b") == [(1, "x"), (3, "z")]
    (reject,) = outcome.rejects
    assert (reject["rule"], reject["_file"], reject["_line"]) == (rule, "f.csv", number)
    assert reject["raw"]


def test_a_cast_reject_names_every_column_and_type(con, tmp_path):
    write(tmp_path, "a,b,c\nx,y,2024-13-01\n")
    (reject,) = load(con, tmp_path, {"a": "int", "b": "varchar", "c": "date"}).rejects
    assert reject["reason"] == 'column "a" is not a INTEGER; column "c" is not a DATE'
    assert reject["raw"] == "x,y,2024-13-01"


def test_lines_are_counted_as_an_editor_does(con, tmp_path):
    write(tmp_path, '\ufeffa,b\r\n1,"two\r\nlines"\r\n\r\nq,bad\r\n2,"three\r\n\r\nlines"\r\nr,bad\r\n')
    outcome = load(con, tmp_path)
    assert outcome.values("a", "b") == [(1, "two\r\nlines"), (2, "three\r\n\r\nlines")]
    assert sorted(r["_line"] for r in outcome.rejects) == [5, 9]


def test_lines_after_a_long_file_in_blocks(con, tmp_path):
    body = b"".join(b"%d,%s\n" % (i, b"x" * 50) for i in range(100_000))
    write(tmp_path, b"a,b\n" + body + b"q,bad\n" + body + b"r,bad\n")
    outcome = load(con, tmp_path)
    assert len(outcome.rows) == 200_000
    assert sorted(r["_line"] for r in outcome.rejects) == [100_002, 200_003]


@pytest.mark.parametrize(
    "content", [b"", b"a,b", b"a,b\n", b"a,b\n\n\n", b"\n\n", b"\xef\xbb\xbf", b"\xef\xbb\xbfa,b\r\n"]
)
def test_files_without_rows(con, tmp_path, content):
    write(tmp_path, content)
    outcome = load(con, tmp_path)
    assert outcome.rows == outcome.rejects == []
    assert list(outcome.position["files"]) == ["f.csv"]


SAME = [
    b"\xef\xbb\xbfa,b\n1,x\n2,y",
    b"a,b\r\n1,x\r\n2,y\r\n",
    b"a,b\n1,x\n2,y\n\n\n",
    b"\n\na,b\n1,x\n2,y\n",
    b'"a","b"\n"1","x"\n2,y\n',
    b"b,a\nx,1\ny,2\n",
    b"A,B\n1,x\n2,y\n",
    b" a , b \n1,x\n2,y\n",
    b"a,b\r1,x\r2,y\r",
    b"a,b\n1,x\r\n2,y\n",
    b"a,b\r\n1,x\n2,y\r\n",
    b"a,b,\n1,x,\n2,y,\n",
    b"a,b\n1,x,\n2,y,\n",
]


@pytest.mark.parametrize("content", SAME)
def test_ways_to_write_the_same_rows(con, tmp_path, content):
    write(tmp_path, content)
    outcome = load(con, tmp_path)
    assert outcome.values("a", "b") == [(1, "x"), (2, "y")]
    assert outcome.rejects == []


def test_encodings_and_packing(con, tmp_path):
    text = "a,b\n1,grün\nq,ßad\n"
    write(tmp_path, text.encode("latin-1"), "l.csv")
    outcome = load(con, tmp_path, encoding="latin-1")
    assert outcome.values("a", "b") == [(1, "grün")]
    assert [(r["_line"], r["raw"]) for r in outcome.rejects] == [(3, "q,ßad")]
    (tmp_path / "l.csv").write_bytes(text.encode("utf-16"))
    assert load(con, tmp_path, encoding="utf-16").values("b") == [("grün",)]
    (tmp_path / "l.csv").unlink()
    (tmp_path / "z.csv.gz").write_bytes(gzip.compress(text.encode()))
    outcome = load(con, tmp_path, path="*.gz")
    assert outcome.values("b") == [("grün",)]
    assert [r["_line"] for r in outcome.rejects] == [3]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("mark", "order"), [(b"", "le"), (b"\xff\xfe", "le"), (b"\xfe\xff", "be")])
def test_utf_16_of_both_orders_and_its_damage(con, tmp_path, mark, order, packed):
    def put(text: str, end: bytes = b"") -> Outcome:
        content = mark + text.encode(f"utf-16-{order}", "surrogatepass") + end
        write(tmp_path, gzip.compress(content) if packed else content, "f.csv.gz" if packed else "f.csv")
        return load(con, tmp_path, encoding="utf-16")

    outcome = put("a,b\n1,grün😀\n2,\ufffd\nq,ß\n")
    assert outcome.values("a", "b") == [(1, "grün😀"), (2, "\ufffd")]
    assert [(r["_line"], r["rule"], r["raw"]) for r in outcome.rejects] == [(4, "cast", "q,ß")]
    for damage in ("x\ud83d", '"\udc00"', "\udc00\ud83dy"):
        outcome = put(f"a,b\n1,x\n2,{damage}\n3,y\n")
        assert outcome.values("a", "b") == [(1, "x"), (3, "y")]
        assert [(r["_line"], r["rule"]) for r in outcome.rejects] == [(3, "encoding")]
    outcome = put("a,b\n1,x\n2,y", b"z")
    assert outcome.values("a", "b") == [(1, "x")]
    assert [(r["_line"], r["rule"]) for r in outcome.rejects] == [(3, "encoding")]


def test_a_field_of_five_megabytes_is_a_value_and_one_of_twenty_a_reject(con, tmp_path):
    write(tmp_path, b'a,b\n1,"' + b"x" * 5_000_000 + b'"\n2,' + b"y" * 20_000_000 + b"\n3,z\n")
    outcome = load(con, tmp_path)
    assert sorted((row["a"], len(row["b"])) for row in outcome.rows) == [(1, 5_000_000), (3, 1)]
    (reject,) = outcome.rejects
    assert reject["rule"] == "line_too_long"
    assert reject["_line"] == 3
    assert len(reject["raw"]) <= 100_000


def test_an_unclosed_quote_is_one_reject_and_nothing_before_it_is_lost(con, tmp_path):
    write(tmp_path, 'a,b\n1,x\n2,"open\n3,y\n')
    outcome = load(con, tmp_path)
    assert outcome.values("a") == [(1,)]
    (reject,) = outcome.rejects
    assert reject["rule"] == "quote"
    assert "3,y" in reject["raw"]


def test_a_dialect_of_its_own(con, tmp_path):
    write(tmp_path, "a;b;c;d\n1;'x;y';31.12.2024;31.12.2024 23:59\nNA;NA;;\n")
    outcome = load(
        con, tmp_path, {"a": "int", "b": "varchar", "c": "date", "d": "timestamp"}, delimiter=";", quote="'",
        null_values=["NA", ""], date_format="%d.%m.%Y", timestamp_format="%d.%m.%Y %H:%M",
    )  # fmt: skip
    assert [(r["a"], r["b"], str(r["c"]), str(r["d"])) for r in outcome.rows] == [
        (1, "x;y", "2024-12-31", "2024-12-31 23:59:00"), (None, None, "None", "None"),
    ]  # fmt: skip


def test_tabs_and_no_header_and_no_quotes(con, tmp_path):
    (tmp_path / "f.tsv").write_text('1\tsays "hi"\n2\ty\n')
    outcome = load(con, tmp_path, path="*.tsv", format=None, header=False, quote="")
    assert outcome.values("a", "b") == [(1, 'says "hi"'), (2, "y")]


LIMITS = [
    ("TINYINT", ["-128", "127"], ["128"]),
    ("BIGINT", ["-9223372036854775808", "9223372036854775807"], ["9223372036854775808"]),
    ("UBIGINT", ["18446744073709551615"], ["-1"]),
    ("DECIMAL(38,10)", ["9999999999999999999999999999.9999999999"], ["10000000000000000000000000000"]),
    ("DOUBLE", ["-0.0", "nan", "inf", "1e308"], ["x"]),
    ("DATE", ["0001-01-01", "9999-12-31"], ["2024-02-30"]),
    ("TIMESTAMP", ["0001-01-01 00:00:00", "9999-12-31 23:59:59.999999"], ["2024-01-01 25:00:00"]),
    ("TIMESTAMPTZ", ["2024-01-01 00:00:00.000001+02"], ["x"]),
    ("BOOLEAN", ["true", "f", "1"], ["maybe"]),
    ("UUID", ["00000000-0000-0000-0000-00000000000a"], ["x"]),
    ("EPOCH_S", ["1700000000.5", "0", "-1"], ["x"]),
    ("EPOCH_MS", ["1700000000123"], ["x"]),
]


@pytest.mark.parametrize(("type_text", "good", "bad"), LIMITS)
def test_the_limits_of_each_type(con, tmp_path, type_text, good, bad):
    write(tmp_path, "v\n" + "\n".join([*good, *bad]) + "\n")
    outcome = load(con, tmp_path, {"v": type_text})
    assert len(outcome.rows) == len(good)
    assert outcome.rules == ["cast"] * len(bad)
    if type_text == "DOUBLE":
        assert str(outcome.rows[0]["v"]) == "-0.0"
    if type_text.startswith("DECIMAL"):
        assert str(outcome.rows[0]["v"]) == good[0]
    if type_text == "EPOCH_S":
        assert outcome.rows[0]["v"] == "2023-11-14 22:13:20.5+00"


NAMES = ["select", "a b", 'quo"te', "it's", "π", "😀", "c0_0", "_x"]


def test_any_header_name(con, tmp_path):
    header = ",".join('"' + name.replace('"', '""') + '"' for name in NAMES)
    write(
        tmp_path, header + "\n" + ",".join(str(i) for i in range(len(NAMES))) + "\n" + ",".join("x" * len(NAMES)) + "\n"
    )
    outcome = load(con, tmp_path, dict.fromkeys(NAMES, "int"))
    assert [outcome.rows[0][name] for name in NAMES] == list(range(len(NAMES)))
    assert all(name.replace('"', '""') in outcome.rejects[0]["reason"] for name in NAMES)


def test_columns_are_matched_by_name_in_every_file(con, tmp_path):
    write(tmp_path, "a,b\n1,x\n", "1.csv")
    write(tmp_path, "b,extra,a\ny,e,2\n", "2.csv")
    write(tmp_path, "b\nz\n", "3.csv")
    outcome = load(con, tmp_path)
    assert outcome.values("a", "b", "extra") == [(1, "x", None), (2, "y", "e"), (None, "z", None)]
    assert len(outcome.chunks) == 1


def test_freeze_refuses_other_columns(con, tmp_path):
    write(tmp_path, "a,b\n1,x\n", "1.csv")
    load(con, tmp_path, ingest={"schema": "freeze"})
    write(tmp_path, "b,extra\ny,e\n", "2.csv")
    with pytest.raises(ProjectError, match="new: extra"):
        load(con, tmp_path, ingest={"schema": "freeze"})
    (tmp_path / "1.csv").unlink()
    with pytest.raises(ProjectError, match="missing: a"):
        load(con, tmp_path, ingest={"schema": "freeze"})


def test_discard_row_rejects_rows_with_a_value_in_an_unknown_column(con, tmp_path):
    write(tmp_path, "a,extra,b\n1,,x\n2,e,y\n")
    outcome = load(con, tmp_path, ingest={"schema": "discard_row"})
    assert outcome.values("a") == [(1,)]
    assert outcome.rules == ["unknown_column"]
    assert "extra" in outcome.rejects[0]["reason"]


@pytest.mark.parametrize(("header", "words"), [("a,a", "twice"), ("a,A,b", "twice"), ("a;b", "none of the declared")])
def test_a_header_that_cannot_be_right_is_an_error(con, tmp_path, header, words):
    write(tmp_path, header + "\n1,2,3\n")
    with pytest.raises(ConnectorError, match=words):
        load(con, tmp_path)


def test_hidden_columns_never_show_in_rejects(con, tmp_path):
    write(tmp_path, "a,b\n1,SECRET,z\nx,SECRET\n5,SECRET\n")
    outcome = load(con, tmp_path, ingest={"prepare": [{"drop": "b"}], "reject_if": {"five": "a = 5"}})
    assert outcome.rules == ["cast", "five", "too_many_fields"]
    assert "SECRET" not in str(outcome.rejects)


def test_the_order_of_rows_is_known_where_it_decides(con, tmp_path):
    write(tmp_path, "a,b\n2,first\n1,x\n", "1.csv")
    write(tmp_path, "a,b\n1,second\n", "2.csv")
    outcome = load(con, tmp_path, ingest={"key": "a"})
    assert outcome.values("_file", "_line", "b") == [("1.csv", 2, "first"), ("1.csv", 3, "x"), ("2.csv", 2, "second")]
    assert all(row["_line"] is None for row in load(con, tmp_path).rows)


# -------------------------------------------------------------------------------------------- nothing is ever lost

LINES = {
    "good": lambda i, r: b"%d,%s\n" % (i, b"t" * r.randint(0, 40)),
    "few": lambda i, r: b"%d\n" % i,
    "many": lambda i, r: b"%d,x,y\n" % i,
    "cast": lambda i, r: b"q%d,x\n" % i,
    "encoding": lambda i, r: b"%d,\xff%s\n" % (i, b"z" * r.randint(0, 9)),
    "quote": lambda i, r: b'%d,"un"q"\n' % i,
    "lines": lambda i, r: b'%d,"m%s\nl"\n' % (i, b"1" * r.randint(0, 20)),
    "quoted": lambda i, r: b'%d,"q""q, %s"\n' % (i, b"w" * r.randint(0, 20)),
    "nul": lambda i, r: b"%d,\0\n" % i,
}


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(
    "kinds", [["few", "many", "cast"], ["encoding", "quote", "nul"], ["lines", "quoted"], list(LINES)[1:]]
)
def test_rows_are_good_rows_plus_rejects_whatever_the_cuts(con, tmp_path, monkeypatch, seed, kinds):
    monkeypatch.setattr(files_csv, "SPLIT_BYTES", 100)
    monkeypatch.setattr(files_scan, "MAX_LINE_BYTES", 100)
    chance = random.Random(seed)
    monkeypatch.setattr(files_scan, "BUFFER_BYTES", chance.choice([200, 400, 2000]))
    expected = 0
    for number in range(chance.choice([1, 1, 3])):
        lines = [LINES[chance.choice(["good", "good", *kinds])](i, chance) for i in range(chance.randint(1, 80))]
        write(tmp_path, b"a,b\n" + b"".join(lines), f"{number}.csv")
        expected += len(lines)
    outcome = load(con, tmp_path)
    assert len(outcome.rows) + len(outcome.rejects) == expected
    places = [(r["_file"], r["_line"]) for r in outcome.rejects if r["rule"] != "nul_byte"]
    assert len(set(places)) == len(places)


def test_a_large_damaged_file_at_the_real_cuts(con, tmp_path):
    chance = random.Random(3)
    kinds = ["good"] * 7 + ["few", "cast", "encoding"]
    lines = [LINES[chance.choice(kinds)](i, chance) for i in range(400_000)]
    write(tmp_path, b"a,b\n" + b"".join(lines))
    assert (tmp_path / "f.csv").stat().st_size > files_csv.SPLIT_BYTES
    outcome = load(con, tmp_path)
    assert len(outcome.rows) + len(outcome.rejects) == 400_000


def test_a_file_of_mixed_line_ends_is_read_row_by_row(con, tmp_path):
    lines = b'a,b\n1,x\r\n2\rq,y\n3,"m\nl"\r\n4,\xff\n5,a,b\n\n6,\n7,z,\n8,%s\n' % (b"w" * 20_000_000)
    write(tmp_path, lines)
    write(tmp_path, "b,a\nother,9\n", "g.csv")
    outcome = load(con, tmp_path)
    assert outcome.values("a", "b") == [(1, "x"), (3, "m\nl"), (6, None), (7, "z"), (9, "other")]
    assert sorted((r["rule"], r["_line"]) for r in outcome.rejects) == [
        ("cast", 4), ("encoding", 7), ("line_too_long", 12), ("too_few_fields", 3), ("too_many_fields", 8),
    ]  # fmt: skip


def test_one_column_keeps_its_blank_rows(con, tmp_path):
    write(tmp_path, "v\n1\n\n2\n")
    assert len(load(con, tmp_path, {"v": "varchar"}).rows) == 3


@pytest.mark.parametrize(("open_at", "lines"), [(2, 9), (9, 2), (10, 1)])
@pytest.mark.parametrize("loose", [False, True])
def test_an_open_quote_says_how_many_lines_it_took(con, tmp_path, open_at, lines, loose):
    made = [f"{n},x{n}" for n in range(1, 11)]
    made[open_at - 1] = f'{open_at},"x'
    text = "a,b\n" + "".join(f"{line}\n" for line in made)
    write(tmp_path, text.replace("1,x1\n", "1,x1\r", 1) if loose else text)
    outcome = load(con, tmp_path)
    assert len(outcome.rows) == open_at - 1
    (reject,) = outcome.rejects
    assert reject["rule"] == "quote"
    assert ("takes" in reject["reason"]) == (lines > 1)
    if lines > 1:
        assert f"it takes {lines} lines of the file" in reject["reason"]


def test_two_open_quotes_say_what_is_between_them(con, tmp_path):
    write(tmp_path, 'a,b\n1,x\n2,"open\n3,y\n4,"open\n5,z\n')
    outcome = load(con, tmp_path)
    assert outcome.values("a") in ([(1,)], [(1,), (5,)])
    took = sum(1 + reject["raw"].count("\n") for reject in outcome.rejects)
    assert len(outcome.rows) + took == 5
    assert any("it takes" in reject["reason"] for reject in outcome.rejects)


@pytest.mark.parametrize(("encoding", "header"), [("utf-8", b"a,na\xefve\n"), ("windows-1252", b"a,b\x81\n")])
@pytest.mark.parametrize("policy", ["evolve", "discard_value", "discard_row", "freeze"])
def test_a_header_that_is_not_in_its_encoding_is_an_error(con, tmp_path, encoding, header, policy):
    (tmp_path / "t.csv").write_bytes(header + b"1,x\n")
    columns = {"a": "int", "na\xefve": {"type": "varchar", "optional": True}}
    ingest = {"schema": policy, "columns": columns}
    with pytest.raises(ConnectorError, match=r"t\.csv: its header is not") as caught:
        load(con, tmp_path, columns={"a": "int", "na\xefve": "varchar"}, ingest=ingest, encoding=encoding)
    assert "set encoding" in caught.value.fix
    if encoding == "utf-8":
        outcome = load(con, tmp_path, columns={"a": "int", "na\xefve": "varchar"}, encoding="latin-1")
        assert outcome.values("a", "na\xefve") == [(1, "x")]
