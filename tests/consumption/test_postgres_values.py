"""Values as PostgreSQL has them afterwards: exact, or an error that names the column."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.consumption.postgres import staging
from headwater.errors import ProjectError, StepError
from tests.consumption.publishing import Publishing

if TYPE_CHECKING:
    from pathlib import Path

BIG = 2**127 - 1

# expression for DuckDB, type in PostgreSQL, the value as PostgreSQL writes it as text
VALUES = [
    ("true", "boolean", "true"),
    ("(-128)::tinyint", "smallint", "-128"),
    ("(-32768)::smallint", "smallint", "-32768"),
    ("(-2147483648)::integer", "integer", "-2147483648"),
    ("(-9223372036854775808)::bigint", "bigint", "-9223372036854775808"),
    ("255::utinyint", "numeric", "255"),
    ("65535::usmallint", "numeric", "65535"),
    ("4294967295::uinteger", "numeric", "4294967295"),
    ("18446744073709551615::ubigint", "numeric", "18446744073709551615"),
    (f"{BIG}::hugeint", "numeric", str(BIG)),
    (f"{2**128 - 1}::uhugeint", "numeric", str(2**128 - 1)),
    (f"'{10**60}'::bignum", "numeric", str(10**60)),
    ("0.1::float", "real", "0.1"),
    ("'nan'::float", "real", "NaN"),
    ("0.1::double + 0.2::double", "double precision", "0.30000000000000004"),
    ("'-0.0'::double", "double precision", "-0"),
    ("'5e-324'::double", "double precision", "5e-324"),
    ("'nan'::double", "double precision", "NaN"),
    ("'-inf'::double", "double precision", "-Infinity"),
    ("'-99999999999999999999999999999.12345'::decimal(34,5)", "numeric(34,5)", "-99999999999999999999999999999.12345"),
    ("1.10::decimal(4,2)", "numeric(4,2)", "1.10"),
    ("date '2024-02-29'", "date", "2024-02-29"),
    ("date '0044-03-15 (BC)'", "date", "0044-03-15 BC"),
    ("date '12024-02-29'", "date", "12024-02-29"),
    ("'-infinity'::date", "date", "-infinity"),
    ("timestamp '2024-02-29 23:59:59.999999'", "timestamp without time zone", "2024-02-29 23:59:59.999999"),
    ("timestamp '0001-01-01 (BC) 00:00:00.000001'", "timestamp without time zone", "0001-01-01 00:00:00.000001 BC"),
    ("'infinity'::timestamp", "timestamp without time zone", "infinity"),
    ("'2024-02-29 23:59:59'::timestamp_s", "timestamp without time zone", "2024-02-29 23:59:59"),
    ("'2024-02-29 23:59:59.123'::timestamp_ms", "timestamp without time zone", "2024-02-29 23:59:59.123"),
    ("'2024-02-29 23:59:59.123456'::timestamp_ns", "timestamp without time zone", "2024-02-29 23:59:59.123456"),
    ("timestamptz '2024-02-29 23:59:59.5+02'", "timestamp with time zone", "2024-02-29 21:59:59.5+00"),
    ("timestamptz '0044-03-15 (BC) 00:00:00+00'", "timestamp with time zone", "0044-03-15 00:00:00+00 BC"),
    ("'infinity'::timestamptz", "timestamp with time zone", "infinity"),
    ("time '24:00:00'", "time without time zone", "24:00:00"),
    ("time '23:59:59.999999'", "time without time zone", "23:59:59.999999"),
    ("'12:00:00.5+05:30'::timetz", "time with time zone", "12:00:00.5+05:30"),
    ("interval '-13 months -3 days -4 hours -5.25 seconds'", "interval", "-1 years -1 mons -3 days -04:00:05.25"),
    ("to_hours(500000)", "interval", "500000:00:00"),
    (r"'\x00\xAB\xFF'::blob", "bytea", r"\x00abff"),
    ("''::blob", "bytea", r"\x"),
    ("'10110'::bit", "bit varying", "10110"),
    ("'9f2c4ea2-2f80-4f21-a52e-a35d1ba4a3a5'::uuid", "text", "9f2c4ea2-2f80-4f21-a52e-a35d1ba4a3a5"),
    ("'b'::enum('a', 'b')", "text", "b"),
    ("'{\"a\":  1.10}'::json", "text", '{"a":  1.10}'),
    ("{'b': 12345678901234567.123456789::decimal(38,9)}", "text", '{"b":12345678901234567.123456789}'),
    ("{'a': 1, 'c': null}", "text", '{"a":1,"c":null}'),
    ("['x\"y', null, '', chr(0)]", "text", '["x\\"y",null,"","\\u0000"]'),
    ("[1, 2]::integer[2]", "text", "[1,2]"),
    ("map {'k': [1.5]}", "text", '{"k":[1.5]}'),
    ("union_value(k := 1)::union(k integer, t varchar)", "text", '{"k":1}'),
    ("''", "text", ""),
    ("'NULL'", "text", "NULL"),
    (r"'\N'", "text", r"\N"),
    (r"'\.'", "text", r"\."),
    ("chr(10) || '\\.' || chr(10)", "text", "\n\\.\n"),
    ("'=1+1'", "text", "=1+1"),
]  # fmt: skip


WIDE = "numeric(34,5)"
AS_TEXT_ONLY = ("bignum", "bit")
"""Types that have no binary form."""


@pytest.fixture(params=["binary", "csv"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How rows are copied; without DuckDB's extension it is as CSV."""
    if request.param == "csv":
        monkeypatch.setattr(staging, "find_scanner", lambda: (None, "not there"))
    return str(request.param)


