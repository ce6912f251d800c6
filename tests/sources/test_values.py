"""What a file delivers lands equal to what was delivered, or its row is a reject: random values in every spelling."""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.sources.files.source import Files, FilesConnection, FilesTable
from tests.sources.harness import Outcome, read, request

COLUMNS = {
    "id": "bigint",
    "i": "integer",
    "d": "decimal(12,2)",
    "f": "double",
    "day": "date",
    "ts": "timestamp",
    "tz": "timestamptz",
    "b": "boolean",
}

REJECT = object()
Spelled = tuple[str, Any]
"""A text, and the value it stands for: REJECT when the column's type does not hold it."""


@pytest.fixture(scope="module")
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"enable_external_file_cache": False}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


@st.composite
def integers(draw: Any) -> Spelled:
    number = draw(st.one_of(st.integers(-(2**31), 2**31 - 1), st.sampled_from([-(2**31), 2**31 - 1, 0, 588])))
    spelled = [
        (str(number), number),
        (f"{number}.0", number),
        (f"{number}.000", number),
        (f"{number}e0", number),
        (f"{number}.5", REJECT),
        (f"{number}.0000001", REJECT),
        (str(number + 2**32), REJECT),
        ("true", REJECT),
        (hex(abs(number)), REJECT),
        ("1_000", REJECT),
        (f"{number}x", REJECT),
    ]
    return draw(st.sampled_from(spelled))


@st.composite
def decimals(draw: Any) -> Spelled:
    number = Decimal(draw(st.integers(-(10**12) + 1, 10**12 - 1))) / 100
    spelled = [
        (f"{number:.2f}", number),
        (f"{number:.2f}000", number),
        (f"{number:.2f}5", REJECT),
        (f"{number:.2f}0001", REJECT),
        (str(10**10), REJECT),
        ("1_0.00", REJECT),
        ("0x1F", REJECT),
        ("1e2", Decimal(100)),
        ("1.005", REJECT),
    ]
    return draw(st.sampled_from(spelled))


@st.composite
def doubles(draw: Any) -> Spelled:
    number = draw(st.floats(allow_nan=False, allow_infinity=False))
    digits = draw(st.text(string.digits, min_size=1, max_size=30))
    spelled = [(repr(number), number), (f"0.{digits}", float(f"0.{digits}")), ("1_000.5", REJECT), ("1e400", REJECT)]
    return draw(st.sampled_from(spelled))


@st.composite
def days(draw: Any) -> Spelled:
    day = draw(st.dates(date(1000, 1, 1), date(9999, 12, 31)))
    iso = day.isoformat()
    spelled = [
        (iso, day),
        (iso.replace("-", "/"), day),
        (f"{iso} 00:00:00", day),
        (f"{iso}T00:00:00Z", day),
        (f"{iso} 23:59:59", REJECT),
        (f"{iso}junk", REJECT),
        (f"{day:%d.%m.%Y}", REJECT),
        ("1/2/24", REJECT),
        ("24-01-02", REJECT),
        (f"{iso} 00:00:00.1", REJECT),
        (iso.replace("-", ""), REJECT),
    ]
    return draw(st.sampled_from(spelled))


@st.composite
def moments(draw: Any) -> Spelled:
    moment = draw(st.datetimes(datetime(1000, 1, 2), datetime(9999, 12, 30)))
    minutes = draw(st.integers(-14 * 60, 14 * 60))
    zone = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
    iso = moment.isoformat()
    whole = moment.replace(microsecond=0)
    spelled = [
        (iso, moment),
        (iso.replace("T", " "), moment),
        (f"{iso}Z", moment),
        (f"{iso}{zone}", moment - timedelta(minutes=minutes)),
        (f"{whole.isoformat()}.123456000", whole.replace(microsecond=123456)),
        (f"{whole.isoformat()}.1234567", REJECT),
        (f"{iso} junk", REJECT),
        ("1/2/24", REJECT),
        (f"{moment:%d.%m.%Y %H:%M}", REJECT),
        (f"{iso} Europe/Berlin", REJECT),
    ]
    return draw(st.sampled_from(spelled))


