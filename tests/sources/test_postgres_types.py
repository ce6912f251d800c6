"""Every type of PostgreSQL at its limits: read both ways, read from the server's text, and loaded by real runs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from headwater.api import load
from headwater.cli import group
from headwater.sources.postgres.source import PostgresTable
from headwater.sources.postgres.types import from_text

from .harness import request
from .postgres_database import Database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.services.postgres import Postgres

TYPES = (
    "CREATE EXTENSION IF NOT EXISTS hstore",
    "CREATE EXTENSION IF NOT EXISTS citext",
    "CREATE TYPE mood AS ENUM ('sad', 'it''s ok')",
    "CREATE TYPE pair AS (x int, y text)",
    "CREATE DOMAIN cents AS numeric(10,2) CHECK (value < 1000)",
)

EXACT: dict[str, tuple[str, dict[str, str]]] = {
    "boolean": ("BOOLEAN", {"true": "true", "false": "false"}),
    "smallint": ("SMALLINT", {"-32768": "-32768", "32767": "32767"}),
    "integer": ("INTEGER", {"-2147483648": "-2147483648", "2147483647": "2147483647"}),
    "bigint": ("BIGINT", {n: n for n in ("-9223372036854775808", "9223372036854775807")}),
    "real": ("FLOAT", {"1.5": "1.5", "NaN": "nan", "-Infinity": "-inf", "3.4028235e38": "3.4028235e+38"}),
    "double precision": ("DOUBLE", {"0.1": "0.1", "Infinity": "inf", "-0": "-0.0", "5e-324": "5e-324"}),
    "numeric(12,2)": ("DECIMAL(12,2)", {"1.10": "1.10", "-9999999999.99": "-9999999999.99"}),
    "numeric(38,10)": ("DECIMAL(38,10)", {n: n for n in ("9999999999999999999999999999.9999999999", "-0.0000000001")}),
    "cents": ("DECIMAL(10,2)", {"999.99": "999.99"}),
    "bytea": ("BLOB", {"\\x00ff41": "\\x00\\xFFA", "\\x": ""}),
    "time": ("TIME", {"00:00:00": "00:00:00", "23:59:59.999999": "23:59:59.999999", "24:00:00": "24:00:00"}),
    "date": (
        "DATE",
        {"4713-01-01 BC": "4713-01-01 (BC)", "5874897-12-31": "5874897-12-31", "infinity": "infinity",
         "-infinity": "-infinity", "0001-01-01": "0001-01-01"},
    ),
    "timestamp": (
        "TIMESTAMP",
        {"4713-01-01 00:00:00 BC": "4713-01-01 (BC) 00:00:00", "infinity": "infinity", "-infinity": "-infinity",
         "294246-12-31 23:59:59.999999": "294246-12-31 23:59:59.999999", "2024-02-29 12:00:00.000001":
         "2024-02-29 12:00:00.000001"},
    ),
    "timestamptz": (
        "TIMESTAMP WITH TIME ZONE",
        {"0044-03-15 12:00:00+00 BC": "0044-03-15 (BC) 12:00:00+00", "infinity": "infinity",
         "2024-10-27 02:30:00+02": "2024-10-27 00:30:00+00"},
    ),
    "int[]": ("INTEGER[]", {"{1,NULL,-3}": "[1, NULL, -3]", "{}": "[]"}),
    "text[]": (
        "VARCHAR[]",
        {'{a,"NULL",NULL}': "[a, 'NULL', NULL]", '{"a,b","q\\"x\\\\y"}': "['a,b', 'q\"x\\\\y']", '{""}': "['']"},
    ),
    "numeric(5,2)[]": ("DECIMAL(5,2)[]", {"{1.5,NULL}": "[1.50, NULL]"}),
    "numeric[]": ("VARCHAR[]", {"{1.50,NaN}": "[1.50, NaN]"}),
    "boolean[]": ("BOOLEAN[]", {"{t,f,NULL}": "[true, false, NULL]"}),
    "date[]": ("DATE[]", {"{2024-01-01,infinity}": "[2024-01-01, infinity]"}),
    "timestamptz[]": ("TIMESTAMP WITH TIME ZONE[]", {'{"2024-01-01 01:00:00+01"}': "['2024-01-01 00:00:00+00']"}),
    "uuid[]": ("VARCHAR[]", {"{00000000-0000-0000-0000-00000000000a}": "[00000000-0000-0000-0000-00000000000a]"}),
    "mood[]": ("VARCHAR[]", {"{sad,NULL}": "[sad, NULL]"}),
}  # fmt: skip
"""Type to landed type, and the server's literals to DuckDB's text of the landed value."""

TEXT: dict[str, tuple[str, ...]] = {
    "text": ("", "ü 😀\n\t\\N \"q\" 'a'", "NULL"),
    "varchar(5)": ("  x  ",),
    "char(5)": ("ab", ""),
    '"char"': ("a",),
    "name": ("n",),
    "citext": ("MiXed",),
    "numeric": ("NaN", "Infinity", "-1e-20", "1" * 60 + ".5", "1.10"),
    "numeric(60,10)": ("9" * 50 + ".0123456789", "NaN"),
    "numeric(3,-2)": ("12300",),
    "numeric(2,5)": ("0.00099",),
    "timetz": ("23:59:59.999999+15:59", "24:00:00-03"),
    "interval": ("1 year -2 mons 3 days 04:05:06.789", "-00:00:00.000001", "178000000 years"),
    "money": ("-92233720368547758.08", "12.34"),
    "uuid": ("ffffffff-ffff-ffff-ffff-ffffffffffff", "00000000-0000-0000-0000-000000000000"),
    "json": ('{"a" : 1.10,  "a": null}',),
    "jsonb": ('{"b": 1.10, "a": [1e400]}', "null"),
    "mood": ("it's ok",),
    "pair": ('(1,"a, b")',),
    "pair[]": ('{"(1,x)",NULL}',),
    "bytea[]": ('{"\\\\x00ff"}',),
    "int[][]": ("{{1,2},{3,NULL}}",),
    "time[]": ("{24:00:00}",),
    "inet": ("::1/64", "10.0.0.1"),
    "cidr": ("10.0.0.0/8",),
    "macaddr": ("08:00:2b:01:02:03",),
    "int4range": ("[1,5)", "empty"),
    "tstzrange": ('["2024-01-01 00:00:00+00",infinity)',),
    "int4multirange": ("{[1,2),[5,9)}",),
    "point": ("(1.5,-2)",),
    "polygon": ("((0,0),(1,1),(1,0))",),
    "bit(3)": ("101",),
    "bit varying": ("0" * 70,),
    "tsvector": ("'a':1 'b':2A",),
    "hstore": ('"a"=>NULL, "b"=>"x"',),
    "oid": ("4294967295",),
    "xid8": ("18446744073709551615",),
    "pg_lsn": ("FFFFFFFF/FFFFFFFF",),
    "regclass": ("pg_class",),
    "int2vector": ("1 2",),
}
"""Types that land as the text of `::text`; so does xml, which this server is built without."""

REJECTED = {
    "numeric(12,2)": "NaN",
    "numeric(5,2)[]": "{1,NaN}",
    "timestamp": "294276-12-31 23:59:59.999999",
    "timestamptz": "294276-12-31 23:59:59.999999+00",
    "timestamp[]": "{294276-12-31 23:59:59.999999}",
    "int[]": "{{1,2},{3,4}}",
    "text[]": "{{a,b}}",
}


@pytest.fixture(scope="module")
def types(postgres: Postgres) -> Iterator[Database]:
    """A database that knows the types; each test makes its own table `t`."""
    database = Database(postgres)
    database.sql(*TYPES)
    yield database
    database.drop()


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def fill(db: Database, kind: str, literals: Any) -> list[str]:
    """A table of one column, in the order of its key; returns the server's texts."""
    rows = [f"INSERT INTO t VALUES ({number}, {quoted(text)})" for number, text in enumerate(literals, 1)]
    db.sql(
        "DROP TABLE IF EXISTS t",
        f"CREATE TABLE t (id int PRIMARY KEY, v {kind})",
        "INSERT INTO t VALUES (0, NULL)",
        *rows,
    )
    return [row[0] for row in db.sql("SET TimeZone = 'UTC'", "SELECT v::text FROM t WHERE id > 0 ORDER BY id")]


