"""Values of logs: in the type of their column exactly, or a reject."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.sources.logs.source import Logs
from headwater.sources.logs.spec import LogsConnection, LogsTable
from tests.sources import harness
from tests.sources.test_logs_follow import put


def read(
    con: duckdb.DuckDBPyConnection, folder: Path, options: LogsTable, text: str, columns: dict[str, str]
) -> harness.Outcome:
    (folder / "a.log").unlink(missing_ok=True)
    put(folder / "a.log", text)
    asked = harness.request(con, options, columns, {"load": "incremental"})
    return harness.read(Logs(LogsConnection(path=str(folder)), "/"), asked)


def typed(con: duckdb.DuckDBPyConnection, folder: Path, type_text: str, *values: str, time_format: str = "") -> list:
    """Return what values of a type become, as text; rejects as their rule."""
    options = LogsTable.model_validate(
        {"path": "a.log", "pattern": "^(?P<v>.*)$", "types": {"v": type_text}, "time_format": time_format}
    )
    outcome = read(con, folder, options, "".join(f"{value}\n" for value in values), {"v": type_text})
    found = {row["_line"]: str(row["v"]) for row in outcome.rows}
    found |= {reject["_line"]: reject["rule"] for reject in outcome.rejects}
    return [found[line + 1] for line in range(len(values))]


@pytest.mark.parametrize(
    ("type_text", "good", "bad"),
    [
        ("integer", {"588": "588", "588.00": "588", "-7": "-7"}, ["588.5", "0x1F", "1_000", "true", "2147483648"]),
        ("decimal(6,2)", {"1.50": "1.50", "1.500": "1.50"}, ["1.005", "10000.00", "1,5"]),
        ("date", {"2024-02-29": "2024-02-29"}, ["2024-01-01 23:59:59", "2024-01-05junk", "1/2/24", "2023-02-29"]),
        (
            "timestamp",
            {
                "2024-01-01T02:00:00+02:00": "2024-01-01 00:00:00",
                "2024-01-01 00:00:00.5": "2024-01-01 00:00:00.500000",
            },
            ["24-01-01 00:00:00", "2024-01-01 00:00:00.1234567", "2024-01-01 24:61:00"],
        ),
        ("boolean", {"true": "True"}, ["2"]),
    ],
)
def test_a_value_is_exact_or_a_reject(
    con: duckdb.DuckDBPyConnection, tmp_path: Path, type_text: str, good: dict[str, str], bad: list[str]
) -> None:
    assert typed(con, tmp_path, type_text, *good) == list(good.values())
    assert typed(con, tmp_path, type_text, *bad) == ["cast"] * len(bad)


def test_a_time_format_is_taken_by_its_word(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    values = ["03.02.2026 10:20", "3.2.26 10:20", "03.02.2026", "03.02.2026 10:20 PM", "31.02.2026 10:20"]
    found = typed(con, tmp_path, "timestamp", *values, time_format="%d.%m.%Y %H:%M")
    assert found == ["2026-02-03 10:20:00", "cast", "cast", "cast", "cast"]
    found = typed(con, tmp_path, "timestamp", "03.02.2026 10:20 +0200", time_format="%d.%m.%Y %H:%M %z")
    assert found == ["2026-02-03 08:20:00"]


def test_epochs(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    assert typed(con, tmp_path, "epoch_s", "1700000000.25", "1e3", "soon", "0x1F") == [
        "2023-11-14 22:13:20.25+00", "1970-01-01 00:16:40+00", "cast", "cast",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "good"),
    [
        ('1.1.1.1 - - [10/Oct/2025:13:55:00 -0700] "GET /" 200 1', True),
        ('1.1.1.1 - - [10/Oct/25:13:55:00 -0700] "GET /" 200 1', False),
        ('1.1.1.1 - - [10/Oct/2025:13:55:00 -07] "GET /" 200 1', False),
        ('1.1.1.1 - - [10/Oct/2025:13:55:00 +9900] "GET /" 200 1', False),
        ('1.1.1.1 - - [10/Oct/2025:13:55:00 -0760] "GET /" 200 1', False),
        ("<34>1 2026-01-05T22:14:15.123456Z host su 99 - - text", True),
        ("<34>1 26-01-05T22:14:15Z host su 99 - - text", False),
        ("<34>1 2026-01-05T22:14:15.1234567Z host su 99 - - text", False),
        ("<34>1 2026-01-05T22:14:15 host su 99 - - text", False),
        ("<34>1 2026-01-05 host su 99 - - text", False),
        ("<34>1 epoch host su 99 - - text", False),
    ],
)
def test_times_of_the_formats_are_read_as_written(
    con: duckdb.DuckDBPyConnection, tmp_path: Path, line: str, good: bool
) -> None:
    options = LogsTable(path="a.log", format="common" if line.startswith("1") else "rfc5424")
    outcome = read(con, tmp_path, options, line + "\n", {"time": "timestamptz"})
    assert (len(outcome.rows), outcome.rules) == ((1, []) if good else (0, ["cast"]))


def test_a_column_of_a_format_in_another_type(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    options = LogsTable(path="a.log", format="common")
    text = "".join(f'1.1.1.1 - - [10/Oct/2025:13:55:00 -0700] "GET {n}" 200 {n}\n' for n in ("7", "300"))
    outcome = read(con, tmp_path, options, text, {"bytes": "utinyint", "time": "timestamp", "path": "integer"})
    assert [(row["bytes"], str(row["time"]), row["path"]) for row in outcome.rows] == [(7, "2025-10-10 20:55:00", 7)]
    assert outcome.rules == ["cast"]


NUMBERS = st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**7), max_value=10**7)


@settings(max_examples=40, deadline=None)
@given(values=st.lists(NUMBERS, min_size=1, max_size=20))
def test_numbers_are_equal_to_what_was_written_or_rejects(
    tmp_path_factory: pytest.TempPathFactory, values: list[Decimal]
) -> None:
    with duckdb.connect(config={"enable_external_file_cache": False}) as con:
        folder = tmp_path_factory.mktemp("numbers")
        for type_text, places in (("bigint", 0), ("decimal(18,2)", 2), ("decimal(18,4)", 4)):
            found = typed(con, folder, type_text, *map(str, values))
            for value, landed in zip(values, found, strict=True):
                fits = value == value.quantize(Decimal(1).scaleb(-places))
                assert (landed == "cast") != fits
                assert not fits or Decimal(landed) == value