BOOLEANS = st.sampled_from(
    [("true", True), ("false", False), ("1", True), ("0", False), ("2", REJECT), ("maybe", REJECT)]
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "i": integers(),
            "d": decimals(),
            "f": doubles(),
            "day": days(),
            "ts": moments(),
            "tz": moments(),
            "b": BOOLEANS,
        }
    ),
    min_size=1,
    max_size=12,
)
OFTEN = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def check(outcome: Outcome, rows: list[dict[str, Spelled]], shown: Callable[[str], int]) -> None:
    """Every row is there once, with the values delivered, or is a reject for a reason."""
    landed = {row["id"]: row for row in outcome.rows}
    rejected = [shown(reject["raw"]) for reject in outcome.rejects]
    assert sorted([*landed, *rejected]) == list(range(len(rows)))
    for number, row in enumerate(rows):
        wrong = [name for name, (_, value) in row.items() if value is REJECT]
        if number in rejected:
            assert wrong, f"{row} is a reject for nothing"
            continue
        assert not wrong, f"{landed[number]} landed of {row}"
        for name, (text, value) in row.items():
            found = landed[number][name]
            if name == "tz":
                found = datetime.fromisoformat(found).astimezone(UTC).replace(tzinfo=None)
            assert found == value, f"{name}: {text}"


def files(folder: Path) -> Files:
    return Files(FilesConnection(), str(folder))


@OFTEN
@given(rows=ROWS)
def test_csv(con: duckdb.DuckDBPyConnection, tmp_path: Path, rows: list[dict[str, Spelled]]) -> None:
    lines = [",".join(COLUMNS)] + [
        ",".join([str(n), *(row[name][0] for name in list(COLUMNS)[1:])]) for n, row in enumerate(rows)
    ]
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    outcome = read(files(tmp_path), request(con, FilesTable(path="a.csv"), COLUMNS))
    check(outcome, rows, lambda raw: int(raw.split(",")[0]))
    for reject in outcome.rejects:
        assert lines[reject["_line"] - 1] == reject["raw"]


NUMBER = r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?"


def as_json(text: str, value: Any, quoted: bool) -> str:
    """Write a text as JSON: bare where it is a word or a number of JSON, else (or when `quoted`) as a string."""
    try:
        json.loads(text)
    except ValueError:
        quoted = True
    return json.dumps(text) if quoted or not isinstance(text, str) else text


@OFTEN
@given(rows=ROWS, quoted=st.booleans(), format=st.sampled_from(["jsonl", "json"]))
def test_json(
    con: duckdb.DuckDBPyConnection, tmp_path: Path, rows: list[dict[str, Spelled]], quoted: bool, format: str
) -> None:
    lines = []
    for number, row in enumerate(rows):
        parts = [f'"id": {number}', *(f'"{name}": {as_json(*spelled, quoted)}' for name, spelled in row.items())]
        lines.append("{" + ", ".join(parts) + "}")
    text = "\n".join(lines) + "\n" if format == "jsonl" else "[" + ",\n".join(lines) + "]"
    (tmp_path / f"a.{format}").write_text(text)
    outcome = read(files(tmp_path), request(con, FilesTable(path=f"a.{format}"), COLUMNS))
    check(outcome, rows, lambda raw: int(json.loads(raw)["id"]))


TOKENS = st.from_regex(r"\A-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,2})?\Z").filter(
    lambda token: token != "-0"
)