def texts(found: Any, con: Any) -> list[Any]:
    assert found.rejects == []
    rows = {row["id"]: row["v"] for row in found.rows}
    assert rows.pop(0) is None
    return [rows[number] for number in sorted(rows)]


@pytest.mark.parametrize("kind", list(EXACT))
def test_exact_types_have_every_value(types: Database, con: Any, route: str, kind: str) -> None:
    landed, values = EXACT[kind]
    served = fill(types, kind, values)
    assert types.describe().columns[1].type == landed
    source = PostgresTable(query="SELECT id, v FROM t")
    for options in (PostgresTable(), source):
        reading = types.source().read("t", _request(types, con, options))
        for chunk in reading.chunks:
            shown = con.execute(f"SELECT CAST(v AS VARCHAR), _reason FROM ({chunk.query}) ORDER BY id").fetchall()
        assert shown == [(None, None), *((text, None) for text in values.values())]
    for text, expected in zip(served, values.values(), strict=True):
        read_back = con.execute(f"SELECT CAST({from_text(landed, 'x')} AS VARCHAR) FROM (SELECT ? AS x)", [text])
        assert read_back.fetchall() == [(expected,)], text


def _request(types: Database, con: Any, options: PostgresTable) -> Any:
    columns = {c.name: c.type for c in types.source().describe({"t": options})["t"].columns}
    return request(con, options, columns)


