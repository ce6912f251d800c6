"""Random cells of SQLite in columns of every type: what lands equals the cell, or its row is a reject."""

from __future__ import annotations

import math
import re
import sqlite3
import struct
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.sources.sqlite.source import Sqlite, SqliteConnection, SqliteTable
from headwater.sources.sqlite.types import convert_column

from .harness import request

if TYPE_CHECKING:
    from pathlib import Path

BITS = {"tinyint": 7, "smallint": 15, "integer": 31, "bigint": 63, "hugeint": 127}
NUMBER = re.compile(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*", re.ASCII)
MOMENT = re.compile(r"\s*(\d{4}-\d\d-\d\d)([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?\s?(Z|[+-]\d\d:?\d\d)?\s*", re.ASCII)

SPELLED = st.sampled_from([
    "588.50", "588.00", "0x1F", "1_000", "1,000", " 7 ", "+7", "-0", "07", ".5", "5.", "1e3", "1E-3", "", "-", "true",
    "0b11", "१२", "1.0000000000", "NaN", "inf", "-Infinity", "1e400", "1.005", "12.344", "2147483648", "9" * 30,
    "1e-400",
])  # fmt: skip
DATES = st.sampled_from([
    "2024-01-05", "2024-01-05junk", "1/2/24", "2024-01-01 23:59:59", "2024-01-01T00:00:00+00:00", "2024-01-01x10:00",
    "2024-01-01 00:00:00,5", "2024-01-01 00:00:00.1234567", "2024-01-01 00:00:00.1234560", "2024-W01-1", "20240101",
    "2024-02-30", "2024-01-01T02:00:00+02:00", "2024-01-01 10:00 Z", "２０２４-01-01", "0000-01-01",
    "2024-01-01 24:00:00",
])  # fmt: skip
ZONED = st.builds(
    lambda moment, minutes: (
        f"{moment.isoformat(' ')}{'+-'[minutes < 0]}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
    ),
    st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29)),
    st.integers(-14 * 60, 14 * 60),
)
CELL = st.one_of(
    st.none(),
    st.sampled_from([0, 1, 2**53 + 1, -(2**63), 2**63 - 1, 2**31, 127, 128]),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.sampled_from([588.0, 588.5, 0.1, 1e300, -0.0, 2.0**63]),
    st.decimals(-(10**9), 10**9, places=3).map(str),
    SPELLED,
    DATES,
    ZONED,
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6),
    st.binary(max_size=4),
)
TYPES = [
    *BITS,
    "decimal(6,2)",
    "decimal(38,10)",
    "double",
    "float",
    "date",
    "timestamp",
    "timestamptz",
    "varchar",
    "time",
]


def number_of(cell: Any) -> Decimal | None:
    """The number that a cell is, as it is written."""
    if isinstance(cell, str):
        return Decimal(cell) if NUMBER.fullmatch(cell) else None
    if isinstance(cell, float):
        return Decimal(repr(cell)) if math.isfinite(cell) else None
    return Decimal(cell) if isinstance(cell, int) else None


def moment_of(cell: Any) -> datetime | None:
    if isinstance(cell, int):
        return datetime(1970, 1, 1) + timedelta(seconds=cell)
    if not isinstance(cell, str) or not MOMENT.fullmatch(cell):
        return None
    found = datetime.fromisoformat(re.sub(r"(\.\d{6})0+", r"\1", cell.strip()).replace(" Z", "Z"))
    return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found


def check(kind: str, cell: Any, landed: str) -> None:
    """Compare the text of a landed value with the cell."""
    if kind == "varchar":
        assert landed == (repr(cell) if isinstance(cell, float) else str(cell))
    elif kind == "time":
        assert isinstance(cell, str)
        assert re.match(r"\s*\d\d?:", cell)
    elif kind in ("date", "timestamp", "timestamptz"):
        read = datetime.fromisoformat(landed.removesuffix("+00"))
        if isinstance(cell, float):
            julian = (read - datetime(1970, 1, 1)) / timedelta(days=1) + 2440587.5
            assert abs(julian - cell) < 1e-8
        else:
            assert read == moment_of(cell)
    elif kind in ("double", "float"):
        width = "d" if kind == "double" else "f"
        cell = float(cell) if not isinstance(cell, str) or "_" not in cell else None
        assert cell is not None
        if math.isnan(cell) or math.isinf(cell):
            assert str(float(landed)) == str(cell)
        else:
            assert struct.pack(width, float(landed)) == struct.pack(width, cell)
    else:
        with localcontext(prec=400):
            binary = Decimal(cell) if isinstance(cell, float) else None  # a double is its bits, or as it is written
            assert Decimal(landed) in (number_of(cell), binary), (kind, cell, landed)


def must_fit(kind: str, cell: Any) -> bool:
    """Whether a cell may not be a reject: it is a number that the type holds exactly."""
    number = number_of(cell)
    if number is None or (isinstance(cell, str) and "e" in cell.lower()):
        return False
    if kind in BITS:
        return number == int(number) and -(2 ** BITS[kind]) <= number < 2 ** BITS[kind] and abs(number) < 10**15
    return kind == "decimal(6,2)" and abs(number) < 10**4 and number == round(number, 2)


@given(st.lists(CELL, min_size=1, max_size=25), st.sampled_from(TYPES))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_a_cell_lands_as_it_is_or_its_row_is_a_reject(con: Any, tmp_path: Path, cells: list[Any], kind: str) -> None:
    file = tmp_path / "in.db"
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("DROP TABLE IF EXISTS t")
        database.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)")
        database.executemany("INSERT INTO t VALUES (?, ?)", enumerate(cells))
    source = Sqlite(SqliteConnection(path="in.db"), str(tmp_path))
    found = {}
    for chunk in source.read("t", request(con, SqliteTable(), {"id": "bigint", "v": kind})).chunks:
        query = f"SELECT id, CAST(v AS VARCHAR), _rule FROM ({chunk.query})"
        found |= {number: (text, rule) for number, text, rule in con.execute(query).fetchall()}
    assert len(found) == len(cells)
    for number, cell in enumerate(cells):
        text, rule = found[number]
        if rule is not None:
            assert (rule, text) == ("type", None)
            assert not must_fit(kind, cell), (kind, cell)
        elif cell is None:
            assert text is None
        else:
            assert text is not None, (kind, cell)
            check(kind, cell, text)


def test_a_negative_zero_beside_a_whole_number_keeps_its_sign() -> None:
    array, unfit = convert_column([0, -0.0], "DOUBLE")
    assert [math.copysign(1, cell) for cell in array.to_pylist()] == [1, -1]
    assert not unfit
