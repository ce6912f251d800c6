"""Logs: formats, lines that do not fit, and following a log through rotation, packing and truncation."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from headwater.api import load
from headwater.core.run import Status
from headwater.errors import ProjectErrors
from headwater.run.steps import extract
from headwater.sources.logs import lines as logs_lines
from tests.run.projects import write
from tests.run.runner import rows, run, run_well

LINE = '10.0.0.{n} - frank [10/Oct/2025:13:55:{n:02d} -0700] "GET /page/{n}?a=1 HTTP/1.1" 200 {n}00 "-" "curl/8"\n'
SELECT = "select remote_host from web.access"


def project(folder: Path, more: str = "format: combined", path: str = "logs/access.log*") -> Path:
    table = f"tables:\n  access: {{path: '{path}', {more}}}\n"
    return write(folder, {"headwater.yaml": "name: logs\n", "sources/web.yaml": f"kind: logs\n{table}"})


def lines(*numbers: int) -> str:
    return "".join(LINE.format(n=number) for number in numbers)


def append(folder: Path, text: str, name: str = "access.log") -> None:
    file = folder / "logs" / name
    file.parent.mkdir(exist_ok=True)
    with file.open("ab") as log:
        log.write(text.encode("utf-8", "surrogateescape"))


def hosts(*numbers: int) -> list[tuple[str]]:
    return sorted((f"10.0.0.{number}",) for number in numbers)


def test_combined(tmp_path: Path) -> None:
    project(tmp_path)
    append(tmp_path, lines(1))
    append(tmp_path, '::1 ident - [29/Feb/2024:00:00:00 +0000] "-" 408 - "http://x/?q=\\"a\\"" "\\"Odd\\" agent"\r\n')
    run_well(tmp_path)
    everything = (
        "select remote_host, remote_logname, remote_user, time::varchar, method, path, protocol, status, bytes, "
        "referer, user_agent from web.access"
    )
    assert rows(tmp_path, everything) == [
        (
            "10.0.0.1", None, "frank", "2025-10-10 20:55:01+00", "GET", "/page/1?a=1", "HTTP/1.1", 200, 100, None,
            "curl/8",
        ),
        (
            "::1", "ident", None, "2024-02-29 00:00:00+00", None, None, None, 408, None, 'http://x/?q=\\"a\\"',
            '\\"Odd\\" agent',
        ),
    ]  # fmt: skip
    assert rows(tmp_path, "select distinct _file from system.web__access") == [("logs/access.log",)]


def test_common(tmp_path: Path) -> None:
    project(tmp_path, "format: common, into: lakehouse")
    append(tmp_path, '127.0.0.1 - - [01/Jan/2026:00:00:00 +0100] "POST /a b HTTP/2" 500 12\n')
    run_well(tmp_path)
    assert rows(tmp_path, "select method, path, protocol, status, time::varchar from web.access") == [
        ("POST", "/a b", "HTTP/2", 500, "2025-12-31 23:00:00+00")
    ]


def test_syslog_of_both_kinds(tmp_path: Path) -> None:
    project(tmp_path, "format: syslog", "logs/*.log")
    append(
        tmp_path,
        '<165>1 2026-01-05T22:14:15.003Z host evntslog - ID47 [x@1 a="1\\]"][y@1] \ufeffAn event\n'
        "<34>1 2026-01-05T22:14:15+01:00 host su 99 - - gone wrong\n",
        "new.log",
    )
    append(tmp_path, "Jan  3 01:02:03 box sshd[77]: Failed: password\n<13>Dec 31 23:59:59 box cron: ran\n", "old.log")
    os.utime(tmp_path / "logs/old.log", (1767400000, 1767400000))  # 2026-01-03
    run_well(tmp_path)
    found = rows(
        tmp_path,
        "select time::varchar, facility, severity, app, pid, message_id, structured_data, message from web.access",
    )
    assert found == [
        ("2025-12-31 23:59:59+00", 1, "notice", "cron", None, None, None, "ran"),
        ("2026-01-03 01:02:03+00", None, None, "sshd", "77", None, None, "Failed: password"),
        ("2026-01-05 21:14:15+00", 4, "crit", "su", "99", None, None, "gone wrong"),
        ("2026-01-05 22:14:15.003+00", 20, "notice", "evntslog", None, "ID47", '[x@1 a="1\\]"][y@1]', "An event"),
    ]


def test_json_lines(tmp_path: Path) -> None:
    project(tmp_path, "format: json, columns: {level: varchar, ms: double}")
    append(tmp_path, json.dumps({"level": "info", "ms": 1.5, "more": {"a": 1}}) + "\nnot json\n[1]\n")
    assert run_well(tmp_path)["web.access/load"].rejected == 2
    assert rows(tmp_path, "select level, ms from web.access") == [("info", 1.5)]
    assert rows(tmp_path, "select _raw->>'$.more.a' from system.web__access") == [("1",)]
    assert rows(tmp_path, "select _line, rule from quarantine.web__access") == [(2, "unparsed"), (3, "json")]


def test_a_pattern_of_ones_own(tmp_path: Path) -> None:
    pattern = r"^(?P<ts>\S+ \S+) (?P<level>[A-Z]+) (?:took (?P<ms>\d+)ms )?(?P<text>.*)$"
    more = f"pattern: '{pattern}', time_format: '%d.%m.%Y %H:%M', types: {{ts: timestamp, ms: integer}}"
    project(tmp_path, more)
    append(tmp_path, "03.02.2026 10:20 INFO took 12ms done\n03.02.2026 10:21 WARN odd\nrubbish\n")
    assert run_well(tmp_path)["web.access/load"].rejected == 1
    assert rows(tmp_path, "select ts::varchar, level, ms, text from web.access") == [
        ("2026-02-03 10:20:00", "INFO", 12, "done"),
        ("2026-02-03 10:21:00", "WARN", None, "odd"),
    ]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("format: combined, pattern: x", "either a format or a pattern"),
        ("load: full", "either a format or a pattern"),
        ("format: json", "needs columns"),
        ("format: combind", "combined"),
    ],
)
def test_what_a_table_must_say(tmp_path: Path, more: str, told: str) -> None:
    with pytest.raises(ProjectErrors, match=told):
        run(project(tmp_path, more))


@pytest.mark.parametrize("more", [r"'\S+'", "'(?P<a>x'", "'(?P<a>x)(?P<a>y)'", "'(?P<a>x)', types: {b: date}"])
def test_a_pattern_that_is_none(tmp_path: Path, more: str) -> None:
    project(tmp_path, f"pattern: {more}")
    append(tmp_path, lines(1))
    with pytest.raises(ProjectErrors, match=r"pattern of a log|no group"):
        load(tmp_path)


def test_lines_that_do_not_fit_are_told_with_their_numbers(tmp_path: Path) -> None:
    project(tmp_path)
    append(tmp_path, lines(1) + "\n" + "rubbish\n" + lines(2))
    append(tmp_path, "bytes \udcff here\n\x01 control\n" + lines(3))
    assert run_well(tmp_path)["web.access/load"].rejected == 3
    assert rows(tmp_path, SELECT) == hosts(1, 2, 3)
    found = rows(tmp_path, "select _file, _line, rule, raw from quarantine.web__access")
    assert found == [
        ("logs/access.log", 3, "unparsed", "rubbish"),
        ("logs/access.log", 5, "encoding", "bytes \ufffd here"),
        ("logs/access.log", 6, "unparsed", "\x01 control"),
    ]
    append(tmp_path, "more rubbish\n")
    run_well(tmp_path)
    assert rows(tmp_path, "select max(_line) from quarantine.web__access") == [(8,)]


def test_a_log_is_followed_as_it_grows(tmp_path: Path) -> None:
    project(tmp_path)
    append(tmp_path, lines(1, 2))
    run_well(tmp_path)
    append(tmp_path, lines(3))
    assert run_well(tmp_path)["web.access/load"].rows_inserted == 1
    assert rows(tmp_path, SELECT) == hosts(1, 2, 3)
    assert run_well(tmp_path)["web.access/load"].status is Status.SKIPPED


def test_half_a_line_waits_for_its_end(tmp_path: Path) -> None:
    project(tmp_path)
    whole = lines(1, 2)
    append(tmp_path, whole[:-20])
    run_well(tmp_path)
    assert rows(tmp_path, SELECT) == hosts(1)
    append(tmp_path, whole[-20:])
    run_well(tmp_path)
    assert rows(tmp_path, SELECT) == hosts(1, 2)
    append(tmp_path, lines(3).removesuffix("\n"))
    old = time.time() - 120
    os.utime(tmp_path / "logs/access.log", (old, old))
    run_well(tmp_path)
    assert rows(tmp_path, SELECT) == hosts(1, 2, 3)
    append(tmp_path, "\n" + lines(4))
    run_well(tmp_path)
    assert rows(tmp_path, SELECT) == hosts(1, 2, 3, 4)


@pytest.mark.parametrize("big", [False, True])
def test_rotation_loses_nothing_and_repeats_nothing(tmp_path: Path, big: bool) -> None:
    """Renamed, written on, packed, and beside it the packed copy for a while."""
    project(tmp_path)
    first = list(range(1, 30 if big else 3))
    append(tmp_path, lines(*first))
    run_well(tmp_path)
    append(tmp_path, lines(40))
    folder = tmp_path / "logs"
    (folder / "access.log").rename(folder / "access.log.1")
    append(tmp_path, lines(41))
    run_well(tmp_path)
    assert rows(tmp_path, SELECT) == hosts(*first, 40, 41)
    append(tmp_path, lines(42), "access.log.1")
    (folder / "access.log.1.gz").write_bytes(gzip.compress((folder / "access.log.1").read_bytes()))
    run_well(tmp_path)
    assert rows(tmp_path, SELECT) == hosts(*first, 40, 41, 42)
    (folder / "access.log.1").unlink()
    (folder / "access.log.1.gz").rename(folder / "access.log.2.gz")
    (folder / "access.log").rename(folder / "access.log.1")
    run_well(tmp_path)
    assert rows(tmp_path, SELECT) == hosts(*first, 40, 41, 42)
    assert rows(tmp_path, "select count(*) from quarantine.web__access") == [(0,)]


def test_copied_and_truncated_in_place(tmp_path: Path) -> None:
    project(tmp_path)
    append(tmp_path, lines(*range(1, 21)))
    run_well(tmp_path)
    append(tmp_path, lines(30))
    folder = tmp_path / "logs"
    shutil.copy(folder / "access.log", folder / "access.log.1")
    os.truncate(folder / "access.log", 0)
    append(tmp_path, lines(31))
    run_well(tmp_path)
    assert rows(tmp_path, SELECT) == hosts(*range(1, 21), 30, 31)
    assert rows(tmp_path, "select count(*) from quarantine.web__access") == [(0,)]


@pytest.mark.parametrize("new", [[], [31, 32]])
def test_a_truncated_log_is_noticed_once(tmp_path: Path, new: list[int]) -> None:
    project(tmp_path)
    append(tmp_path, lines(1, 2, 3))
    run_well(tmp_path)
    os.truncate(tmp_path / "logs/access.log", 0)
    append(tmp_path, lines(*new))
    result = run_well(tmp_path)["web.access/load"]
    assert result.rejected == 1
    assert rows(tmp_path, "select _file, _line, rule from quarantine.web__access") == [
        ("logs/access.log", 3, "truncated")
    ]
    assert rows(tmp_path, SELECT) == hosts(1, 2, 3, *new)
    append(tmp_path, lines(33))
    run_well(tmp_path)
    assert rows(tmp_path, SELECT) == hosts(1, 2, 3, *new, 33)
    assert rows(tmp_path, "select count(*) from quarantine.web__access") == [(1,)]


def test_a_log_that_is_truncated_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract, "RETRY_PAUSES_S", ())
    monkeypatch.setattr(logs_lines, "CHUNK_BYTES", 1000)
    project(tmp_path)
    append(tmp_path, lines(*range(30)))
    take = logs_lines.LineReader.take

    def cut(*args: Any, **more: Any) -> Any:
        taken = take(*args, **more)
        os.truncate(tmp_path / "logs" / "access.log", 0)
        return taken

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logs_lines.LineReader, "take", cut)
        told = str(run(tmp_path)["web.access/extract"].error)
    assert "truncated while it was read" in told
    assert "run again" in told
    append(tmp_path, lines(40))
    run_well(tmp_path)
    assert rows(tmp_path, SELECT) == hosts(40)


def test_two_logs_that_begin_alike_are_two(tmp_path: Path) -> None:
    project(tmp_path, path="logs/*.log")
    append(tmp_path, lines(1), "a.log")
    append(tmp_path, lines(1), "b.log")
    run_well(tmp_path)
    append(tmp_path, lines(2), "a.log")
    append(tmp_path, lines(3), "b.log")
    run_well(tmp_path)
    assert rows(tmp_path, SELECT) == hosts(1, 1, 2, 3)


@pytest.mark.parametrize("packed", [False, True])
def test_many_chunks(tmp_path: Path, packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs_lines, "CHUNK_BYTES", 300)
    project(tmp_path)
    wanted = list(range(1, 21))
    text = lines(*wanted[:10]) + "rubbish\n" + lines(*wanted[10:])
    if packed:
        (tmp_path / "logs").mkdir()
        (tmp_path / "logs/access.log.1.gz").write_bytes(gzip.compress(text.encode()))
    else:
        append(tmp_path, text)

    staged: list[str] = []

    def listen(event: Any) -> None:
        if event.name == "staged":
            staged.append(event.data["chunk"])

    assert run_well(tmp_path, listeners=[listen])["web.access/load"].rejected == 1
    assert len(staged) > 5
    assert rows(tmp_path, SELECT) == hosts(*wanted)
    assert rows(tmp_path, "select _line from quarantine.web__access") == [(11,)]


def test_a_full_load_reads_what_is_there(tmp_path: Path) -> None:
    project(tmp_path, "format: combined, load: full, into: lakehouse")
    append(tmp_path, lines(1, 2))
    run_well(tmp_path)
    os.truncate(tmp_path / "logs/access.log", 0)
    append(tmp_path, lines(3))
    run_well(tmp_path)
    assert rows(tmp_path, SELECT) == hosts(3)


def test_a_damaged_packed_log(tmp_path: Path) -> None:
    project(tmp_path)
    append(tmp_path, lines(1), "access.log")
    (tmp_path / "logs/access.log.1.gz").write_bytes(gzip.compress(lines(*range(2, 50)).encode())[:-30])
    assert "access.log.1.gz" in run(tmp_path)["web.access/extract"].error
    (tmp_path / "logs/access.log.1.gz").unlink()
    run_well(tmp_path)
    assert rows(tmp_path, SELECT) == hosts(1)


def test_the_shop_file_is_accepted(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "headwater.yaml": "name: shop\n",
            "sources/web.yaml": (
                "kind: logs\ntables:\n  access:\n    path: logs/access-*.log.gz\n    format: combined\n"
            ),
        },
    )
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/access-1.log.gz").write_bytes(gzip.compress(lines(1, 2).encode()))
    run_well(tmp_path)
    assert rows(tmp_path, SELECT) == hosts(1, 2)
    assert (tmp_path / "data/lake").is_dir()
    (tmp_path / "logs/access-2.log.gz").write_bytes(gzip.compress(lines(3).encode()))
    run_well(tmp_path)
    assert rows(tmp_path, SELECT) == hosts(1, 2, 3)


@pytest.mark.parametrize(
    ("more", "line", "told"),
    [
        ("format: common", '10.0.0.9 - - [99/Jan/2026:10:20:30 +0000] "GET / HTTP/1.1" 200 5', "column time"),
        ("format: common", f'10.0.0.9 - - [03/Jan/2026:10:20:30 +0000] "GET /" 200 {"9" * 20}', "column bytes"),
        ("format: syslog", "<13>1 not-a-time host app 1 - - text", "column time"),
        ("format: syslog", "<13>Feb 31 10:20:30 host app: text", "column time"),
        ("pattern: '^(?P<n>\\S+)', types: {n: bigint}", "one", "column n is not a BIGINT"),
    ],
)
def test_a_line_with_an_impossible_value_is_a_reject(tmp_path: Path, more: str, line: str, told: str) -> None:
    project(tmp_path, more)
    append(tmp_path, line + "\n")
    assert run(tmp_path)["web.access/load"].rejected == 1
    ((rule, reason, raw, number),) = rows(tmp_path, "select rule, reason, raw, _line from quarantine.web__access")
    assert (rule, raw, number) == ("cast", line, 1)
    assert told in reason


def test_an_impossible_value_is_left_out_where_values_are_discarded(tmp_path: Path) -> None:
    project(tmp_path, "pattern: '^(?P<n>\\S+) (?P<text>.*)$', types: {n: bigint}, schema: discard_value")
    append(tmp_path, "one word\n- none\n3 words\n")
    assert run_well(tmp_path)["web.access/load"].rejected == 0
    assert rows(tmp_path, "select n, text from web.access") == [(3, "words"), (None, "none"), (None, "word")]
