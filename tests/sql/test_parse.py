"""Dependencies: exactly the tables that a query reads, with DuckDB's own binder as the oracle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import duckdb_extension_tpcds
import pytest
import sqlglot
from hypothesis import example, given
from hypothesis import strategies as st
from sqlglot import exp
from sqlglot.optimizer.scope import traverse_scope

from headwater.errors import ProjectError
from headwater.sql.parse import Mention, parse_query, place_of

NAMES = ("a", "b", "c")


def names(query: str) -> list[str]:
    return [place.name for place in parse_query(query).tables]


class Oracle:
    """An empty database: which of its tables a query cannot be bound without."""

    def __init__(self, tables: dict[str, str]) -> None:
        self.connection = duckdb.connect(config={"threads": 1})
        self.tables = tables
        for name, columns in tables.items():
            self.connection.execute(f"CREATE TABLE {name} ({columns})")

    def binds(self, query: str) -> bool:
        try:
            self.connection.execute(f"DESCRIBE\n{query}")
        except duckdb.Error:
            return False
        return True

    def reads(self, query: str) -> set[str]:
        assert self.binds(query), query
        found = set()
        for name in self.tables:
            self.connection.execute(f"ALTER TABLE {name} RENAME TO hidden")
            if not self.binds(query):
                found.add(f"main.{name}")
            self.connection.execute(f"ALTER TABLE hidden RENAME TO {name}")
        return found


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    return Oracle(dict.fromkeys(NAMES, "x INTEGER"))


CASES = {
    "plain": "select x from a",
    "from first": "from a",
    "a name of any case": "select x from A",
    "a comma": "select 1 from a, b",
    "joins": "select 1 from a join b using (x) left join c on a.x = c.x",
    "an alias is no table": "select b.x from a as b",
    "an alias that names a table": "select 1 from a as b, b as a",
    "a subquery": "select 1 from (select * from a) as b",
    "a scalar subquery": "select (select max(x) from b) from a",
    "a correlated subquery": "select 1 from a where exists (select 1 from b where b.x = a.x)",
    "in a list": "select 1 from a where x in (select x from b)",
    "in any clause": "select x from a group by x having count(*) > (select count(*) from b) "
    "order by (select max(x) from c)",
    "set operations": "select x from a union select x from b except all select x from c",
    "union by name": "select x from a union all by name select x from b",
    "a CTE": "with b as (select * from a) select * from b",
    "a CTE that nobody reads": "with b as (select * from a) select 1 as x",
    "a CTE named like a table and reading it": "with a as (select * from a) select * from a",
    "a CTE that another reads": "with b as (select * from a), c as (select * from b) select * from c",
    "a CTE before it is one": "with b as (select * from c), c as (select * from a) select * from b",
    "a CTE of the same name inside": "with b as (with b as (select * from a) select * from b) select * from b",
    "a CTE inside hides the one outside": "with b as (select * from c) select * from (with b as (select * from "
        "a) select * from b)",
    "a CTE ends with its query": "select * from (with b as (select * from a) select * from b) as q, b",
    "a CTE in a set operation": "with b as (select * from a) select * from b union select * from c",
    "a CTE in a part of a set operation": "(with b as (select * from a) select * from b) union (select * from b)",
    "a CTE of any case": "with B as (select * from a) select * from b",
    "a quoted CTE": 'with "b" as (select * from a) select * from "B"',
    "a materialized CTE": "with b as materialized (select * from a) select * from b, b as d",
    "a CTE that is not materialized": "with b as not materialized (select * from a) select * from b",
    "a recursive CTE": "with recursive b as (select x from a union all select x + 1 from b where x < 3) select "
        "* from b",
    "a materialized CTE that nobody reads": "with b as materialized (select * from a) select * from c",
    "the table of a recursive CTE so far": "with recursive b(x) using key (x) as "
    "(select x from a union select r.x + 1 from b, recurring.b as r where r.x < 3) select * from b",
    "a recursive CTE beside another": "with recursive c as (select * from a), b as (select x from c union all "
        "select b.x from b, c) from b",
    "recursive without recursion": "with recursive b as (select * from a) select * from b",
    "a recursive CTE with a key": "with recursive b(x) using key (x) as (select x from a union select x + 1 "
        "from b where x < 3) select * from b",
    "a schema hides the CTE": "with b as (select * from a) select * from main.b",
    "laterals": "select 1 from a, lateral (select * from b where b.x = a.x) as l",
    "a list comprehension": "select [y + 1 for y in [x]] from a",
    "a lambda": "select list_transform([x], lambda b: b + 1) from a",
    "a table function": "select * from range(3) as b(x), a",
    "unnest": "select unnest([x]) from a",
    "values": "select * from (values (1), (2)) as b(x)",
    "values at the top": "values (1)",
    "pivot": "select * from a pivot (count(*) for x in (1, 2))",
    "unpivot": "select * from a unpivot (v for n in (x))",
    "a window": "select sum(x) over w from a window w as (order by x)",
    "qualify": "select x from a qualify row_number() over (order by (select max(x) from b)) = 1",
    "a sample": "select * from a using sample 10%",
    "columns of a pattern": "select columns('x') from a",
    "semi and anti joins": "select * from a semi join b using (x) anti join c using (x)",
    "asof and positional joins": "select 1 from a asof join b on a.x >= b.x positional join c",
    "a struct's field": "select b.y from (select {y: x} as b from a)",
    "text and comments": "select 'from b' as t -- from c\n from a /* join c */",
    "grouping sets": "select x, count(*) from a group by grouping sets ((x), ())",
    "limit": "select x from a limit (select count(*) from b)",
    "values with a subquery": "values ((select max(x) from a))",
    "filter": "select count(*) filter (where x in (from b)) from a",
    "case": "select case when x > 1 then (select max(x) from b) else (select max(x) from c) end from a",
    "distinct on": "select distinct on (x) x from a order by x, (select max(x) from b)",
    "a CTE in an expression": "select (with b as (select * from a) select max(x) from b), x from b",
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_tables_of_a_query(case: str, oracle: Oracle) -> None:
    found = names(CASES[case])
    assert {name.lower() for name in found} == oracle.reads(CASES[case])


def queries(depth: int) -> st.SearchStrategy[str]:
    """Queries in which CTEs, aliases and tables share three names."""
    name = st.sampled_from(NAMES)
    if depth == 0:
        return name.map(lambda n: f"SELECT x FROM {n}")
    inner = queries(depth - 1)
    reference = st.one_of(
        name,
        st.tuples(name, name).map(lambda pair: f"{pair[0]} AS {pair[1]}"),
        st.tuples(inner, name).map(lambda pair: f"({pair[0]}) AS {pair[1]}"),
    )
    plain = reference.map(lambda r: f"SELECT x FROM {r}")
    exists = st.tuples(reference, inner).map(lambda p: f"SELECT x FROM {p[0]} WHERE EXISTS ({p[1]})")
    union = st.tuples(plain, inner).map(lambda p: f"({p[0]}) UNION ALL ({p[1]})")
    ctes = st.lists(st.tuples(name, inner), min_size=1, max_size=2, unique_by=lambda pair: pair[0])
    with_ctes = st.tuples(st.sampled_from(["", "RECURSIVE "]), ctes, st.one_of(plain, exists, union)).map(
        lambda p: f"WITH {p[0]}{', '.join(f'{n} AS ({q})' for n, q in p[1])} {p[2]}"
    )
    return st.one_of(plain, exists, union, with_ctes)


@given(queries(3))
@example(
    "WITH RECURSIVE c AS (WITH a AS (SELECT x FROM b) (SELECT x FROM a) UNION ALL (SELECT x FROM a)) SELECT x FROM c"
)
def test_a_cte_or_an_alias_is_never_taken_for_a_table(query: str) -> None:
    oracle = SHARED
    if oracle.binds(query):
        assert set(names(query)) == oracle.reads(query), query


SHARED = Oracle(dict.fromkeys(NAMES, "x INTEGER"))


# ------------------------------------------------------------------------------------------------------------- TPC-DS


@pytest.fixture(scope="module")
def tpcds() -> Iterator[duckdb.DuckDBPyConnection]:
    """The 24 tables of TPC-DS, empty, and its 99 queries."""
    folder = Path(duckdb_extension_tpcds.__file__).parent
    (extension,) = folder.rglob("*.duckdb_extension")
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(f"LOAD '{extension}'")
        connection.execute("CALL dsdgen(sf = 0)")
        yield connection


def tables_by_sqlglot(query: str) -> set[str]:
    """What another parser says: tables that stand in a scope and are no CTE of it."""
    found = set()
    for scope in traverse_scope(sqlglot.parse_one(query, dialect="duckdb")):
        for source in scope.sources.values():
            if isinstance(source, exp.Table):
                found.add(f"main.{source.name.lower()}")
    return found


def test_the_99_queries_of_tpc_ds_read_what_the_binder_and_another_parser_say(
    tpcds: duckdb.DuckDBPyConnection,
) -> None:
    texts = [row[0] for row in tpcds.execute("SELECT query FROM tpcds_queries() ORDER BY query_nr").fetchall()]
    assert len(texts) == 99
    columns = dict(
        tpcds.execute(
            "SELECT table_name, string_agg(column_name || ' ' || data_type, ', ') FROM duckdb_columns() GROUP BY ALL"
        ).fetchall()
    )
    used = set()
    for number, text in enumerate(texts, 1):
        found = set(names(text))
        assert found == tables_by_sqlglot(text), number
        used |= found
        oracle = Oracle({name.partition(".")[2]: columns[name.partition(".")[2]] for name in found})
        assert oracle.reads(text) == found, number
    assert len(used) == 24


# ------------------------------------------------------------------------------------------------ names, places, more


def test_names_keep_their_quotes_content_and_their_schema() -> None:
    query = 'select 1 from staging.orders, "Odd ns"."a.b", plain, cat.sch.tab'
    assert names(query) == ["staging.orders", "Odd ns.a.b", "main.plain", "cat.sch.tab"]


def test_places_are_those_of_the_first_mention() -> None:
    query = "select 'é' as e\n  from s.one\n join s.two using (x), s.one as again"
    assert parse_query(query).tables == (Mention("s.one", 2, 8), Mention("s.two", 3, 7))
    assert parse_query("select 'é' from s.x").tables == (Mention("s.x", 1, 17),)


def test_a_place_that_the_parser_does_not_know_is_nowhere() -> None:
    assert place_of("abc", 2**64 - 1) == (0, 0)
    assert place_of("a\nbc", 3) == (2, 2)


def test_volatile_functions_are_found_whatever_their_case_and_form() -> None:
    found = parse_query("select NOW(), current_date, random() + x, abs(x), today from a where ts < localtimestamp")
    assert [place.name for place in found.volatile] == ["now", "current_date", "random", "today", "localtimestamp"]
    assert parse_query("select a.now, abs(x), t.random from a, t").volatile == ()


def test_functions_that_read_from_outside_are_found() -> None:
    found = parse_query("select * from read_csv('x.csv'), (select 1 from Read_Parquet('y')), range(3), glob('*')")
    assert [place.name for place in found.refused] == ["read_csv", "read_parquet", "glob"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a model is one SELECT; this file is empty"),
        ("-- nothing", "a model is one SELECT; this file is empty"),
        ("select 1; select 2", "a model is one SELECT; this file holds 2 statements"),
        ("create table x (y int)", "this is another kind of statement"),
        ("insert into x values (1)", "this is another kind of statement"),
        ("set threads = 1", "this is another kind of statement"),
        ("copy (select 1) to 'x.csv'", "this is another kind of statement"),
        ("attach 'x.db'", "this is another kind of statement"),
        ("pivot a on x", "FROM t PIVOT"),
    ],
)
def test_what_is_not_one_select_is_refused(text: str, message: str) -> None:
    with pytest.raises(ProjectError, match=message):
        parse_query(text)


def test_a_syntax_error_has_its_place() -> None:
    with pytest.raises(ProjectError, match='syntax error at or near "a"') as caught:
        parse_query("select 'é', 1\n  frm a, b")
    assert (caught.value.line, caught.value.column) == (2, 7)
