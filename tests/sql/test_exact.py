from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.core.types import normalize_type
from headwater.sql.exact import exact_cast_sql, formatted_cast_sql, text_cast_sql
from headwater.sql.nested import list_element, map_types, struct_fields, text_twin

UTC_TIME = "TIMESTAMP WITH TIME ZONE"


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def shown(con: duckdb.DuckDBPyConnection, sql: str, value: Any, source: str = "VARCHAR") -> str | None:
    query = f"SELECT CAST({sql} AS VARCHAR) FROM (SELECT CAST($1 AS {source}) AS v)"
    row = con.execute(query, [value]).fetchone()
    assert row is not None
    found: str | None = row[0]
    return found


HELD = [
    ("INTEGER", "588.00", "588"),
    ("INTEGER", "1e3", "1000"),
    ("INTEGER", " 7 ", "7"),
    ("INTEGER", "+5", "5"),
    ("INTEGER", "-0", "0"),
    ("INTEGER", "100e-2", "1"),
    ("DECIMAL(18,3)", "12350e-4", "1.235"),
    ("BOOLEAN", " true ", "true"),
    ("TIMESTAMP", " 2024-01-05 ", "2024-01-05 00:00:00"),
    ("BIGINT", "-9223372036854775808", "-9223372036854775808"),
    ("HUGEINT", "170141183460469231731687303715884105727", "170141183460469231731687303715884105727"),
    ("BIGINT", "9.223372036854775807e18", "9223372036854775807"),
    ("UTINYINT", "255", "255"),
    ("DECIMAL(6,1)", "1.50", "1.5"),
    ("DECIMAL(6,2)", ".5", "0.50"),
    ("DECIMAL(6,2)", "1.5e-1", "0.15"),
    ("DECIMAL(38,4)", "12345678901234567890.1234", "12345678901234567890.1234"),
    ("DECIMAL(6,2)", "5.", "5.00"),
    ("DOUBLE", "0.1", "0.1"),
    ("DOUBLE", "-Infinity", "-inf"),
    ("FLOAT", "nan", "nan"),
    ("FLOAT", "16777217", "16777216.0"),
    ("DATE", "2024-01-05T00:00:00Z", "2024-01-05"),
    ("DATE", "2024/1/5", "2024-01-05"),
    ("DATE", "2024-01-05 00:00", "2024-01-05"),
    ("DATE", "infinity", "infinity"),
    ("TIMESTAMP", "2024-10-27T02:30:00+02:00", "2024-10-27 00:30:00"),
    ("TIMESTAMP", "2024-10-27 02:30:00-0530", "2024-10-27 08:00:00"),
    ("TIMESTAMP", "2024-01-01 10:00:00.1230000000", "2024-01-01 10:00:00.123"),
    ("TIMESTAMP", "2024-01-01", "2024-01-01 00:00:00"),
    ("TIMESTAMP", "2024-01-01T10:00:00Z", "2024-01-01 10:00:00"),
    (UTC_TIME, "2024-01-01T10:00:00+05", "2024-01-01 05:00:00+00"),
    (UTC_TIME, "2024-01-01 10:00", "2024-01-01 10:00:00+00"),
    ("TIMESTAMP_MS", "2024-01-01 10:00:00.120", "2024-01-01 10:00:00.12"),
    ("TIME", "10:00:00.1200000", "10:00:00.12"),
    ("TIME WITH TIME ZONE", "10:00:00Z", "10:00:00+00"),
    ("BOOLEAN", "TRUE", "true"),
    ("UUID", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("INTEGER[]", "[1, 2.0]", "[1, 2]"),
    ("STRUCT(a INTEGER, b DATE[])", "{'a': 1, 'b': [2024-01-05]}", "{'a': 1, 'b': [2024-01-05]}"),
    ("MAP(VARCHAR, INTEGER)", "{x=1}", "{x=1}"),
    ("INTERVAL", "1 day", "1 day"),
]

REFUSED = [
    ("INTEGER", "588.50"),
    ("INTEGER", "15e-1"),
    ("DECIMAL(18,3)", "12345e-4"),
    ("DOUBLE", "nan(5)"),
    ("INTEGER[3]", "[1, 2]"),
    ("MAP(INTEGER, VARCHAR)", "{1=a, 01=b}"),
    ("INTEGER", "0x1F"),
    ("INTEGER", "0b101"),
    ("INTEGER", "1_000"),
    ("INTEGER", "true"),
    ("INTEGER", "1e-1"),
    ("DECIMAL(6,2)", "1.005e0"),
    ("DECIMAL(6,2)", "1e-3"),
    ("INTEGER", "2147483648"),
    ("INTEGER", ""),
    ("INTEGER", "."),
    ("INTEGER", "e5"),
    ("INTEGER", "1e999"),
    ("DECIMAL(6,2)", "1.005"),
    ("DECIMAL(6,2)", "1_0"),
    ("DECIMAL(6,2)", "0.00005"),
    ("DECIMAL(6,2)", "nan"),
    ("DECIMAL(38,4)", "1.00001"),
    ("DOUBLE", "1_000"),
    ("DOUBLE", "1e400"),
    ("DOUBLE", "0x1F"),
    ("FLOAT", "1e40"),
    ("DATE", "1/2/24"),
    ("DATE", "24/1/2"),
    ("DATE", "2024-01-05junk"),
    ("DATE", "2024-01-05 23:59:59"),
    ("DATE", "20-1-01-01"),
    ("DATE", "2024-01-05T00:00:00+02:00"),
    ("DATE", "12345-01-01"),
    ("DATE", "epoch"),
    ("DATE", "20240105"),
    ("TIMESTAMP", "1/2/24"),
    ("TIMESTAMP", "24/1/2 10:00:00"),
    ("TIMESTAMP", "2024-01-01 10:00:00.1234567"),
    ("TIMESTAMP", "2024-01-01T10:00:00+99:00"),
    ("TIMESTAMP", "2024-01-01 10:00:00 Europe/Berlin"),
    ("TIMESTAMP", "epoch"),
    (UTC_TIME, "1/2/24"),
    (UTC_TIME, "2024-01-01 10:00:00.1234567+02"),
    (UTC_TIME, "2024-10-27 02:30:00 Europe/Berlin"),
    ("TIMESTAMP_S", "2024-01-01 10:00:00.5"),
    ("TIMESTAMP_MS", "2024-01-01 10:00:00.1235"),
    ("TIMESTAMP_NS", "2024-01-01 10:00:00.1234567899"),
    ("TIME", "10:00:00+02"),
    ("TIME", "2024-01-01 10:00:00"),
    ("TIME", "10:00:00 PM"),
    ("TIME", "10:00:00.1234567"),
    ("INTERVAL", "0.0000005 seconds"),
    ("INTEGER[]", "[1, 2.5]"),
    ("STRUCT(a INTEGER)", "{'a': 0x1F}"),
    ("MAP(VARCHAR, INTEGER)", "{x=1.5}"),
    ("MAP(INTEGER, VARCHAR)", "{1.5=x}"),
    ("DECIMAL(4,1)[][]", "[[1.25]]"),
]


@pytest.mark.parametrize(("target", "text", "value"), HELD)
def test_a_text_that_the_type_holds(con: duckdb.DuckDBPyConnection, target: str, text: str, value: str) -> None:
    assert shown(con, text_cast_sql("v", target), text) == value


@pytest.mark.parametrize(("target", "text"), REFUSED)
def test_a_text_that_the_type_does_not_hold(con: duckdb.DuckDBPyConnection, target: str, text: str) -> None:
    assert shown(con, text_cast_sql("v", target), text) is None


@pytest.mark.parametrize(
    ("target", "text"), [(t, None) for t in ("INTEGER", "DATE", "TIMESTAMP", "INTEGER[]", "DOUBLE")]
)
def test_null_stays_null(con: duckdb.DuckDBPyConnection, target: str, text: None) -> None:
    assert shown(con, text_cast_sql("v", target), text) is None


CONTEXT = Context(prec=100)
NUMBERS = st.from_regex(r"\A[+-]?([0-9]{1,25}(\.[0-9]{0,12})?|\.[0-9]{1,12})([eE][+-]?[0-9]{1,2})?\Z")


@settings(max_examples=25)
@given(texts=st.lists(NUMBERS, min_size=20, max_size=20), scale=st.integers(0, 6))
def test_numbers_land_equal_or_not_at_all(con: duckdb.DuckDBPyConnection, texts: list[str], scale: int) -> None:
    query = (
        f"SELECT v, CAST({text_cast_sql('v', f'DECIMAL(18,{scale})')} AS VARCHAR), {text_cast_sql('v', 'BIGINT')}, "
        f"{text_cast_sql('v', 'DOUBLE')} FROM (SELECT unnest($1::VARCHAR[]) AS v)"
    )
    for text, number, whole, double in con.execute(query, [texts]).fetchall():
        delivered, plain = Decimal(text), "e" not in text.lower()
        digits = -int(delivered.normalize(CONTEXT).as_tuple().exponent)
        if number is not None:
            assert Decimal(number) == delivered
        elif plain:
            assert digits > scale or abs(delivered) >= Decimal(10) ** (18 - scale)
        if whole is not None:
            assert whole == delivered
        elif plain:
            assert digits > 0 or not -(2**63) <= delivered < 2**63
        assert double == float(text)


@given(texts=st.lists(st.text("0123456789+-._eExX,'fd \t", max_size=8), min_size=20, max_size=20))
def test_whatever_is_taken_for_a_number_is_one(con: duckdb.DuckDBPyConnection, texts: list[str]) -> None:
    for target in ("INTEGER", "DECIMAL(9,2)", "DOUBLE"):
        query = f"SELECT v, CAST({text_cast_sql('v', target)} AS VARCHAR) FROM (SELECT unnest($1::VARCHAR[]) AS v)"
        for text, found in con.execute(query, [texts]).fetchall():
            if found is not None:
                assert "_" not in text
                assert float(found) == float(text) if target == "DOUBLE" else Decimal(found) == Decimal(text.strip())


OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timedelta(minutes=minutes))