@pytest.mark.parametrize("kind", list(TEXT))
def test_other_types_are_the_servers_text(types: Database, con: Any, route: str, kind: str) -> None:
    served = fill(types, kind, TEXT[kind])
    assert types.describe().columns[1].type == "VARCHAR"
    assert texts(types.load(con), con) == served


@pytest.mark.parametrize("kind", list(REJECTED))
def test_what_does_not_fit_is_a_reject_and_types_says_so(
    types: Database, con: Any, route: str, kind: str, tmp_path: Path
) -> None:
    fill(types, kind, [REJECTED[kind]])
    found = types.load(con)
    assert (found.rules, [row["id"] for row in found.rows]) == (["type"], [0])
    assert found.rejects[0]["reason"].startswith('column "v" holds ')
    rejected = types.describe().rejects["v"]
    assert ("NaN" in rejected, "a time after" in rejected) == (kind.startswith("numeric"), kind.startswith("time"))
    assert ("dimension" in rejected) == kind.endswith("[]")
    (tmp_path / "sources").mkdir()
    (tmp_path / "headwater.yaml").write_text("name: demo\n")
    (tmp_path / "sources" / "shop.yaml").write_text(f'kind: postgres\nconnection: "{types.dsn}"\ntables: {{t: {{}}}}\n')
    printed = CliRunner().invoke(group, ["-p", str(tmp_path), "types", "shop"])
    assert f"rejects: {rejected}" in printed.output


