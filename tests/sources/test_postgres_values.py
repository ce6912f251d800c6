"""Random values of PostgreSQL's types at their limits, read both ways: equal to the server's, or rejects."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any

import duckdb
import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from headwater.sources.postgres.source import PostgresTable
from headwater.sources.postgres.types import from_text

from .harness import request
from .postgres_database import Database

if TYPE_CHECKING:
    from tests.services.postgres import Postgres


def edged(low: int, high: int) -> st.SearchStrategy[int]:
    return st.one_of(st.sampled_from([low, low + 1, -1, 0, 1, high - 1, high]), st.integers(low, high))


def digits(precision: int, scale: int) -> st.SearchStrategy[str]:
    def written(number: int) -> str:
        text = f"{abs(number):0{scale + 1}d}"
        return f"{'-' if number < 0 else ''}{text[: len(text) - scale]}.{text[len(text) - scale :]}"

    return edged(-(10**precision) + 1, 10**precision - 1).map(written) | st.just("NaN")


@st.composite
def days(draw: Any) -> str:
    """Dates of all years that the server has, and the endless ones."""
    year = draw(st.one_of(st.sampled_from([-4713, -1, 1, 9999, 10000, 294276, 5874897]), st.integers(-4712, 294276)))
    month, day = (12, 1) if year == -4713 else (draw(st.integers(1, 12)), draw(st.integers(1, 28)))
    text = f"{abs(year) or 1:04d}-{month:02d}-{day:02d}{' BC' if year <= 0 else ''}"
    return draw(st.sampled_from([text, text, text, "infinity", "-infinity"]))


@st.composite
def moments(draw: Any, zone: bool = False) -> str:
    day = draw(days())
    if day.endswith("infinity"):
        return day
    micros = draw(st.sampled_from(["", ".000001", ".999999", ".5", ".120000"]))
    clock = f"{draw(st.integers(0, 23)):02d}:{draw(st.integers(0, 59)):02d}:{draw(st.integers(0, 59)):02d}{micros}"
    offset = draw(st.sampled_from(["+00", "+05:30", "-11", "+14"])) if zone else ""
    text, _, era = day.partition(" ")
    year = int(text.partition("-")[0])
    return f"{text if year < 294276 else '294276-12-01'} {clock}{offset}{' BC' if era else ''}"


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["", "\\N", "NULL", "\t\n\r\v", "'\"\\", "{a,b}", "é\u0301", "😀", "\ufeff", "\u202e", "0x1F"]
)
NUMBER = st.one_of(st.integers(-(10**30), 10**30).map(str), st.decimals(allow_nan=False, allow_infinity=False).map(str))
JSON = st.recursive(
    st.sampled_from(["null", "true", "1e400", "-0", '"é\\u00e9"', "1.10"]) | NUMBER.map(lambda n: n.replace("E", "e")),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: f"[{', '.join(parts)}]")
        | st.lists(inner, max_size=2).map(lambda parts: "{" + ", ".join(f'"k" :{part}' for part in parts) + "}")
    ),
    max_leaves=4,
)
FLOATS = st.floats(width=64).map(repr) | st.sampled_from(["5e-324", "1.7976931348623157e308", "-0.0", "0.1"])


def array(items: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def quoted(item: str) -> str:
        return '"' + item.replace("\\", "\\\\").replace('"', '\\"') + '"'

    inside = st.lists(items.map(quoted) | st.just("NULL"), max_size=3).map(lambda parts: f"{{{','.join(parts)}}}")
    return inside | inside.map(lambda text: f"{{{text},{text}}}")


VALUES: dict[str, st.SearchStrategy[str]] = {
    "smallint": edged(-(2**15), 2**15 - 1).map(str),
    "integer": edged(-(2**31), 2**31 - 1).map(str),
    "bigint": edged(-(2**63), 2**63 - 1).map(str),
    "real": st.floats(width=32).map(repr),
    "double precision": FLOATS,
    "numeric": NUMBER | st.sampled_from(["NaN", "Infinity", "1" * 50 + ".5", "0.00"]),
    "numeric(38,10)": digits(38, 10),
    "numeric(5,2)": digits(5, 2),
    "numeric(12,0)": digits(12, 0),
    "boolean": st.sampled_from(["true", "false"]),
    "text": TEXT,
    "char(4)": TEXT.map(lambda text: text[:4]),
    "bytea": st.binary(max_size=9).map(lambda raw: "\\x" + raw.hex()),
    "uuid": st.uuids().map(str),
    "json": JSON,
    "jsonb": JSON,
    "date": days(),
    "time": st.times().map(str) | st.just("24:00:00"),
    "timestamp": moments(),
    "timestamptz": moments(zone=True),
    "interval": st.tuples(st.integers(-9999, 9999), st.integers(-9999, 9999), edged(-(10**15), 10**15)).map(
        lambda parts: f"{parts[0]} mons {parts[1]} days {parts[2]} microseconds"
    ),
    "int[]": array(edged(-(2**31), 2**31 - 1).map(str)),
    "text[]": array(TEXT),
    "numeric(5,2)[]": array(digits(5, 2)),
    "date[]": array(days()),
}
ROW = st.fixed_dictionaries({kind: st.none() | values for kind, values in VALUES.items()})


@pytest.fixture(scope="module")
def values(postgres: Postgres) -> Iterator[Database]:
    database = Database(postgres)
    yield database
    database.drop()


PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""Without shrinking: an example is a round to the server, and a row says by itself what is wrong."""

