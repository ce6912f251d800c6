"""Values as text: exact, and in words that other programs read."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.sql.spelling import as_json, as_text

WIDE = "12345678901234567890.123456789012345678::decimal(38,18)"


@pytest.fixture(scope="module")
def connection() -> duckdb.DuckDBPyConnection:
    made = duckdb.connect()
    made.execute("SET TimeZone = 'UTC'")
    return made


def told(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[str | None, Any]:
    """The text of a value, and its JSON, read as strictly as the standard is."""
    query = f"SELECT {sql} AS x"
    (type_,) = connection.sql(query).types
    row = connection.execute(f"SELECT {as_text('x', type_)}, {as_json('x', type_)} FROM ({query})").fetchone()
    assert row is not None

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    return row[0], json.loads(row[1], parse_constant=refuse) if row[1] is not None else None


@pytest.mark.parametrize(
    ("sql", "text", "value"),
    [
        ("timetz '23:59:59.5-07'", "23:59:59.5-07:00", "23:59:59.5-07:00"),
        ("timestamptz '2021-03-04 05:06:07.000008+02'", "2021-03-04 03:06:07.000008+00:00",
         "2021-03-04T03:06:07.000008+00:00"),
        ("timestamp_ns '2021-03-04 05:06:07.123456789'", "2021-03-04 05:06:07.123456789",
         "2021-03-04T05:06:07.123456789"),
        ("timestamp '0044-03-15 (BC) 01:00:00'", "0044-03-15 (BC) 01:00:00", "0044-03-15 (BC) 01:00:00"),
        ("'-infinity'::date", "-infinity", "-infinity"),
        ("'00101'::bit", "00101", "00101"),
        ("'\\x00\\xFF'::blob", "00ff", "00ff"),
        ("'-inf'::float", "-Infinity", "-Infinity"),
        ("0.1::float", "0.1", 0.1),
        ("170141183460469231731687303715884105727::hugeint", str(2**127 - 1), 2**127 - 1),
        (WIDE, "12345678901234567890.123456789012345678", "12345678901234567890.123456789012345678"),
        ("interval '-1 month 3 days -0.25 seconds'", "P-1M3DT-0.25S", "P-1M3DT-0.25S"),
        ("interval '1 month -30 days'", "P1M-30D", "P1M-30D"),
        ("interval '0 days'", "PT0S", "PT0S"),
        ("[timestamp '2021-03-04 05:06:07', null]", '["2021-03-04T05:06:07",null]', ["2021-03-04T05:06:07", None]),
        ("[[interval '1 day'], null, []]", '[["P1D"],null,[]]', [["P1D"], None, []]),
        ("{'a \"b': {'c': [2.50]}, 'd': null}", '{"a \\"b":{"c":["2.50"]},"d":null}',
         {'a "b': {"c": ["2.50"]}, "d": None}),
        ("map {date '2021-03-04': ['x\ny']}", '{"2021-03-04":["x\\ny"]}', {"2021-03-04": ["x\ny"]}),
        ("row(1, 'b')", '[1,"b"]', [1, "b"]),
        ("array_value(1::utinyint, 2)", "[1,2]", [1, 2]),
        ("union_value(k := 'nan'::double)", '"NaN"', "NaN"),
        ("""'{"a": [1.10]}'::json""", '{"a": [1.10]}', {"a": [1.10]}),
        ("""'{"a": NaN, "nan": "inf"}'::json""", '{"a": NaN, "nan": "inf"}', '{"a": NaN, "nan": "inf"}'),
        ("null::integer[]", None, None),
    ],
)  # fmt: skip
def test_a_value_and_its_json(connection: duckdb.DuckDBPyConnection, sql: str, text: str, value: Any) -> None:
    assert told(connection, sql) == (text, value)


@given(st.integers(-400, 400), st.integers(-400, 400), st.integers(-(10**12), 10**12))
def test_every_part_of_an_interval_is_there(
    connection: duckdb.DuckDBPyConnection, months: int, days: int, micros: int
) -> None:
    text, _ = told(connection, f"to_months({months}) + to_days({days}) + to_microseconds({micros})")
    number = r"(-?[\d.]+)"
    form = f"P(?:{number}Y)?(?:{number}M)?(?:{number}D)?(?:T(?:{number}H)?(?:{number}M)?(?:{number}S)?)?"
    found = re.fullmatch(form, text or "")
    assert found
    year, month, day, hour, minute, second = (Decimal(part or 0) for part in found.groups())
    assert (12 * year + month, day) == (months, days)
    assert (hour * 3600 + minute * 60 + second) * 1_000_000 == micros


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))))
def test_texts_of_any_signs_are_json(connection: duckdb.DuckDBPyConnection, texts: list[str]) -> None:
    literal = ", ".join("'" + text.replace("'", "''") + "'" for text in texts)
    assert told(connection, f"{{'t': [{literal}]::VARCHAR[]}}")[1] == {"t": texts}
