"""Text of logs: line ends, encodings, and lines that are not in theirs."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from headwater.sources.logs import lines as logs_lines
from headwater.sources.logs.spec import LogsTable
from tests.sources import harness
from tests.sources.test_logs_follow import Reader, put


def read(con: duckdb.DuckDBPyConnection, folder: Path, data: bytes, encoding: str = "utf-8") -> harness.Outcome:
    put(folder / "a.log", data)
    reader = Reader(con, folder, encoding=encoding)
    return harness.read(reader.source, reader.request())


def found(outcome: harness.Outcome) -> list[tuple[int, str]]:
    return sorted((row["_line"], row["text"]) for row in outcome.rows)


@pytest.mark.parametrize("more", [b"", b"a\x01b\r\n"], ids=["", "with a control character"])
def test_a_lone_carriage_return_changes_no_other_line(
    con: duckdb.DuckDBPyConnection, tmp_path: Path, more: bytes
) -> None:
    outcome = read(con, tmp_path, b"one\r\ntwo\nth\rree\r\nfour\x0b\x0c\xc2\x85x\xe2\x80\xa8\r\n" + more)
    lines = [(1, "one"), (2, "two"), (3, "th\rree"), (4, "four\x0b\x0c\x85x\u2028")]
    assert found(outcome) == lines + ([(5, "a\x01b")] if more else [])


@pytest.mark.parametrize("encoding", ["utf-8", "windows-1252", "utf-16"])
@pytest.mark.parametrize("chunk_bytes", [1 << 26, 40])
def test_a_line_that_is_not_in_its_encoding(
    con: duckdb.DuckDBPyConnection, tmp_path: Path, encoding: str, chunk_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs_lines, "CHUNK_BYTES", chunk_bytes)
    damage = {"utf-8": b"x\xffy", "windows-1252": b"x\x81y", "utf-16": "x\ud800y".encode("utf-16-le", "surrogatepass")}
    codec = "utf-16-le" if encoding == "utf-16" else encoding
    mark = b"\xff\xfe" if encoding == "utf-16" else b""
    text = mark + "größer €\r\n".encode(codec) + damage[encoding] + "\nnext ö\n".encode(codec)
    outcome = read(con, tmp_path, text, encoding)
    assert found(outcome) == [(1, "größer €"), (3, "next ö")]
    ((rule, reason, line, file),) = [(r["rule"], r["reason"], r["_line"], r["_file"]) for r in outcome.rejects]
    assert (rule, reason, line, file) == ("encoding", f"the text is not {encoding}", 2, "a.log")


@pytest.mark.parametrize("mark", [b"\xff\xfe", b"\xfe\xff", b""])
def test_utf_16(con: duckdb.DuckDBPyConnection, tmp_path: Path, mark: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Characters whose bytes look like a line feed are none; what comes later has no mark."""
    monkeypatch.setattr(logs_lines, "CHUNK_BYTES", 24)
    codec = "utf-16-be" if mark == b"\xfe\xff" else "utf-16-le"
    reader = Reader(con, tmp_path, encoding="utf-16")
    put(tmp_path / "a.log", mark + "a\u0a00\u000b\u0a0ab\r\nĊ\u0d0a\n".encode(codec))
    assert reader.run() == ["a\u0a00\u000b\u0a0ab", "Ċ\u0d0a"]
    put(tmp_path / "a.log", "later\n".encode(codec))
    assert reader.run() == ["later"]


def test_a_mark_before_the_first_line_is_no_text(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    assert found(read(con, tmp_path, b"\xef\xbb\xbfone\ntwo\n")) == [(1, "one"), (2, "two")]


def test_latin_1_takes_every_byte(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    outcome = read(con, tmp_path, b"\x80\xe9\xff\n", "latin-1")
    assert found(outcome) == [(1, "\x80éÿ")]


def test_syslog_in_utf_16(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    put(tmp_path / "a.log", "<34>1 2026-01-05T22:14:15Z höst su 99 - - text\n".encode("utf-16"))
    reader = Reader(con, tmp_path)
    reader.options = LogsTable(path="*.log", format="syslog", encoding="utf-16")
    asked = harness.request(con, reader.options, {"host": "varchar"}, {"load": "incremental"})
    assert harness.read(reader.source, asked).values("host") == [("höst",)]