DECLARED_ONLY = {"schema": "discard_value"}


def bits(text: str, width: str) -> bytes:
    number = float(text.replace("nan", "NaN"))
    return b"nan" if number != number else struct.pack(width, number)


def era(text: str) -> str:
    return re.sub(r"^(\S+)(.*) BC$", r"\1 (BC)\2", text)


def listed(text: str) -> Any:
    return json.loads(text, parse_float=str, parse_int=str)


SAME: dict[str, Callable[[str, str], bool]] = {
    "real": lambda served, landed: bits(served, "f") == bits(landed, "f"),
    "double precision": lambda served, landed: bits(served, "d") == bits(landed, "d"),
    "bytea": lambda served, landed: served == "\\x" + landed.lower(),
    "date": lambda served, landed: era(served) == landed,
    "timestamp": lambda served, landed: era(served) == landed,
    "timestamptz": lambda served, landed: era(served) == landed,
}
"""How a served text and a landed one are compared where they are not written alike."""


def insert(database: Database, kinds: dict[str, str], rows: list[dict[str, str | None]]) -> None:
    columns = ", ".join(f"{name} {kind}" for name, kind in kinds.items())
    database.sql("DROP TABLE IF EXISTS t", f"CREATE TABLE t (id int PRIMARY KEY, {columns})")
    marks = ", ".join(f"%s::text::{kind}" for kind in kinds.values())
    with psycopg.connect(database.dsn) as session, session.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO t VALUES (%s, {marks})".encode(),
            [(number, *(row[name] for name in kinds)) for number, row in enumerate(rows)],
        )


def landed(database: Database, con: Any, columns: dict[str, str], shown: dict[str, str]) -> dict[int, tuple[Any, ...]]:
    """Read the table; by id the texts of its values, then why it is rejected."""
    reading = database.source().read("t", request(con, PostgresTable(), {"id": "integer", **columns}, DECLARED_ONLY))
    selected = ", ".join(shown[name] for name in columns)
    found = {}
    for chunk in reading.chunks:
        for number, *row in con.execute(f"SELECT id, {selected}, _reason FROM ({chunk.query})").fetchall():
            found[number] = tuple(row)
    return found