@given(
    moment=st.datetimes(datetime(1000, 1, 1), datetime(9000, 1, 1)),
    offset=OFFSETS,
    separator=st.sampled_from(" T"),
    zeros=st.integers(0, 3),
)
def test_offsets_are_converted(
    con: duckdb.DuckDBPyConnection, moment: datetime, offset: timedelta, separator: str, zeros: int
) -> None:
    minutes = int(offset.total_seconds()) // 60
    zone = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
    text = f"{moment:%Y-%m-%d}{separator}{moment:%H:%M:%S.%f}{'0' * zeros}{zone}"
    both = f"{text_cast_sql('v', 'TIMESTAMP')}, epoch_us({text_cast_sql('v', UTC_TIME)})"
    query = f"SELECT {both} FROM (SELECT $1::VARCHAR v)"
    plain, micros = con.execute(query, [text]).fetchone() or ()
    assert plain == moment - offset
    assert datetime(1970, 1, 1) + timedelta(microseconds=micros) == moment - offset


ODD = "0189 +-./:_xXTZeE(b\t,"


@pytest.mark.parametrize("target", ["DATE", "TIMESTAMP", UTC_TIME, "TIMESTAMP_NS"])
def test_no_odd_spelling_of_a_time_is_another_time(con: duckdb.DuckDBPyConnection, target: str) -> None:
    """The quick test of the usual shape lets nothing through that a person would read as another time."""
    clock = "" if target == "DATE" else " 10:11:12"
    texts = [f"2{''.join(x)}-01-01{clock}" for x in itertools.product(ODD, repeat=3)]
    for shape in (
        f"2024-{{}}-01{clock}",
        f"2024-01-{{}}{clock}",
        "2024-01-01 {}:11:12",
        "2024-01-01 10:{}:12",
        "2024-01-01 10:11:{}",
    ):
        texts += [shape.format("".join(x)) for x in itertools.product(ODD, repeat=2)]
    rows = con.execute(
        f"SELECT v, CAST(found AS VARCHAR) FROM (SELECT v, {text_cast_sql('v', target)} AS found "
        "FROM (SELECT unnest($1::VARCHAR[]) AS v)) WHERE found IS NOT NULL",
        [texts],
    ).fetchall()
    assert rows
    for text, found in rows:
        digits = [int(part) for part in "".join(c if c.isdigit() else " " for c in text).split()]
        wanted = datetime(*digits[:6])  # type: ignore[arg-type]
        assert date.fromisoformat(found[:10]) == wanted.date(), text
        assert target == "DATE" or found[11:19] == f"{wanted:%H:%M:%S}", text


