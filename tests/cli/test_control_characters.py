"""Whatever is in data, names and errors: a terminal and a page get nothing to obey, a file gets the data exactly."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from headwater.core.texts import visible

from ..house.code import modules
from .conftest import Call

EVIL = "\x1b[2J\x1b]0;owned\x07\r\x9bgone\u202egpj\u200b\u2066\x7f"
SQL = "||".join(f"chr({ord(c)})" for c in EVIL)
CSV = (
    f'order_id,customer,amount,ordered_at\n1,"{EVIL}",-1,2026-01-05 09:12:00\n2,"{EVIL}",x{EVIL},2026-01-05 09:12:00\n'
)
MODEL = f'/* headwater\ndescription: "{{}}"\nowner: "{{}}"\n*/\nselect 1 as n where error({SQL}) is null\n'


def hidden(text: str) -> list[str]:
    return re.findall("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]", text)


@pytest.fixture
def evil(project: Call) -> Call:
    Path("files/orders.csv").write_text(CSV, encoding="utf-8")
    text = "".join(f"\\U{ord(c):08x}" for c in EVIL)
    Path("models/marts/bad.sql").write_text(MODEL.format(text, text), encoding="utf-8")
    assert project("run").code == 1
    return project


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("status", "--json"),
        ("plan",),
        ("plan", "--json"),
        ("show", "marts.bad"),
        ("show", "marts.bad", "--json"),
        ("show", "--rejected", "shop.orders"),
        ("show", "--rejected", "shop.orders", "--json"),
        ("run",),
        ("run", "--json"),
        ("run", "--log", "json"),
        ("run", "--log", "plain"),
        ("query", "from quarantine.shop__orders"),
        ("query", f"select {SQL} as x"),
        ("query", f"select {SQL} as x", "--json"),
        ("query", f"select error({SQL})"),
        ("query", f'select 1 as "{EVIL}"'),
        ("query", f'from "{EVIL}"'),
        ("query", EVIL),
        ("show", EVIL),
        (EVIL,),
        ("run", "-s", EVIL),
        ("run", f"--{EVIL}"),
        ("--env", EVIL, "plan"),
        ("-p", EVIL, "plan"),
        ("test", EVIL),
        ("run", "--now", EVIL),
        ("types", EVIL),
        ("draw", "--format", "text"),
        ("draw", "--format", "dot"),
        ("draw", "--format", "mermaid"),
        ("draw", "--format", "svg"),
        ("draw", "--format", "html"),
        ("draw", "--json"),
        ("check",),
        ("check", "--json"),
        ("maintain",),
    ],
    ids=lambda arguments: ascii(" ".join(arguments))[:40],
)
def test_nothing_to_obey_comes_out(arguments: tuple[str, ...], evil: Call) -> None:
    outcome = evil(*arguments)
    assert hidden(outcome.text) == []
    assert hidden(outcome.error) == []
    if "--json" in arguments:
        json.loads(outcome.output)


def test_openlineage_has_nothing_to_obey(evil: Call) -> None:
    assert evil("run", "--openlineage", "events.jsonl").code == 1
    lines = Path("events.jsonl").read_text(encoding="utf-8").splitlines()
    assert any("\x1b[2J" in json.dumps(json.loads(line), ensure_ascii=False) or "owned" in line for line in lines)
    assert hidden("".join(lines)) == []


def test_files_and_pipes_get_the_data_exactly(evil: Call) -> None:
    for arguments in ((), ("-o", "out.csv")):
        outcome = evil("query", f"select {SQL} as x", "--format", "csv", *arguments)
        text = Path("out.csv").read_bytes() if arguments else outcome.output
        assert list(csv.reader(io.StringIO(text.decode(), newline=""))) == [["x"], [EVIL]]
    assert evil("query", f"select {SQL} as x", "--json").json == [{"x": EVIL}]
    evil("query", f"select {SQL} as x", "--format", "json", "-o", "out.json")
    assert json.loads(Path("out.json").read_bytes()) == [{"x": EVIL}]
    evil("query", f"select {SQL} as x", "-o", "out.txt")
    assert visible(EVIL, one_line=True)[:40] in Path("out.txt").read_text(encoding="utf-8")


def test_csv_in_a_terminal_is_made_visible(evil: Call) -> None:
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "headwater", "query", f"select {SQL} as x", "--format", "csv"]
    with subprocess.Popen(command, stdout=slave, stderr=slave) as process:
        os.close(slave)
        said = b""
        while True:
            try:
                piece = os.read(master, 65536)
            except OSError:
                break
            if not piece:
                break
            said += piece
    os.close(master)
    assert process.returncode == 0
    assert hidden(said.decode().replace("\r\n", "\n")) == []
    assert r"\x1b[2J" in said.decode()


def test_there_is_one_way_out() -> None:
    """Nothing prints past `out` but the live display, which writes out what it gets as well."""
    printing = re.compile(
        r"click\.echo\(|click\.secho\(|(?<![\w.])print\(|sys\.std(?:out|err)\.write\(|console\.print\("
    )
    found = {
        (module.path.rpartition("/")[2], line.strip())
        for module in modules()
        if module.path.startswith("headwater/") and not module.path.endswith("cli/out.py")
        for line in module.text.splitlines()
        if printing.search(line)
    }
    assert found == {
        ("progress.py", "self._console.print(visible(redact(text, self.secrets)), highlight=False, markup=False)"),
    }