@given(rows=st.lists(ROW, min_size=1, max_size=12))
@settings(
    max_examples=15, phases=PHASES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_every_value_lands_as_it_is_or_is_a_reject(
    values: Database, con: Any, route: str, rows: list[dict[str, str | None]]
) -> None:
    kinds = {f"c{index}": kind for index, kind in enumerate(VALUES)}
    insert(values, kinds, [{name: row[kind] for name, kind in kinds.items()} for row in rows])
    columns = {c.name: c.type for c in values.describe().columns if c.name != "id"}
    shown = {name: f"CAST({name} AS VARCHAR)" for name in columns}
    shown |= {name: f"hex({name})" for name, kind in kinds.items() if kind == "bytea"}
    shown |= {name: f"to_json(CAST({name} AS VARCHAR[]))" for name, kind in kinds.items() if kind.endswith("[]")}
    asked = [f"to_json({n}::text[])::text" if k.endswith("[]") else f"{n}::text" for n, k in kinds.items()]
    served = values.sql("SET TimeZone = 'UTC'", f"SELECT id, {', '.join(asked)} FROM t")
    found = landed(values, con, columns, shown)
    assert len(found) == len(served)
    for number, *texts in served:
        *mine, reason = found[number]
        unfit = [name for (name, kind), text in zip(kinds.items(), texts, strict=True) if not holds(kind, text)]
        assert (reason is None) == (not unfit), (number, unfit)
        for kind, text, value in () if unfit else zip(kinds.values(), texts, mine, strict=True):
            assert (value is None) == (text is None), (kind, text)
            if kind.endswith("[]") and text is not None:
                assert [part and era(part) for part in listed(text)] == listed(value), (kind, text)
            elif text is not None:
                assert SAME.get(kind, str.__eq__)(text, value), (kind, text, value)


def holds(kind: str, text: str | None) -> bool:
    """Whether the landed type has the value, as the docs say."""
    if text is None:
        return True
    if kind.endswith("[]"):
        parts = listed(text)
        return not any(isinstance(part, list) for part in parts) and not (kind.startswith("numeric") and "NaN" in parts)
    if kind.startswith("numeric("):
        return text != "NaN"
    late = kind.startswith("timestamp") and re.match(r"[0-9]{6}", text) and not text.endswith("BC")
    return not late or text < "294247-01-10 04:00:54.775807"


# ---------------------------------------------------------------------------------------------------- declared types


def number_of(text: str, *, exponents: bool) -> Decimal | None:
    pattern = r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)" + (r"([eE][+-]?[0-9]+)?" if exponents else "") + r"\s*"
    return Decimal(text) if re.fullmatch(pattern, text, re.ASCII) else None


def whole(bits: int, *, exponents: bool = False) -> Callable[[str], Any]:
    def read(text: str) -> str | None:
        number = number_of(text, exponents=exponents)
        fits = number is not None and number == number.to_integral_value() and -(2**bits) <= number < 2**bits
        return str(int(number)) if fits and number is not None else None

    return read


def fixed(precision: int, scale: int) -> Callable[[str], Any]:
    def read(text: str) -> str | None:
        number = number_of(text, exponents=False)
        if (
            number is None
            or number != number.quantize(Decimal(1).scaleb(-scale), context=Context(prec=100))
            or abs(number) >= 10**precision
        ):
            return None
        return str(abs(number).quantize(Decimal(1).scaleb(-scale))) if not number else f"{number:.{scale}f}"

    return read


def instant(text: str) -> str | None:
    moment = datetime.fromisoformat(text)
    moment = moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    return str(moment).removesuffix("000") if moment.microsecond % 1000 == 0 and moment.microsecond else str(moment)


def midnight(text: str) -> str | None:
    moment = instant(text)
    return moment[:10] if moment and moment[10:] in ("", " 00:00:00") else None