def forms_of(publishing: Publishing, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Publish, and return of each table whether it went in binary form."""
    found, stage = [], staging.stage_rows

    def note(*arguments: Any) -> tuple[int, bool]:
        rows, binary = stage(*arguments)
        found.append(binary)
        return rows, binary

    with monkeypatch.context() as patch:
        patch.setattr(staging, "stage_rows", note)
        publishing.publish(folder)
    return found


@pytest.mark.parametrize("beside", ["", "'1'::bit AS beside, "])
def test_every_type_is_exact_and_null_is_null(
    publishing: Publishing, form: str, beside: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    too_wide = [str(number) for number in (BIG, 2**128 - 1, 2**64 - 1)] + [
        value for _, kind, value in VALUES if kind == WIDE
    ]
    has_form = [one for one in VALUES if not one[0].endswith(AS_TEXT_ONLY) and one[2] not in too_wide]
    values = VALUES if beside else has_form
    names = [f"c{number}" for number in range(len(values))]
    full = ", ".join(f"{value[0]} AS {name}" for name, value in zip(names, values, strict=True))
    publishing.give(f"SELECT {beside}1 AS n, {full} UNION ALL BY NAME SELECT 2 AS n")
    assert forms_of(publishing, tmp_path / "made", monkeypatch) == [form == "binary" and not beside]
    types = publishing.types()
    (first, second) = publishing.ask(f"SELECT {', '.join(f'{name}::text' for name in names)} FROM gold.t ORDER BY n")
    found = [(value[0], types[name], got) for name, value, got in zip(names, values, first, strict=True)]
    assert found == values
    assert set(second) == {None}


@pytest.mark.parametrize("type_text", ["ubigint", "hugeint", "uhugeint", "decimal(38,0)"])
def test_numbers_of_more_than_18_digits_go_as_text(
    publishing: Publishing, type_text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = [(10**18 - 1, True), (10**18, False), (2**64 - 1, False)]
    for number, binary in numbers if type_text == "ubigint" else [*numbers, (10**38 - 1, False)]:
        publishing.give(f"SELECT {number}::{type_text} AS big")
        assert forms_of(publishing, tmp_path / str(number), monkeypatch) == [binary]
        assert publishing.ask("SELECT big::text FROM gold.t") == [(str(number),)]


EDGES = [
    ("date", ["4714-11-24 (BC)", "5874897-12-31", "1999-12-31", "2000-01-01", "infinity", "-infinity"]),
    ("timestamp", ["4714-11-24 (BC) 00:00:00", "294247-01-10 04:00:54.775806", "1999-12-31 23:59:59.9", "infinity"]),
    ("timestamptz", ["4714-11-24 (BC) 00:00:00+00", "1969-12-31 23:59:59.999999+00", "-infinity"]),
    ("time", ["00:00:00", "24:00:00", "12:34:56.000001"]),
    ("interval", ["1 month -1 day 0.000001 seconds", "-178000000 months"]),
    ("decimal(38,0)", ["99999999999999999999999999999999999999", "-9999999999999999999999999999999999999", "0"]),
    ("decimal(38,38)", ["0.00000000000000000000000000000000000001", "-0.99999999999999999999999999999999999999"]),
    ("decimal(9,4)", ["0.0001", "-0.0100", "99999.9999", "10000"]),
    ("double", ["-0.0", "5e-324", "1.7976931348623157e308", "nan", "inf", "0.1"]),
    ("float", ["-0.0", "1e-45", "3.4028235e38", "nan", "-inf", "0.1"]),
]  # fmt: skip


def test_both_forms_are_the_same_at_the_edges(publishing: Publishing, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = {}
    for number, (type_text, values) in enumerate(EDGES):
        rows = ", ".join(f"({at}, '{value}'::{type_text})" for at, value in enumerate([*values]))
        publishing.give(f"SELECT * FROM (VALUES {rows}, (99, NULL)) AS t(n, v)", f"marts.e{number}")
        tables[f"e{number}"] = {"from": f"marts.e{number}"}
    told = []
    for file in (staging.find_scanner(), (None, "")):
        monkeypatch.setattr(staging, "find_scanner", lambda file=file: file)
        publishing.declared(tables=tables).publish()
        told.append([publishing.ask(f"SELECT n, v::text FROM gold.{name} ORDER BY n") for name in tables])
    assert told[0] == told[1]
    assert [len(rows) for rows in told[0]] == [len(values) + 1 for _, values in EDGES]


def whole(width: int) -> int:
    return 10**width - 1


def part(width: int) -> int:
    """A negative number of 18 digits at most."""
    return -int("987654321098765432"[:width])


@pytest.mark.parametrize("number", [whole, part])
@pytest.mark.parametrize("widths", [range(1, 19), range(19, 29), range(29, 34), range(34, 39)])
def test_decimals_of_every_width_are_exact(
    publishing: Publishing, widths: range, number: Callable[[int], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = [(width, scale) for width in widths for scale in range(min(width, 16) + 1)]
    texts = [f"{Decimal(number(width)).scaleb(-scale, Context(prec=40)):f}" for width, scale in shapes]
    values = [f"'{text}'::decimal({w},{s}) AS d{w}_{s}" for text, (w, s) in zip(texts, shapes, strict=True)]
    publishing.give(f"SELECT {', '.join(values)}")
    assert forms_of(publishing, tmp_path / "made", monkeypatch) == [widths[0] == 1 or number is part]
    names = ", ".join(f"d{width}_{scale}" for width, scale in shapes)
    wanted = publishing.duck.execute(f"SELECT {names} FROM marts.t").fetchall()
    assert publishing.ask(f"SELECT {names} FROM gold.t") == wanted


def test_a_decimal_without_a_binary_form_goes_as_text(
    publishing: Publishing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for width, scale in ((17, 17), (18, 17), (18, 18), (30, 20), (38, 37), (38, 38)):
        publishing.give(f"SELECT '-0.{'9' * scale}'::decimal({width},{scale}) AS d")
        assert forms_of(publishing, tmp_path / f"{width}_{scale}", monkeypatch) == [False]
        assert publishing.ask("SELECT d::text FROM gold.t") == [(f"-0.{'9' * scale}",)]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(-(10**12) + 1, 10**12 - 1),
            st.none() | st.integers(-(10**37), 10**37) | st.integers(-1000, 1000),
            st.none() | st.floats(),
            st.none() | st.datetimes(),
            st.none() | st.binary(max_size=9),
        ),
        min_size=1,
    )
)
def test_values_arrive_as_they_are(publishing: Publishing, rows: list[tuple[Any, ...]]) -> None:
    publishing.duck.execute(
        "CREATE OR REPLACE TABLE marts.t (n integer, small decimal(12,5), huge decimal(38,1), x double, "
        "seen timestamp, raw blob)"
    )
    for number, (small, huge, x, at, raw) in enumerate(rows):
        given = [None if value is None else Decimal(value).scaleb(-scale) for value, scale in ((small, 5), (huge, 1))]
        publishing.duck.execute("INSERT INTO marts.t VALUES (?, ?, ?, ?, ?, ?)", [number, *given, x, at, raw])
    publishing.publish()
    asked = "SELECT n, small, huge, x::text, seen, raw FROM %s ORDER BY n"
    wanted = publishing.duck.execute("SELECT n, small, huge, x, seen, raw FROM marts.t ORDER BY n").fetchall()
    found = publishing.ask(asked % "gold.t")
    assert [(*row[:3], None if row[3] is None else float(row[3]).hex(), *row[4:]) for row in found] == [
        (*row[:3], None if row[3] is None else row[3].hex(), *row[4:]) for row in wanted
    ]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1))
def test_texts_arrive_as_they_are(publishing: Publishing, texts: list[str | None]) -> None:
    publishing.duck.execute("CREATE OR REPLACE TABLE marts.t (n integer, a varchar, b varchar)")
    publishing.duck.executemany("INSERT INTO marts.t VALUES (?, ?, ?)", [[n, t, t] for n, t in enumerate(texts)])
    publishing.publish()
    assert publishing.ask("SELECT a, b FROM gold.t ORDER BY n") == [(text, text) for text in texts]


@pytest.mark.parametrize("alone", ["''", "NULL", r"'\.'", "','", "chr(13)", "chr(13) || chr(10)"])
def test_a_table_of_one_column_keeps_its_rows(publishing: Publishing, alone: str) -> None:
    publishing.give(f"SELECT ({alone})::varchar AS word FROM range(3)").publish()
    (value,) = publishing.duck.execute(f"SELECT ({alone})::varchar").fetchone() or ()
    assert publishing.ask("SELECT word FROM gold.t") == [(value,)] * 3


@pytest.mark.parametrize(
    ("value", "type_text"),
    [
        ("'before' || chr(0) || 'after'", ""),
        ("timestamp_ns '2024-01-01 00:00:00.123456789'", ""),
        ("date '5877642-06-25 (BC)'", "date"),
        ("date '5881580-07-10'", "date"),
        ("timestamp '290309-12-22 (BC) 00:00:00'", "timestamp without time zone"),
        ("timestamptz '290309-12-22 (BC) 00:00:00+00'", "timestamp with time zone"),
        ("'290309-12-22 (BC) 00:00:00'::timestamp_s", "timestamp without time zone"),
        ("'5000-01-01 (BC) 00:00:00'::timestamp_ms", "timestamp without time zone"),
    ],
)
def test_what_has_no_place_there_is_an_error_that_names_the_column(
    publishing: Publishing, form: str, value: str, type_text: str
) -> None:
    publishing.give("SELECT 1 AS n, NULL AS odd").publish()
    publishing.give(f"SELECT 2 AS n, {value} AS odd")
    with pytest.raises(StepError, match=r"t\.odd ") as caught:
        publishing.publish()
    assert type_text in str(caught.value)
    assert "before" not in str(caught.value)
    assert "290309" not in str(caught.value)
    assert publishing.ask("SELECT n FROM gold.t") == [(1,)]


def test_names_that_postgresql_cannot_keep(publishing: Publishing, tmp_path: Path) -> None:
    for name, what in (("ctid", "of PostgreSQL's own"), ("ä" * 32, "more than 63 bytes")):
        publishing.give(f'SELECT 1 AS "{name}"')
        with pytest.raises(StepError, match=what):
            publishing.publish()
    publishing.give("""SELECT 1 AS "Odd ""name"", x: %s", 'a' AS "select" """).publish()
    assert publishing.ask('SELECT "Odd ""name"", x: %s", "select" FROM gold.t') == [(1, "a")]
    for wrong in ({"tables": {"ä" * 32: {"from": "marts.t"}}}, {"schema": "pg_gold"}, {"schema": "_headwater"}):
        with pytest.raises(ValueError, match=r"bytes|not for tables"):
            publishing.declared(**wrong).consumer()


@pytest.mark.parametrize("dsn", ["host=127.0.0.1 user=postgres", "postgresql://u:p@127.0.0.1:1"])
def test_a_connection_without_a_database(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGDATABASE", raising=False)
    with pytest.raises(ProjectError, match="names no database"):
        Publishing(dsn, {"t": {"from": "marts.t"}}).consumer()