TYPED = [
    ("DOUBLE", 3.0, "BIGINT", "3"),
    ("DOUBLE", 2.5, "BIGINT", None),
    ("BIGINT", 2**53 + 1, "DOUBLE", None),
    ("BIGINT", 2**53, "DOUBLE", "9007199254740992.0"),
    ("BIGINT", 2**63 - 1, "DOUBLE", None),
    ("DOUBLE", 1.005, "DECIMAL(6,2)", None),
    ("DOUBLE", 1.1, "DECIMAL(6,2)", "1.10"),
    ("DECIMAL(6,3)", "1.005", "DECIMAL(6,2)", None),
    ("DOUBLE", 1e300, "FLOAT", None),
    ("DECIMAL(6,3)", "1.100", "DOUBLE", "1.1"),
    ("BOOLEAN", True, "INTEGER", None),
    ("INTEGER", 1, "BOOLEAN", "true"),
    ("INTEGER", 2, "BOOLEAN", None),
    ("TIMESTAMP", "2024-01-01 00:00:00", "DATE", "2024-01-01"),
    ("TIMESTAMP", "2024-01-01 23:59:59", "DATE", None),
    (UTC_TIME, "2024-01-01 10:00:00+05", "TIMESTAMP", "2024-01-01 05:00:00"),
    ("TIMESTAMP_NS", "2024-01-01 10:00:00.123456789", "TIMESTAMP", None),
    ("VARCHAR", "0x1F", "INTEGER", None),
    ("JSON", '"2024-01-05"', "DATE", None),
    ("BIGINT", 300, "TINYINT", None),
    ("INTEGER", 7, "VARCHAR", "7"),
    ("BLOB", "é".encode(), "VARCHAR", "é"),
    ("BLOB", b"a\\b", "VARCHAR", "a\\b"),
    ("BLOB", b"\xff", "VARCHAR", None),
    ("VARCHAR", "1.5", "EPOCH_S", "1970-01-01 00:00:01.5+00"),
    ("DOUBLE", 1.0000001, "EPOCH_S", None),
    ("VARCHAR", "1500", "EPOCH_MS", "1970-01-01 00:00:01.5+00"),
    ("DOUBLE", float("nan"), "DOUBLE", "nan"),
    ("DOUBLE", float("nan"), "INTEGER", None),
    ("INTEGER[]", [1, 2], "DOUBLE[]", "[1.0, 2.0]"),
    ("DOUBLE[]", [1.5], "INTEGER[]", None),
]


