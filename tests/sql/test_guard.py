"""What SQL may call: every function of the installed engine is judged, and every way to call one is found."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import ProjectError
from headwater.postgres import find_scanner
from headwater.sql.functions import ALLOWED, REFUSED, ROWS, Why, why_refused
from headwater.sql.parse import parse_expression, parse_query
from headwater.sql.sealed import connect_sealed


@pytest.fixture(scope="module")
def functions() -> set[str]:
    """The names of all functions, macros and pragmas of the engine, with the extensions that the product loads."""
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(f"LOAD '{find_scanner()[0]}'")
        found = connection.execute("SELECT DISTINCT lower(function_name) FROM duckdb_functions()").fetchall()
    return {name for (name,) in found}


def test_every_function_of_the_engine_is_judged_once(functions: set[str]) -> None:
    judged = ALLOWED | set(REFUSED)
    assert len(functions) > 800
    assert functions - judged == set(), "a new function: put it on one of the two lists of sql/functions.py"
    assert ALLOWED & set(REFUSED) == set()
    assert Why.UNKNOWN not in REFUSED.values()


def test_no_table_function_may_be_called_but_those_that_make_rows(functions: set[str]) -> None:
    with duckdb.connect(config={"threads": 1}) as connection:
        query = "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type IN ('table', 'pragma')"
        found = {name for (name,) in connection.execute(query).fetchall()}
        query = "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type = 'table_macro'"
        macros = {name for (name,) in connection.execute(query).fetchall()}
    assert {name for name in found | macros if why_refused(name, in_from=True) is None} == ROWS


def test_nothing_that_is_allowed_has_side_effects(functions: set[str]) -> None:
    """A name that says that it reads, writes, sets, or asks the system is on the list on purpose only."""
    for word in (
        "read",
        "write",
        "scan",
        "copy",
        "setting",
        "env",
        "secret",
        "attach",
        "execute",
        "file",
        "log_",
        "pragma",
    ):
        assert {name for name in ALLOWED if word in name} <= HARMLESS.get(word, set()), word


HARMLESS: dict[str, set[str]] = {
    "file": {"parse_filename"},
    "read": {"formatreadablesize", "formatreadabledecimalsize"},
}

HOSTILE = {
    "in FROM": ("select * from read_csv('/etc/passwd')", "read_csv"),
    "FROM first": ("from read_text('/etc/passwd')", "read_text"),
    "FROM first, with SELECT": ("from read_text('x') select content", "read_text"),
    "in capitals": ("select * from READ_CSV('x')", "read_csv"),
    "a quoted name": ("select * from \"read_csv\"('x')", "read_csv"),
    "a quoted name in capitals": ("select * from \"Read_CSV\"('x')", "read_csv"),
    "of a schema": ("select * from main.read_text('x')", "read_text"),
    "of a catalogue": ("select * from system.main.read_blob('x')", "read_blob"),
    "of a quoted schema": ('select * from "system"."main"."read_blob"(\'x\')', "read_blob"),
    "of somebody's schema": ("select _hw.main.abs(1)", "abs"),
    "of a schema of a store": ("select _hw.m.lower('x')", "lower"),
    "in a comma list": ("select 1 from m.a, glob('*')", "glob"),
    "in a join": ("select 1 from m.a join glob('*') on true", "glob"),
    "in a positional join": ("select 1 from m.a positional join glob('*')", "glob"),
    "in an asof join's condition": ("select 1 from m.a asof join m.b on getenv('x') >= m.b.x", "getenv"),
    "lateral": ("select 1 from m.a, lateral (select * from read_csv(x))", "read_csv"),
    "in a subquery": ("select * from (select * from (from glob('*')))", "glob"),
    "in a scalar subquery": ("select (select content from read_text('x'))", "read_text"),
    "in EXISTS": ("select 1 where exists (from glob('*'))", "glob"),
    "in IN": ("select 1 where 'x' in (from glob('*'))", "glob"),
    "in ANY": ("select 1 where 'x' = any (from glob('*'))", "glob"),
    "in ARRAY": ("select array(select file from glob('*'))", "glob"),
    "in a CTE": ("with a as (from glob('*')) from a", "glob"),
    "in a CTE that nobody reads": ("with a as (from glob('*')) select 1", "glob"),
    "in a materialized CTE": ("with a as materialized (from glob('*')) select 1", "glob"),
    "in a CTE of a CTE": ("with a as (with b as (from glob('*')) from b) from a", "glob"),
    "in a recursive CTE": (
        "with recursive a as (select 1 as n union all select n + 1 from a, glob('*')) from a",
        "glob",
    ),
    "in a key of a recursive CTE": (
        "with recursive a(x) using key (x) as (select 1 union select x + getenv('n')::int from a) from a",
        "getenv",
    ),
    "in a set operation": ("select 1 union all (select 2 from glob('*'))", "glob"),
    "in the order of a set operation": (
        "select 1 as a union select 2 order by (select max(file) from glob('*'))",
        "glob",
    ),
    "in WHERE": ("select 1 where getenv('x') = '1'", "getenv"),
    "in GROUP BY": ("select 1 group by getenv('x')", "getenv"),
    "in HAVING": ("select count(*) having getenv('x') = '1'", "getenv"),
    "in QUALIFY": ("select 1 from m.a qualify row_number() over (order by getenv('x')) = 1", "getenv"),
    "in ORDER BY": ("select 1 order by getenv('x')", "getenv"),
    "in LIMIT": ("select 1 limit getenv('x')::int", "getenv"),
    "in OFFSET": ("select 1 offset getenv('x')::int", "getenv"),
    "in DISTINCT ON": ("select distinct on (getenv('x')) 1", "getenv"),
    "in a window": ("select sum(1) over (partition by getenv('x'))", "getenv"),
    "in a window's frame": ("select sum(1) over (rows between getenv('x')::int preceding and current row)", "getenv"),
    "in a named window": ("select sum(1) over w from m.a window w as (order by getenv('x'))", "getenv"),
    "in FILTER": ("select count(*) filter (where getenv('x') = '1')", "getenv"),
    "in the order of an aggregate": ("select list(x order by getenv('x')) from m.a", "getenv"),
    "in CASE": ("select case when true then getenv('x') end", "getenv"),
    "in ELSE": ("select case when true then 1 else getenv('x') end", "getenv"),
    "in COALESCE": ("select coalesce(null, getenv('x'))", "getenv"),
    "in TRY": ("select try(getenv('x'))", "getenv"),
    "in BETWEEN": ("select 1 between 0 and getenv('x')", "getenv"),
    "in a cast": ("select getenv('x')::blob", "getenv"),
    "in COLLATE": ("select getenv('x') collate nocase", "getenv"),
    "in a list": ("select [getenv('x')]", "getenv"),
    "in a struct": ("select {a: getenv('x')}", "getenv"),
    "in a map": ("select map {'a': getenv('x')}", "getenv"),
    "in a row": ("select (1, getenv('x'))", "getenv"),
    "in VALUES": ("values (getenv('x'))", "getenv"),
    "in VALUES of FROM": ("select * from (values (getenv('x'))) t(a)", "getenv"),
    "in a lambda": ("select list_transform(['x'], lambda n: getenv(n))", "getenv"),
    "in a list comprehension": ("select [getenv(n) for n in ['x']]", "getenv"),
    "in the filter of a comprehension": ("select [n for n in ['x'] if getenv(n) = '1']", "getenv"),
    "as a method": ("select ('x').getenv()", "getenv"),
    "as a method of a column": ("select x.getenv() from m.a", "getenv"),
    "as a method of a field": ("select s.x.getenv() from m.a", "getenv"),
    "a macro over a table in a text": ("from histogram('x.csv', a)", "histogram"),
    "another such macro": ("from histogram_values('x.csv', a)", "histogram_values"),
    "in a chain of methods": ("select ('x').upper().getenv().lower()", "getenv"),
    "in COLUMNS": ("select columns(c -> getenv(c) = '1') from m.a", "getenv"),
    "around COLUMNS": ("select getenv(columns(*)) from m.a", "getenv"),
    "in REPLACE": ("select * replace (getenv('x') as a) from m.a", "getenv"),
    "in an index": ("select 'abc'[getenv('x')::int]", "getenv"),
    "in a slice": ("select [1, 2][1:getenv('x')::int]", "getenv"),
    "in a sample": ("from m.a, (from glob('*') using sample 1)", "glob"),
    "in a pivot": ("from (from glob('*')) pivot (count(*) for file in ('a'))", "glob"),
    "in the aggregate of a pivot": ("from m.a pivot (max(getenv(x)) for y in (1))", "getenv"),
    "in an unpivot": ("from (from glob('*')) unpivot (v for n in (file))", "glob"),
    "in an argument": ("select * from range(getenv('x')::int)", "getenv"),
    "in a named argument": ("select * from unnest([1], max_depth := getenv('x')::int)", "getenv"),
    "in an argument's subquery": ("select * from range((select count(*) from glob('*')))", "glob"),
    "in SUMMARIZE": ("from (summarize from read_csv('x'))", "read_csv"),
    "in DESCRIBE": ("from (describe select * from read_csv('x'))", "read_csv"),
    "DESCRIBE at the top": ("describe select * from read_csv('x')", "read_csv"),
    "SUMMARIZE at the top": ("summarize select * from read_csv('x')", "read_csv"),
    "behind a comment": ("select /* x */ getenv /* y */ ('x')", "getenv"),
    "behind a line comment": ("select getenv -- x\n ('x')", "getenv"),
    "with blanks of Unicode": ("select\u00a0getenv\u2003('x')", "getenv"),
    "SQL in a text": ("from query('from glob(''*'')')", "query"),
    "a table's name in a text": ("from query_table('x.csv')", "query_table"),
    "a table's name in a list": ("from query_table(['a', 'b'], true)", "query_table"),
    "a tree that is executed": ("from json_execute_serialized_sql('{}')", "json_execute_serialized_sql"),
    "a text that is planned": ("select json_serialize_plan('from glob(''*'')')", "json_serialize_plan"),
    "settings": ("select current_setting('s3_secret_access_key')", "current_setting"),
    "all settings": ("from duckdb_settings()", "duckdb_settings"),
    "secrets": ("from duckdb_secrets()", "duckdb_secrets"),
    "which secret": ("from which_secret('s3://x', 's3')", "which_secret"),
    "variables, where keys of masks are": ("select getvariable('hw_mask_0_inner')", "getvariable"),
    "databases and their files": ("from duckdb_databases()", "duckdb_databases"),
    "extensions": ("from duckdb_extensions()", "duckdb_extensions"),
    "a file's metadata": ("from parquet_metadata('x')", "parquet_metadata"),
    "a file's keys": ("from parquet_kv_metadata('x')", "parquet_kv_metadata"),
    "another database": ("from read_duckdb('x.db', table_name := 't')", "read_duckdb"),
    "a server": ("from postgres_query('a', 'select 1')", "postgres_query"),
    "a server, scanned": ("from postgres_scan('a', 'b', 'c')", "postgres_scan"),
    "the log": ("from enable_logging()", "enable_logging"),
    "the log, written": ("select write_log('x')", "write_log"),
    "a checkpoint": ("from checkpoint()", "checkpoint"),
    "a forced checkpoint": ("from force_checkpoint()", "force_checkpoint"),
    "a sequence": ("select nextval('s')", "nextval"),
    "chance, set": ("select setseed(0.5)", "setseed"),
    "a pragma": ("from pragma_database_size()", "pragma_database_size"),
    "the query": ("select current_query()", "current_query"),
    "the files of a table": ("from pragma_storage_info('a')", "pragma_storage_info"),
    "a Python object": ("from arrow_scan(1, 2, 3)", "arrow_scan"),
    "one that is not there": ("select no_such_function(1)", "no_such_function"),
    "SHOW": ("from (show tables)", "SHOW"),
    "SHOW at the top": ("show tables", "SHOW"),
    "SHOW ALL": ("show all tables", "SHOW"),
    "SHOW DATABASES": ("from (show databases)", "SHOW"),
    "SHOW FROM": ("show tables from m", "SHOW"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_query_is_refused(case: str) -> None:
    query, name = HOSTILE[case]
    assert name in [refused.name for refused in parse_query(query).refused], parse_query(query)


STATEMENTS = [
    "copy (select 1) to 'x.csv'",
    "copy t from 'x.csv'",
    "attach 'x.db'",
    "attach 'x.db' as y (type sqlite)",
    "detach x",
    "install httpfs",
    "load 'x.duckdb_extension'",
    "force install httpfs from community",
    "set threads = 1",
    "set global threads = 1",
    "set variable x = 1",
    "reset threads",
    "pragma threads = 1",
    "pragma version",
    "pragma database_list",
    "call pragma_version()",
    "call checkpoint()",
    "call enable_logging()",
    "checkpoint",
    "force checkpoint",
    "export database 'x'",
    "import database 'x'",
    "create table x (a int)",
    "create view x as select 1",
    "create macro x(a) as a",
    "create or replace temp macro x() as table from glob('*')",
    "create sequence s",
    "create secret (type s3)",
    "drop secret x",
    "create type x as enum ('a')",
    "insert into t values (1)",
    "update t set a = 1",
    "delete from t",
    "truncate t",
    "drop table t",
    "alter table t add column a int",
    "begin",
    "commit",
    "rollback",
    "prepare x as select 1",
    "execute x",
    "execute x(1)",
    "deallocate x",
    "explain select 1",
    "explain analyze select 1",
    "vacuum",
    "analyze",
    "use x",
    "comment on table t is 'x'",
    "update extensions",
    "merge into t using u on true when matched then delete",
    "select 1; from glob('*')",
    "select 1; copy (select 1) to 'x'",
    "; ; select 1; set threads = 1",
    "pivot m.a on x",
    "with a as (insert into t values (1) returning *) from a",
    "select 1 into t",
    "",
    ";",
    "-- nothing",
]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_what_is_no_select_is_no_query(statement: str) -> None:
    with pytest.raises(ProjectError):
        parse_query(statement)


FILES = [
    "from 'x.csv'",
    "select * from '/etc/passwd'",
    'from "x.parquet"',
    "from 'a/*.json'",
    'from main."x.csv"',
    "table 'x.csv'",
    "describe 'x.csv'",
    "summarize 'x.csv'",
    "from (summarize 'x.csv')",
    'from (describe "x.csv")',
    "with a as (select 1) from 'x.csv', a",
    "from 'x.csv' pivot (count(*) for a in (1))",
    "from m.a semi join 'x.csv' using (a)",
    'with "x.csv" as (select 1) from (with b as (from main."x.csv") from b)',
    'with "x.csv" as (from "x.csv") from "x.csv"',
    "from duckdb_settings",
    "from information_schema.tables",
    "from pg_catalog.pg_class",
    "from sqlite_master",
    "from (values (1)) t, 'x.csv' as u",
    "select (from 'x.csv')",
    "from 'https://x.example/a.csv'",
    "from 's3://b/a.parquet'",
]


@pytest.mark.parametrize("query", FILES)
def test_a_file_or_a_catalogue_in_the_place_of_a_table_is_no_dataset(query: str) -> None:
    """It is told as a table that is read, which nothing declares."""
    assert [place.name for place in parse_query(query).tables if place.name != "m.a"], query


GOOD = [
    "select a + 1, -a, not b, a || 'x', a ~ 'x', a like 'x%', a ilike 'x', a similar to 'x', a glob 'x' from m.a",
    "select a is distinct from b, a in (1, 2), a between 1 and 2, a::int, try_cast(a as int), a % 2, a "
    "// 2, a ** 2 from m.a",
    "select sum(x) filter (where x > 1) over (partition by y order by z rows 1 preceding) from m.a",
    "select row_number() over (), lag(x) over w, first_value(x) over w, ntile(4) over w from m.a window "
    "w as (order by x)",
    "select list_transform([1], lambda x: x + 1), [x for x in [1, 2] if x > 1], list_filter([1], lambda x: x > 0)",
    "select {a: 1}.a, map {'a': 1}['a'], [1, 2][1], [1, 2][1:2], struct_pack(a := 1), array_value(1, 2)",
    "select json_extract(j, '$.a'), j -> 'a', j ->> 'a', to_json(x), json_array_length(j) from m.a",
    "select date_trunc('day', t), t + interval 1 day, extract(year from t), strftime(t, '%Y'), age(t), "
    "epoch(t) from m.a",
    "select t at time zone 'UTC', timezone('UTC', t), make_timestamptz(2024, 1, 1, 0, 0, 0.0) from m.a",
    "select count(*), count(distinct x), avg(x), median(x), quantile_cont(x, 0.5), mode(x), arg_max(x, y) from m.a",
    "select string_agg(x, ','), list(x order by y), histogram(x), approx_count_distinct(x), grouping(x) "
    "from m.a group by all",
    "select upper(x), substring(x, 1, 2), regexp_replace(x, 'a', 'b', 'g'), split_part(x, ',', 1), "
    "printf('%d', 1) from m.a",
    "select md5(x), sha256(x), hash(x), to_base64(x::blob), encode(x), base64('x'::blob), bar(1, 0, 2, 3) from m.a",
    "select now(), today(), current_date, current_timestamp, random(), uuid(), gen_random_uuid()",
    "select * exclude (a) replace (b + 1 as b), columns('x.*') from m.a",
    "from m.a pivot (sum(x) for y in (1, 2))",
    "from m.a unpivot (v for n in (x, y))",
    "from range(3)",
    "from generate_series(1, 2)",
    "select unnest([1, 2]), unnest({a: 1})",
    "from unnest([1, 2]) t(x)",
    "from m.a using sample 10%",
    "describe m.a",
    "summarize m.a",
    "select coalesce(a, b), nullif(a, b), ifnull(a, b), if(a, b, c), greatest(a, b), least(a, b), case a "
    "when 1 then 2 end from m.a",
    "select abs(x), round(x, 2), floor(x), sqrt(x), ln(x), pi(), pow(x, 2), sign(x), "
    "list_cosine_similarity([1.0], [2.0]) from m.a",
    "select x.upper(), s.y.lower(), x.list_transform(lambda n: n.abs()) from m.a",
    "from json_each('[1]')",
    "select error('no')",
    "select typeof(x), x is null, x collate nocase from m.a",
    "values (1), (2)",
    "select list_aggregate([1, 2], 'sum'), list_sort([2, 1]), list_reduce([1, 2], lambda a, b: a + b), "
    "range(3), len('x')",
    "with recursive t as (select 1 as n union all select n + 1 from t where n < 3) from t",
    "select parse_path('a/b'), parse_filename('a')",
    "select position('a' in x), trim(both 'a' from x), x[1], substring(x from 1 for 2) from m.a",
    "select rank() over (order by sum(x)) from m.a group by cube (y, z)",
    "select date '2024-01-01' - date '2023-01-01', date_diff('day', a, b) from m.a",
]


@pytest.mark.parametrize("query", GOOD)
def test_what_models_are_made_of_is_allowed(query: str) -> None:
    assert parse_query(query).refused == ()


def test_a_refusal_has_its_place_and_its_reason() -> None:
    (found,) = parse_query("select 'é',\n  getenv('x')").refused
    assert (found.name, found.line, found.column, found.why) == ("getenv", 2, 3, Why.TELLS)
    (found,) = parse_query("select 1\nfrom a,\n  read_csv('x')").refused
    assert (found.line, found.column, found.why) == (3, 3, Why.READS)


def test_a_function_that_is_misspelled_has_its_neighbour_told() -> None:
    (found,) = parse_query("select lenght('x')").refused
    assert str(found.error()) == "lenght() is nothing that a query may ask for\n  fix: did you mean length()?"


@given(st.text(st.sampled_from("abcdefghijklmnopqrstuvwxyz_0123456789"), min_size=1, max_size=20))
def test_what_is_on_no_list_is_refused(name: str) -> None:
    assert (why_refused(name) is None) == (name in ALLOWED)


# ------------------------------------------------------------------------------------------------------- expressions


@pytest.mark.parametrize(
    "text", ["a > 1", "a -- more", "(select max(x) from unnest(l) t(x))", "a = 'x;--'", "a\n", "exists (values (1))"]
)
def test_an_expression(text: str) -> None:
    parsed = parse_expression(text)
    assert (parsed.refused, parsed.tables) == ((), ())


@pytest.mark.parametrize("text", ["a", "a desc nulls last, b", "lower(a), -b"])
def test_an_order(text: str) -> None:
    assert parse_expression(text, order=True).refused == ()


@pytest.mark.parametrize(
    "text",
    [
        "1) as x, (2",
        "1) from t --",
        "1 from t",
        "1, 2",
        "1 as x from read_csv('x')",
        "1 union select 2",
        "1 order by 2",
        "distinct 1",
        "1 limit 1",
        "1 where true",
        "1 group by 1",
        "1; drop table t",
        "1; --",
        "",
        "--",
        "1 /*",
        "$$ 1",
        "'1",
        "1) or (1",
        "1 having true",
        "1 qualify true",
        "1 using sample 1",
        "*) from (select 1",
    ],
)
def test_what_is_more_than_an_expression_is_none(text: str) -> None:
    with pytest.raises(ProjectError):
        parse_expression(text)


@pytest.mark.parametrize(
    "text", ["a) over (order by b", "a limit 1", "a) from t --", "", "a; select 1", "a union select 1"]
)
def test_what_is_more_than_an_order_is_none(text: str) -> None:
    with pytest.raises(ProjectError):
        parse_expression(text, order=True)


@pytest.mark.parametrize(
    "text", ["getenv('x') = 'y'", "(from glob('*')) is null", "getvariable('hw_mask_0_inner') is null"]
)
def test_an_expression_calls_what_a_query_may(text: str) -> None:
    assert parse_expression(text).refused != ()


@pytest.mark.parametrize(
    "text", ["a in (from 'x.csv')", "(select count(*) from m.a) > 1", "exists (from duckdb_settings)"]
)
def test_an_expression_that_reads_says_what(text: str) -> None:
    assert parse_expression(text).tables != ()


@pytest.mark.parametrize(
    "deep", ["(+" * 3000 + "1" + ")" * 3000, "+1" * 20000, "not " * 5000 + "true", "[" * 2000 + "]" * 2000]
)
def test_what_is_nested_too_deeply_is_told(deep: str) -> None:
    with pytest.raises(ProjectError):
        parse_query(f"select {deep}")
    with pytest.raises(ProjectError):
        parse_expression(deep)


# ------------------------------------------------------------------------------------------------------------ sealed


@pytest.mark.parametrize(
    "statement",
    [
        "from read_text('/etc/hostname')",
        "from glob('/*')",
        "from '/etc/passwd'",
        "attach '/tmp/sealed-x.db'",
        "copy (select 1) to '/tmp/sealed-x.csv'",
        "load parquet_x",
        "install httpfs",
        "set threads = 2",
        "set enable_external_access = true",
        "set lock_configuration = false",
        "reset threads",
        "export database '/tmp/sealed-x'",
    ],
)
def test_a_sealed_database_reaches_nothing(statement: str) -> None:
    with connect_sealed() as connection, pytest.raises(duckdb.Error):
        connection.execute(statement)


def test_a_sealed_database_computes_in_utc() -> None:
    with connect_sealed() as connection:
        assert connection.execute(
            "select current_setting('TimeZone'), date_trunc('day', timestamptz '2024-01-01 23:00:00Z')::varchar"
        ).fetchone() == ("UTC", "2024-01-01 00:00:00+00")
