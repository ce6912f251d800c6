"""Secrets and hidden values: nowhere in a file of the project, in what is printed, in an error."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from headwater.api import load
from headwater.cli import group
from headwater.core.run import Event
from tests.run.projects import STORES
from tests.run.runner import put, rows, run, run_well, source

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "tök\"en'🔑-0123456789"
HIDDEN = ("ann@example.org", "internal-note-77")
COLUMNS = "columns: {id: bigint, email: varchar, note: varchar, price: double}"
RULES = 'prepare:\n  - mask: {columns: [email], key: "${env:TOKEN}"}\n  - drop: [note]\n'
ROWS = f"id,email,note,price\n1,{HIDDEN[0]},{HIDDEN[1]},1\n2,{HIDDEN[0]},{HIDDEN[1]},bad\n3,{HIDDEN[0]},{HIDDEN[1]}\n"


def project(folder: Path, more: str = "") -> Path:
    return put(
        folder,
        {
            ".env": f"TOKEN={TOKEN}\n",
            **{f"sources/{store}.yaml": source(store, RULES + more, COLUMNS) for store in STORES},
            "models/m/a.sql": "select id, email from lake.orders\n",
            "in/1.csv": ROWS,
        },
    )


def written(folder: Path) -> bytes:
    """Every byte that a run has written."""
    files = [f for part in (".headwater", "data") for f in (folder / part).rglob("*") if f.is_file()]
    assert len(files) >= 4
    return b"".join(file.read_bytes() for file in files)


def assert_clean(text: bytes | str) -> None:
    data = text.encode() if isinstance(text, str) else text
    spellings = {TOKEN, TOKEN.encode("unicode_escape").decode(), TOKEN.replace('"', '\\"'), TOKEN.replace("'", "''")}
    for secret in (*spellings, "0123456789", *HIDDEN):
        assert secret.encode() not in data, secret
        assert secret.encode("utf-16-le") not in data, secret


def test_nothing_that_is_written_or_printed_holds_them(tmp_path: Path) -> None:
    project(tmp_path)
    whole = [sys.executable, "-m", "headwater", "-p", str(tmp_path), "run", "--log", "json"]
    done = subprocess.run(whole, capture_output=True, check=True)
    assert b"step_finished" in done.stdout
    assert_clean(done.stdout + done.stderr)
    commands = [
        ["plan"],
        ["show", "lake.orders"],
        ["show", "--rejected", "lake.orders"],
        ["status", "--json"],
        ["query", "from warehouse.orders"],
        ["draw", "-o", str(tmp_path / "out.svg")],
    ]
    for command in commands:
        outcome = CliRunner().invoke(group, ["-p", str(tmp_path), *command])
        assert outcome.exit_code == 0, outcome.output
        assert_clean(outcome.output)
    assert_clean(written(tmp_path))
    for store in STORES:
        assert len(rows(tmp_path, f"from {store}.orders")) == 1
        found = load(tmp_path).query(f"select rule, raw, reason from quarantine.{store}__orders order by rule")
        assert found.column("rule").to_pylist() == ["cast", "too_few_fields"]
        assert found.column("raw").to_pylist()[1] is None


@pytest.mark.parametrize(
    "more",
    [
        "  - sql: {n: \"if(id = 1, error('no ' || id), 1)\"}\nreject_if: {x: price > 5}",
        "checks: [{column: id, range: {max: 0}}]",
        "max_rejected: 0",
        "reject_if: {x: \"error('no')\"}",
    ],
)
def test_errors_on_purpose_do_not_tell_them(tmp_path: Path, more: str) -> None:
    project(tmp_path, more)
    events: list[Event] = []
    results = run(tmp_path, listeners=[events.append])
    errors = [result.error for result in results.values() if result.error]
    assert len(errors) == 3
    assert_clean("\n".join(errors))
    assert_clean(repr(events))
    assert_clean(written(tmp_path))


def test_a_cast_that_fails_on_a_value_to_be_hidden_withholds_it(tmp_path: Path) -> None:
    rules = (
        'prepare:\n  - sql: {n: "email::int"}\n  - mask: {columns: [email], key: "${env:TOKEN}"}\n  - drop: [note]\n'
    )
    put(project(tmp_path), {"sources/lake.yaml": source("lake", rules, COLUMNS)})
    error = run(tmp_path)["lake.orders/extract"].error
    assert "ConversionException in the rules of the table; its text is withheld" in error
    assert "try_cast" in error
    assert_clean(error)
    assert_clean(written(tmp_path))
    shown = source("lake", 'prepare: [{sql: {n: "email::int"}}]', COLUMNS)
    put(tmp_path, {"sources/lake.yaml": shown})
    assert HIDDEN[0] in run(tmp_path)["lake.orders/extract"].error


def test_the_mask_is_one_key_and_one_value(tmp_path: Path) -> None:
    import hashlib
    import hmac

    run_well(project(tmp_path))
    wanted = hmac.new(TOKEN.encode(), HIDDEN[0].encode(), hashlib.sha256).hexdigest()
    for store in STORES:
        assert rows(tmp_path, f"select email from {store}.orders") == [(wanted,)]


def test_json_that_lands_raw_holds_no_hidden_value(tmp_path: Path) -> None:
    line = f'{{"id": 1, "email": "{HIDDEN[0]}", "note": "{HIDDEN[1]}", "price": 2}}\n'
    put(project(tmp_path), {"in/1.jsonl": line + line.replace("2}", '"x"}') + line[:40] + "\n"})
    for store in STORES:
        text = source(store, RULES, COLUMNS).replace("*.csv", "*.jsonl")
        put(tmp_path, {f"sources/{store}.yaml": text})
    run_well(tmp_path)
    assert rows(tmp_path, "select json_extract(_raw, '$.price') from system.lake__orders") == [("2",)]
    assert len(rows(tmp_path, "from quarantine.lake__orders")) == 2
    assert_clean(written(tmp_path))


def test_notes_of_a_plan_do_not_tell_a_path_that_is_a_secret(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            ".env": "WHERE=secret-folder-0123456789\n",
            "sources/a.yaml": "kind: files\npath: ${env:WHERE}\ntables: {t: {path: in/*.csv, columns: {id: bigint}}}\n",
            "sources/b.yaml": "kind: sqlite\npath: ${env:WHERE}/b.db\ntables: {t: {}}\n",
        },
    )
    notes: Any = load(tmp_path).plan().notes
    assert len(notes) >= 1
    assert_clean("\n".join(notes))
    results = run(tmp_path)
    assert "***" in results["b.t/extract"].error
    assert_clean(repr(results))