@pytest.mark.parametrize(
    ("kind", "asked", "good", "bad"),
    [
        ("numeric", "decimal(6,2)", ["1.5", "9999.99", "1.2300"], ["1.234", "NaN", "10000", "1e10"]),
        ("text", "bigint", ["7", "-1"], ["1.5", "x", "1e3"]),
        ("bigint", "integer", ["2147483647"], ["2147483648"]),
        ("timestamp", "date", ["2024-01-01"], ["2024-01-01 00:00:01"]),
        ("int[]", "varchar", ["{{1,2},{3,4}}"], []),
        ("text", "int[]", ["{1,NULL}"], ["{a}"]),
        ("bigint", "epoch_s", ["1700000000"], []),
    ],
)
def test_a_declared_type_is_exact_or_a_reject(
    types: Database,
    con: Any,
    route: str,
    kind: str,
    asked: str,
    good: list[str],
    bad: list[str],
) -> None:
    fill(types, kind, [*good, *bad])
    found = types.load(con, columns={"id": "integer", "v": asked})
    assert [row["id"] for row in found.rows] == [*range(len(good) + 1)]
    assert found.rules == ["type"] * len(bad)
    kind = asked.upper().replace("INT[]", "INTEGER[]")
    shown = {value.replace("1e10", "10000000000") for value in bad}
    assert {row["reason"] for row in found.rejects} == {f'column "v" holds {value}, not a {kind}' for value in shown}
    if bad:
        hidden = types.load(
            con, {"prepare": [{"mask": {"columns": ["v"], "key": "k"}}]}, columns={"id": "integer", "v": asked}
        )
        assert {row["reason"] for row in hidden.rejects} == {f'column "v" holds a value, not a {kind}'}


def test_exact_values_come_through_runs_into_both_stores(types: Database, tmp_path: Path) -> None:
    """Each type is a column; what is stored, written as text, is the server's value."""
    kinds = {f"c{n}": kind for n, kind in enumerate([*EXACT, *TEXT])}
    listed = ", ".join(f"{column} {kind}" for column, kind in kinds.items())
    types.sql("DROP TABLE IF EXISTS t", f"CREATE TABLE t (id int PRIMARY KEY, {listed})")
    values = {**{kind: list(found[1]) for kind, found in EXACT.items()}, **{k: list(v) for k, v in TEXT.items()}}
    most = max(len(found) for found in values.values())
    for number in range(most):
        row = [quoted(v[number]) if number < len(v := values[kind]) else "NULL" for kind in kinds.values()]
        types.sql(f"INSERT INTO t VALUES ({number}, {', '.join(row)})")
    served = types.sql("SET TimeZone = 'UTC'", f"SELECT {', '.join(f'{c}::text' for c in kinds)} FROM t ORDER BY id")
    times = ", ".join(f"{c}: varchar" for c, kind in kinds.items() if kind == "time")
    tables = "".join(
        f"  {store}:\n    table: t\n    into: {store}\n    prepare: [{{cast: {{{times}}}}}]\n"
        for store in ("lakehouse", "warehouse")
    )
    (tmp_path / "sources").mkdir()
    (tmp_path / "headwater.yaml").write_text("name: demo\n")
    (tmp_path / "sources" / "shop.yaml").write_text(f'kind: postgres\nconnection: "{types.dsn}"\ntables:\n{tables}')
    run = load(tmp_path).run()
    assert run.status == "done", [result.error for result in run.results]
    for store in ("lakehouse", "warehouse"):
        shown = ", ".join(f"CAST({c} AS VARCHAR) AS {c}" for c in kinds)
        found = load(tmp_path).query(f"SELECT {shown} FROM shop.{store} ORDER BY id").to_pylist()
        for number, row in enumerate(found):
            for place, (column, kind) in enumerate(kinds.items()):
                expected = served[number][place]
                if expected is not None and kind in EXACT and kind != "time":
                    expected = list(EXACT[kind][1].values())[number]
                if kind == "real" and expected == "3.4028235e+38" and store == "lakehouse":
                    expected = "3.4028234663852886e+38"
                assert row[column] == expected, (store, kind)
    declared = dict(
        types.sql("SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 't'::regclass")
    )
    printed = CliRunner().invoke(group, ["-p", str(tmp_path), "types", "shop"])
    assert printed.exit_code == 0, printed.output
    for store in ("lakehouse", "warehouse"):
        part = printed.output.partition(f"shop.{store} into the {store}\n")[2].partition(" into the ")[0]
        told = dict(re.findall(r"^  (\w+) +(.*)$", part, re.MULTILINE))
        for column, kind in kinds.items():
            assert told[column].startswith(declared[column]), (store, kind)
            assert re.search(r" (exact|widened|cast)\b", told[column]), (store, kind)
