"""Values as PostgreSQL has them afterwards: exact, or an error that names the column."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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


def test_every_type_is_exact_and_null_is_null(publishing: Publishing) -> None:
    names = [f"c{number}" for number in range(len(VALUES))]
    full = ", ".join(f"{value[0]} AS {name}" for name, value in zip(names, VALUES, strict=True))
    publishing.give(f"SELECT 1 AS n, {full} UNION ALL BY NAME SELECT 2 AS n").publish()
    types = publishing.types()
    (first, second) = publishing.ask(f"SELECT {', '.join(f'{name}::text' for name in names)} FROM gold.t ORDER BY n")
    found = [(value[0], types[name], got) for name, value, got in zip(names, VALUES, first, strict=True)]
    assert found == VALUES
    assert set(second) == {None}


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
        ("timestamp '290309-12-22 (BC) 00:00:00'", "timestamp without time zone"),
    ],
)
def test_what_has_no_place_there_is_an_error_that_names_the_column(
    publishing: Publishing, value: str, type_text: str
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