@OFTEN
@given(tokens=st.lists(TOKENS, min_size=1, max_size=8))
def test_json_keeps_every_digit(con: duckdb.DuckDBPyConnection, tmp_path: Path, tokens: list[str]) -> None:
    """As text, nested, in a list and as a number: what lands is the text of the number, or a number equal to it."""
    lines = [
        f'{{"id": {n}, "t": {token}, "n": {{"x": [{token}, "{token}"]}}, "d": {token}}}'
        for n, token in enumerate(tokens)
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n")
    columns = {"id": "bigint", "t": "varchar", "n": "json", "d": "decimal(38,10)"}
    outcome = read(files(tmp_path), request(con, FilesTable(path="a.jsonl"), columns))
    landed = {row["id"]: row for row in outcome.rows}
    rejected = {json.loads(reject["raw"])["id"] for reject in outcome.rejects}
    for number, token in enumerate(tokens):
        if number in rejected:
            exact = Decimal(token)
            plain = "e" not in token.lower()
            assert not plain or abs(exact) >= 10**28 or len(token.partition(".")[2].rstrip("0")) > 10
        else:
            assert landed[number]["t"] == token
            assert landed[number]["n"] == f'{{"x":[{token},"{token}"]}}'
            assert Decimal(landed[number]["d"]) == Decimal(token)


WHOLE = st.integers(-(2**63), 2**63 - 1)
NANOS = st.integers(-(2**62), 2**62)
PARQUET = {
    "bigint as double": (pa.int64(), "double", WHOLE, lambda v: float(v) if int(float(v)) == v else REJECT),
    "double as bigint": (
        pa.float64(),
        "bigint",
        st.floats(allow_nan=False),
        lambda v: int(v) if v.is_integer() and -(2**63) <= v < 2**63 else REJECT,
    ),
    "double as decimal": (
        pa.float64(),
        "decimal(9,2)",
        st.decimals(-(10**6), 10**6, places=3).map(float),
        lambda v: Decimal(repr(v)) if round(v, 2) == v else REJECT,
    ),
    "wide decimal": (
        pa.decimal256(50, 2),
        "varchar",
        st.decimals(-(10**47), 10**47, places=2),
        lambda v: f"{v:.2f}",
    ),
    "nanoseconds": (
        pa.timestamp("ns", "UTC"),
        "timestamp",
        NANOS,
        lambda v: datetime(1970, 1, 1) + timedelta(microseconds=v // 1000) if v % 1000 == 0 else REJECT,
    ),
    "timestamp as date": (
        pa.timestamp("us"),
        "date",
        st.one_of(st.integers(-(10**5), 10**5).map(lambda n: n * 86_400_000_000), st.integers(0, 10**15)),
        lambda v: date(1970, 1, 1) + timedelta(days=v // 86_400_000_000) if v % 86_400_000_000 == 0 else REJECT,
    ),
    "boolean as integer": (pa.bool_(), "integer", st.booleans(), lambda v: REJECT),
    "unsigned": (pa.uint64(), "bigint", st.integers(0, 2**64 - 1), lambda v: v if v < 2**63 else REJECT),
}


@pytest.mark.parametrize("kind", PARQUET)
@OFTEN
@given(data=st.data())
def test_parquet(con: duckdb.DuckDBPyConnection, tmp_path: Path, kind: str, data: st.DataObject) -> None:
    arrow, declared, values, means = PARQUET[kind]
    given_values = data.draw(st.lists(values, min_size=1, max_size=20))
    array = pa.array(given_values, arrow)
    pq.write_table(pa.table({"id": pa.array(range(len(given_values)), pa.int64()), "v": array}), tmp_path / "a.parquet")
    asked = request(con, FilesTable(path="a.parquet"), {"id": "bigint", "v": declared})
    outcome = read(files(tmp_path), asked)
    landed = {row["id"]: row["v"] for row in outcome.rows}
    rejected = {reject["_line"] - 1 for reject in outcome.rejects}
    assert sorted([*landed, *rejected]) == list(range(len(given_values)))
    for number, value in enumerate(given_values):
        wanted = means(value)
        assert (number in rejected) == (wanted is REJECT), value
        assert wanted is REJECT or landed[number] == wanted


def test_files_of_other_types_in_one_load(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """A bigint beside a double in one load, undeclared: the common type is double, and no bigint is rounded into it."""
    pq.write_table(pa.table({"v": [1, 2**53 + 1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"v": [0.5]}), tmp_path / "b.parquet")
    table = FilesTable(path="*.parquet")
    described = files(tmp_path).describe({"t": table})["t"].columns
    assert [(c.name, c.type) for c in described] == [("v", "DOUBLE")]
    outcome = read(files(tmp_path), request(con, table, {"v": "double"}))
    assert outcome.values("v") == [(0.5,), (1.0,)]
    assert [(r["_file"], r["_line"], r["rule"]) for r in outcome.rejects] == [("a.parquet", 2, "cast")]
    assert "9007199254740993" in outcome.rejects[0]["reason"]


def test_columns_named_like_the_readers_own(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    names = ["file_row_number", "filename", "_cast", "_used", "_hw_path"]
    pq.write_table(pa.table({name: [f"my {name}"] for name in names}), tmp_path / "a.parquet")
    columns = dict.fromkeys(names[:-1], "varchar")
    outcome = read(files(tmp_path), request(con, FilesTable(path="a.parquet"), columns, {"schema": "discard_value"}))
    assert outcome.values(*columns) == [tuple(f"my {name}" for name in columns)]
