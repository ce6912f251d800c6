"""What was known at the time, against a slow reference: for every row, every feature row is looked at."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.consumption.ml.point_in_time import feature_key, point_in_time, score_spine, training_spine
from headwater.consumption.ml.spec import LearnedModelSpec
from headwater.consumption.ml.ties import find_ties
from headwater.core.commit import Column
from headwater.core.fragments import SelectSql
from headwater.sql.binding import Binder
from headwater.sql.lineage_walk import trace_columns

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.consumption.learning import Learning

BASE = datetime(2024, 1, 1)
Row = tuple[Any, ...]

MOMENTS = st.one_of(st.none(), st.integers(-3, 3).map(lambda n: BASE + timedelta(microseconds=n)))
FAR = st.one_of(
    st.none(), st.sampled_from([BASE + timedelta(days=n, microseconds=m) for n in range(4) for m in (0, 1)])
)
KEYS = st.sampled_from([None, 1, 2])
VALUES = st.one_of(st.none(), st.integers(-2, 2))
TEXTS = st.sampled_from([None, "", "a", "B", "ä"])


def spec(**feature: Any) -> LearnedModelSpec:
    declared = {"from": "m.f", "columns": ["x", "w"], "available": "known"} | feature
    return LearnedModelSpec.model_validate(
        {
            "spine": {"from": "m.s", "key": "id", "time": "at", "label": "label"},
            "features": [declared],
            "train": "learn.py:train",
        }
    )


@cache
def database() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'; SET threads = 2; CREATE SCHEMA m")
    return connection


def connect(spine: list[Row], feature: list[Row], time: str = "TIMESTAMP", known: str = "TIMESTAMP") -> Any:
    connection = database()
    connection.execute(
        f'CREATE OR REPLACE TABLE m.s (id INTEGER, "at" {time}, label INTEGER);'
        f"CREATE OR REPLACE TABLE m.f (id INTEGER, known {known}, x INTEGER, w VARCHAR)"
    )
    for table, rows in (("m.s", spine), ("m.f", feature)):
        if rows:
            row = f"({', '.join('?' * len(rows[0]))})"
            values = [value for one in rows for value in one]
            connection.execute(f"INSERT INTO {table} VALUES {', '.join([row] * len(rows))}", values)
    return connection


def lowest_null(values: Row) -> list[tuple[bool, Any]]:
    """The order of one time: NULL is the lowest; texts by their bytes."""
    return [(v is not None, v.encode() if isinstance(v, str) else 0 if v is None else v) for v in values]


def reference(spine: list[Row], feature: list[Row], max_age: timedelta | None = None) -> list[Row]:
    told = []
    for key, time, label in spine:
        known = [
            row for row in feature
            if None not in (key, time, row[0], row[1]) and row[0] == key and row[1] <= time
        ]  # fmt: skip
        best = max(known, key=lambda row: (row[1], lowest_null(row[2:])), default=None)
        if best is None or (max_age is not None and best[1] < time - max_age):
            best = (None,) * 4
        told.append((key, time, *best[2:], label))
    return sorted(told, key=repr)


def queries(made: LearnedModelSpec, connection: Any) -> list[SelectSql]:
    """The query as it is bound, and as it is when the ties are known."""
    columns = [*feature_key(made, made.features[0]).values(), made.features[0].available]
    spine = training_spine(made)
    ties = find_ties(connection, "m.f", columns, rows_at_once=3)
    return [point_in_time(made, spine), point_in_time(made, spine, [ties])]


@settings(max_examples=150, deadline=None)
@given(
    spine=st.lists(st.tuples(KEYS, MOMENTS, VALUES), max_size=12),
    feature=st.lists(st.tuples(KEYS, MOMENTS, VALUES, TEXTS), max_size=14),
    age=st.sampled_from([None, 1, 2]),
)
def test_every_row_gets_what_was_known(spine: list[Row], feature: list[Row], age: int | None) -> None:
    """Ties, NULL keys, NULL times and duplicates, one microsecond apart."""
    max_age = None if age is None else timedelta(microseconds=age)
    made = spec(**({} if max_age is None else {"max_age": max_age}))
    connection = connect(spine, feature)
    for query in queries(made, connection):
        assert sorted(connection.execute(query).fetchall(), key=repr) == reference(spine, feature, max_age)


@settings(max_examples=40, deadline=None)
@given(
    spine=st.lists(st.tuples(KEYS, FAR, VALUES), min_size=70, max_size=90),
    feature=st.lists(st.tuples(KEYS, FAR, VALUES, TEXTS), min_size=1, max_size=90),
    order=st.randoms(use_true_random=False),
)
def test_the_order_of_the_rows_changes_nothing(spine: list[Row], feature: list[Row], order: Any) -> None:
    """More rows than those DuckDB joins in loops; the same rows in another order."""
    made = spec(max_age="2d")
    expected = reference(spine, feature, timedelta(days=2))
    for _ in range(2):
        connection = connect(spine, feature)
        for query in queries(made, connection):
            assert sorted(connection.execute(query).fetchall(), key=repr) == expected
        order.shuffle(spine)
        order.shuffle(feature)


ZONED: dict[str, Callable[[datetime], Any]] = {
    "TIMESTAMP": lambda moment: moment,
    "TIMESTAMP_MS": lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000),
    "TIMESTAMP_S": lambda moment: moment.replace(microsecond=0),
    "DATE": lambda moment: moment.date(),
    "TIMESTAMPTZ": lambda moment: moment.replace(tzinfo=UTC),
}


@pytest.mark.parametrize(
    ("time", "known"),
    [
        ("DATE", "DATE"), ("DATE", "TIMESTAMP"), ("TIMESTAMPTZ", "TIMESTAMPTZ"), ("TIMESTAMP", "TIMESTAMP_MS"),
        ("TIMESTAMP_S", "TIMESTAMP"), ("DATE", "TIMESTAMP_S"),
    ],
)  # fmt: skip
@settings(max_examples=25, deadline=None)
@given(
    spine=st.lists(st.tuples(KEYS, FAR, VALUES), max_size=10),
    feature=st.lists(st.tuples(KEYS, FAR, VALUES, TEXTS), max_size=10),
)
def test_times_of_the_types_that_are_let_through(time: str, known: str, spine: list[Row], feature: list[Row]) -> None:
    def of(row: Row, kind: str) -> Row:
        return row[0], None if row[1] is None else ZONED[kind](row[1]), *row[2:]

    def moments(row: Row) -> Row:
        at = row[1]
        if type(at) is date:
            at = datetime(at.year, at.month, at.day)
        return row[0], at and at.replace(tzinfo=None), *row[2:]

    typed = [of(row, time) for row in spine], [of(row, known) for row in feature]
    connection = connect(*typed, time, known)
    expected = reference([moments(row) for row in typed[0]], [moments(row) for row in typed[1]], timedelta(days=1))
    for query in queries(spec(max_age="1d"), connection):
        rows = connection.execute(f'SELECT * REPLACE ("at"::TIMESTAMP AS "at") FROM ({query})').fetchall()
        assert sorted(rows, key=repr) == expected


def test_a_microsecond_later_is_not_known() -> None:
    at = BASE
    later = [(1, at + timedelta(microseconds=1), 7, "later")]
    connection = connect([(1, at, 0)], later)
    for query in queries(spec(), connection):
        assert connection.execute(query).fetchall() == [(1, at, None, None, 0)]
    connection = connect([(1, at, 0)], [*later, (1, at, 6, "now")])
    for query in queries(spec(), connection):
        assert connection.execute(query).fetchall() == [(1, at, 6, "now", 0)]


def test_the_ends_of_time() -> None:
    connection = connect([(1, BASE, 0)], [])
    connection.execute(
        "INSERT INTO m.s VALUES (1, 'infinity', 1), (1, '-infinity', 2);"
        "INSERT INTO m.f VALUES (1, '-infinity', 1, 'first'), (1, 'infinity', 2, 'last')"
    )
    for query in queries(spec(), connection):
        rows = connection.execute(f"SELECT label, w FROM ({query}) ORDER BY label").fetchall()
        assert rows == [(0, "first"), (1, "last"), (2, "first")]
    for query in queries(spec(max_age="1d"), connection):
        rows = connection.execute(f"SELECT label, w FROM ({query}) ORDER BY label").fetchall()
        assert rows == [(0, None), (1, "last"), (2, "first")]


def test_renamed_columns_other_keys_and_two_features() -> None:
    made = LearnedModelSpec.model_validate(
        {
            "spine": {"from": "m.s", "key": ["id", "at"], "time": "at_2", "label": "label"},
            "features": [
                {"from": "m.f", "columns": {"last_x": "x", "again": "x"}, "available": "known", "key": "id"},
                {"from": "m.g", "columns": "z", "available": "from day", "key": {"id": "number", "kind": "k"}},
            ],
            "train": "learn.py:train",
            "score": {"rows": "m.n", "into": "lake", "key": ["who", "when"], "time": "now"},
        }
    )
    connection = duckdb.connect()
    connection.execute(
        """
        CREATE SCHEMA m;
        CREATE TABLE m.s AS SELECT 1 AS id, 'a' AS "at", timestamp '2024-01-02' AS at_2, true AS label, 'q' AS kind;
        CREATE TABLE m.f AS SELECT 1 AS id, timestamp '2024-01-01' AS known, 5 AS x
          UNION ALL SELECT 1, timestamp '2024-01-01', 6;
        CREATE TABLE m.g AS SELECT 1 AS number, 'q' AS k, timestamp '2024-01-01' AS "from day", 2.5 AS z;
        CREATE TABLE m.n AS SELECT 1 AS who, 'b' AS "when", timestamp '2023-01-02' AS now, 'q' AS kind;
        """
    )
    rows = connection.execute(point_in_time(made, training_spine(made)))
    assert [column[0] for column in rows.description or []] == ["id", "at", "at_2", "last_x", "again", "z", "label"]
    assert rows.fetchall()[0][3:] == (6, 6, 2.5, True)
    spine = score_spine(made)
    assert spine is not None
    # the spine's key is called by its own names there, and found by the names it has among the rows
    scored = connection.execute(point_in_time(made, spine))
    assert [column[0] for column in scored.description or []] == ["id", "at", "at_2", "last_x", "again", "z"]
    assert scored.fetchall()[0][3:] == (None, None, None)


def test_no_tie_costs_nothing_and_many_are_not_listed(learning: Learning) -> None:
    model = learning.model()
    assert "QUALIFY" not in model.fastest(learning.connection, "training")
    learning.connection.execute("INSERT INTO m.feature SELECT * FROM m.feature LIMIT 3")
    few = model.fastest(learning.connection, "training")
    assert "highest_1" in few
    learning.connection.execute(
        "INSERT INTO m.feature SELECT i, timestamp '2020-01-01', 1, 2 FROM range(1500) AS t(i), range(2)"
    )
    many = model.fastest(learning.connection, "training")
    assert many == model.queries()[0].sql
    rows = learning.connection.execute(f"SELECT * FROM ({many}) ORDER BY ALL").fetchall()
    assert rows == learning.connection.execute(f"SELECT * FROM ({few}) ORDER BY ALL").fetchall()


def test_a_null_is_no_tie() -> None:
    connection = connect([], [(None, BASE, 1, "a"), (None, BASE, 2, "b"), (1, None, 1, "a"), (1, None, 2, "b")])
    assert find_ties(connection, "m.f", ["id", "known"]) == ()


def test_the_query_is_bound_and_traced_by_column() -> None:
    binder = Binder()
    schema = {
        "m.s": [("id", "INTEGER"), ("at", "TIMESTAMP"), ("label", "INTEGER")],
        "m.f": [("id", "INTEGER"), ("known", "TIMESTAMP"), ("x", "INTEGER"), ("w", "VARCHAR")],
    }
    for dataset, columns in schema.items():
        binder.add(dataset, [Column(*column) for column in columns])
    made = spec(max_age="1d")
    query = point_in_time(made, training_spine(made))
    names = [column.name for column in binder.bind(query)]
    assert names == ["id", "at", "x", "w", "label"]
    binder.close()
    typed = {dataset: [Column(*column) for column in columns] for dataset, columns in schema.items()}
    for ties in (None, [()], [(1, 2)]):
        lineage = trace_columns(point_in_time(made, training_spine(made), ties), typed, names)
        assert not lineage.unknown
        traced = {column.name: set(column.leaves) for column in lineage.columns}
        assert {name: [leaf for leaf in leaves if leaf[1] == name] for name, leaves in traced.items()} == {
            "id": [("m.s", "id")], "at": [("m.s", "at")], "x": [("m.f", "x")], "w": [("m.f", "w")],
            "label": [("m.s", "label")],
        }  # fmt: skip