@pytest.mark.parametrize(("source", "value", "target", "wanted"), TYPED)
def test_typed_values(con: duckdb.DuckDBPyConnection, source: str, value: Any, target: str, wanted: str | None) -> None:
    assert shown(con, exact_cast_sql("v", source, target), value, source) == wanted


def test_true_becomes_one_when_somebody_says_so(con: duckdb.DuckDBPyConnection) -> None:
    assert shown(con, exact_cast_sql("v", "BOOLEAN", "INTEGER", from_boolean=True), True, "BOOLEAN") == "1"


@pytest.mark.parametrize(
    ("written", "text", "target", "wanted"),
    [
        ("%d.%m.%Y", "05.01.2024", "DATE", "2024-01-05"),
        ("%d.%m.%Y", "5.1.2024", "DATE", "2024-01-05"),
        ("%d.%m.%Y", "05.01.24", "DATE", None),
        ("%d.%m.%y", "05.01.24", "DATE", "2024-01-05"),
        ("%d.%m.%Y", "05.01.2024 10:00", "DATE", None),
        ("%Y-%m-%d %H:%M", "2024-01-05 10:00", "DATE", None),
        ("%Y-%m-%d %H:%M", "2024-01-05 00:00", "DATE", "2024-01-05"),
        ("%Y-%m-%dT%H:%M:%S%z", "2024-10-27T02:30:00+0200", "TIMESTAMP", "2024-10-27 00:30:00"),
        ("%d/%b/%Y:%H:%M:%S %z", "10/Oct/2024:13:55:36 -0700", UTC_TIME, "2024-10-10 20:55:36+00"),
        ("%Y-%m-%d %H:%M:%S.%n", "2024-01-05 10:00:00.123456789", "TIMESTAMP", None),
        ("%Y-%m-%d %H:%M:%S.%n", "2024-01-05 10:00:00.123456000", "TIMESTAMP", "2024-01-05 10:00:00.123456"),
        ("%m/%d/%Y", "1/2/2024junk", "TIMESTAMP", None),
        ("%m/%d/%Y", "1/2/2024", "TIMESTAMP", "2024-01-02 00:00:00"),
    ],
)
def test_formats(con: duckdb.DuckDBPyConnection, written: str, text: str, target: str, wanted: str | None) -> None:
    assert shown(con, formatted_cast_sql("v", target, written), text) == wanted


def test_the_parts_of_nested_types() -> None:
    odd = 'STRUCT("a, b" DECIMAL(5,2)[], c MAP(VARCHAR, STRUCT(d INTEGER)))'
    assert struct_fields(odd) == [("a, b", "DECIMAL(5,2)[]"), ("c", "MAP(VARCHAR, STRUCT(d INTEGER))")]
    assert list_element("INTEGER[3]") == "INTEGER"
    assert map_types("MAP(VARCHAR, DECIMAL(5,2))") == ("VARCHAR", "DECIMAL(5,2)")
    assert text_twin(odd) == 'STRUCT("a, b" VARCHAR[], "c" MAP(VARCHAR, STRUCT("d" VARCHAR)))'
    assert normalize_type("int[]") == "INTEGER[]"


def test_utc_is_what_sessions_run_in(con: duckdb.DuckDBPyConnection) -> None:
    assert shown(con, "CAST(v AS TIMESTAMP)", datetime(2024, 1, 1, tzinfo=UTC), UTC_TIME) == "2024-01-01 00:00:00"