SPELLED = st.sampled_from([
    "588.50", "588.00", "0x1F", "1_000", "1,000", " 7 ", "+7", "-0", "07", ".5", "5.", "1e3", "1E3", "", "-", "true",
    "0b11", "0o7", "१२", "1.0000000000", "NaN", "inf", "1.005", "12.344", "2147483647.0", "2147483648", "9" * 30,
])  # fmt: skip
WRITTEN = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29))
ZONED = st.builds(
    lambda moment, minutes: (
        f"{moment.isoformat(' ')}{'+' if minutes >= 0 else '-'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
    ),
    WRITTEN,
    st.integers(-14 * 60, 14 * 60),
)
PLAIN = WRITTEN.map(str) | st.dates(date(1, 1, 3), date(9999, 12, 29)).map(lambda day: f"{day} 00:00:00")
DECLARED: dict[str, tuple[str, str, st.SearchStrategy[str], Callable[[str], Any]]] = {
    "a": ("text", "integer", SPELLED | NUMBER, whole(31)),
    "b": ("text", "decimal(6,2)", SPELLED | digits(7, 3), fixed(4, 2)),
    "c": ("numeric", "integer", digits(12, 2) | digits(9, 0), whole(31)),
    "d": ("numeric", "decimal(6,2)", digits(7, 3) | digits(6, 2), fixed(4, 2)),
    "e": ("double precision", "bigint", FLOATS | edged(-(2**53), 2**53).map(str), whole(63, exponents=True)),
    "f": ("bigint", "smallint", edged(-(2**16), 2**16).map(str), whole(15)),
    "g": ("timestamptz", "timestamp", ZONED, instant),
    "h": ("timestamp", "date", PLAIN, midnight),
    "i": ("text", "timestamp", ZONED | PLAIN, instant),
    "j": ("text", "date", PLAIN | st.dates().map(str), midnight),
    "k": ("numeric(10,2)", "integer", digits(10, 2), whole(31)),
    "l": ("boolean", "integer", st.sampled_from(["true", "false"]), lambda _: None),
    "m": (
        "text",
        "date",
        st.sampled_from(["2024-01-05junk", "1/2/24", "2024-01-01 23:59:59", "24-01-01"]),
        lambda _: None,
    ),
    "n": ("date", "timestamp", st.dates().map(str), lambda text: f"{text} 00:00:00"),
}
"""By column what the catalogue has, what is declared, values, and the text of what lands (None: a reject)."""


@given(rows=st.lists(st.fixed_dictionaries({n: v for n, (_, _, v, _) in DECLARED.items()}), min_size=1, max_size=12))
@settings(
    max_examples=25, phases=PHASES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_a_declared_type_has_the_value_or_the_row_is_a_reject(
    values: Database, con: Any, route: str, rows: list[dict[str, str]]
) -> None:
    kinds = {name: kind for name, (kind, *_) in DECLARED.items()}
    insert(values, kinds, rows)
    asked = ", ".join(f"{name}::text" for name in kinds)
    served = values.sql("SET TimeZone = 'UTC'", f"SELECT id, {asked} FROM t")
    declared = {name: normal for name, (_, normal, *_) in DECLARED.items()}
    found = landed(values, con, declared, {name: f"CAST({name} AS VARCHAR)" for name in kinds})
    for number, *texts in served:
        *mine, reason = found[number]
        for (name, (kind, asked_for, _, read)), text, value in zip(DECLARED.items(), texts, mine, strict=True):
            wanted = read(text)
            refused = f'column "{name}" holds' in (reason or "")
            assert refused == (wanted is None), (kind, asked_for, text, value)
            assert value == wanted or same_moment(value, wanted), (kind, asked_for, text)


def same_moment(one: str | None, other: str | None) -> bool:
    if one is None or other is None or "-" not in one[1:]:
        return False
    return abs(datetime.fromisoformat(one) - datetime.fromisoformat(other)) < timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2015-07-01 00:00:00", "2015-07-01"),
        ("2015-07-01 00:00:00+00", "2015-07-01"),
        ("0044-03-15 00:00:00 BC", "0044-03-15 (BC)"),
        ("infinity", "infinity"),
        ("2015-07-01 00:00:00.000138", None),
        ("2015-07-01 00:00:00.5+00", None),
        ("0044-03-15 00:00:00.5 BC", None),
        ("2015-07-01 00:00:01", None),
    ],
)
def test_only_midnight_is_a_date(text: str, day: str | None) -> None:
    """A fraction of the first second is no midnight; DuckDB reads 2015-07-01.5 as a date."""
    with duckdb.connect() as connection:
        cast = from_text("DATE", f"'{text}'")
        assert connection.execute(f"SELECT CAST({cast} AS VARCHAR)").fetchall() == [(day,)]
