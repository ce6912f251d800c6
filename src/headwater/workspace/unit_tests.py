"""Unit tests of tests/*.yaml: given rows, the model's query, expected rows. No store is touched."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from headwater.core.fragments import SelectSql, quote_identifier, quote_text
from headwater.core.near import suggest
from headwater.core.project import Model, SourceTable
from headwater.core.values import resolve_scalar
from headwater.errors import HeadwaterError, PlanError, ProjectError
from headwater.plan.bind import source_schema
from headwater.plan.intervals import parse_moment
from headwater.plan.planning import Observed
from headwater.run.boundary import call_user_model
from headwater.sql.binding import describe_query, explain_error
from headwater.sql.catalogs import Catalogs, quote_place
from headwater.sql.exact import exact_text
from headwater.sql.placeholders import fill_clock
from headwater.sql.sealed import connect_sealed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from duckdb import DuckDBPyConnection

    from headwater.core.commit import Column
    from headwater.core.names import TablePlace
    from headwater.core.project import Project, UnitTest

_PROBE_LIMIT = 20


@dataclass(frozen=True, slots=True)
class UnitTestResult:
    """One unit test's outcome; `missing` and `unexpected` rows as text, `error` when the query did not run."""

    name: str
    passed: bool
    location: str
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    error: str = ""


def run_unit_tests(project: Project, names: Sequence[str] = ()) -> list[UnitTestResult]:
    """Run the named tests (by file or model), or all.

    A given row needs only the columns the model uses; columns take the types that are known of the dataset, else
    those of the values. Expected rows are compared on the columns they name, as a multiset.

    Raises:
        PlanError: No test has one of the names, and none is about a model of that name.
    """
    known = {name for test in project.tests for name in (test.name, test.spec.model)}
    for name in names:
        if name not in known:
            what = f"no unit test is about {name}" if name in project.datasets else f"no unit test is named {name!r}"
            raise PlanError(what, fix=suggest(name, known) if known else "write one in tests/")
    chosen = [test for test in project.tests if not names or test.name in names or test.spec.model in names]
    return [_run(project, test) for test in chosen]


def _run(project: Project, test: UnitTest) -> UnitTestResult:
    import duckdb

    model = project.declared(Model)[test.spec.model]
    connection = _connect(model)
    given = _Given(project, connection, Catalogs(project.domains, project.root_ports))
    place = str(test.location)
    try:
        given.catalogs.attach(connection)
        given.give_inputs(model, test)
        given.catalogs.use(connection, model.domain)
        query, alive = _query(connection, project, model, test)
        missing, unexpected = _compare(connection, query, test.spec.expect)
        del alive
    except duckdb.Error as error:
        return UnitTestResult(test.name, False, place, error=str(explain_error(str(error))))
    except HeadwaterError as error:
        return UnitTestResult(test.name, False, place, error=str(error))
    finally:
        connection.close()
    return UnitTestResult(test.name, not (missing or unexpected), place, tuple(missing), tuple(unexpected))


def _connect(model: Model) -> DuckDBPyConnection:
    """Return an empty database: SQL reaches nothing beside the given rows, Python is its author's own."""
    import duckdb

    if model.language != "python":
        return connect_sealed()
    connection = duckdb.connect(config={"threads": 1, "autoinstall_known_extensions": False})
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def _types(project: Project, dataset: str) -> dict[str, str]:
    """Return the types that are declared: of a source's table as it lands, of a model as its header says."""
    if project.datasets[dataset].is_loaded:
        table = project.declared(SourceTable)[dataset]
        return {column.name: column.type for column in source_schema(table, Observed()) or ()}
    return {name: type_text for name, type_text in project.datasets[dataset].columns.items() if type_text}


@dataclass(frozen=True, slots=True)
class _Given:
    """What a test gives, as tables and views of an empty database."""

    project: Project
    connection: DuckDBPyConnection
    catalogs: Catalogs

    def give_inputs(self, model: Model, test: UnitTest) -> None:
        """Make what a model reads: given rows, or a view over what is given for what the view reads."""
        for name in model.inputs:
            view = self.project.view(name)
            if name in test.spec.given or view is None:
                self._give(name, test.spec.given.get(name, []), _types(self.project, name))
                continue
            self.give_inputs(view, test)
            self._make(name, "VIEW", f"AS {fill_clock(view.text, _clock(test))}")

    def _give(self, dataset: str, rows: Sequence[Mapping[str, Any]], types: dict[str, str]) -> None:
        """Make a dataset of rows; without rows it has the known columns, or none that is known: an error says so."""
        names = list(dict.fromkeys([*types, *(name for row in rows for name in row)]))
        if not names:
            raise ProjectError(
                f"nothing is given for {dataset}, and its columns are not declared",
                fix=f"give it rows: {dataset}: [{{…}}]",
            )
        kinds = {name: types.get(name) or _infer(rows, name) for name in names}
        parts = ", ".join(f"{quote_identifier(name)} {kind}" for name, kind in kinds.items())
        for place in self._make(dataset, "TABLE", f"({parts})"):
            for row in rows:
                values = ", ".join(_exactly(row.get(name), kinds[name], f"{dataset}.{name}") for name in names)
                self.connection.execute(f"INSERT INTO {quote_place(place)} VALUES ({values})")

    def _make(self, dataset: str, what: str, how: str) -> tuple[TablePlace, ...]:
        places = self.catalogs.places(dataset)
        for place in places:
            self.catalogs.make_schema(self.connection, place)
            self.connection.execute(f"CREATE OR REPLACE {what} {quote_place(place)} {how}")
        return places


def _infer(rows: Sequence[Mapping[str, Any]], name: str) -> str:
    """Return the type that the given values look like: boolean, bigint, decimal, date, timestamp or text."""
    values = [row[name] for row in rows if row.get(name) is not None]
    resolved = [resolve_scalar(value) for value in values]
    if all(isinstance(value, bool) for value in resolved):
        return "BOOLEAN" if resolved else "VARCHAR"
    if all(isinstance(value, int) and not isinstance(value, bool) for value in resolved):
        return "BIGINT"
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in resolved):
        places = max(len(str(value).partition(".")[2]) for value in values)
        plain = all("e" not in str(value).lower() for value in values)
        return f"DECIMAL(38,{places})" if plain and places <= 18 else "DOUBLE"
    texts = [str(value) for value in values]
    for kind in ("DATE", "TIMESTAMPTZ", "TIMESTAMP"):
        if all(_looks_like(text, kind) for text in texts):
            return kind
    return "VARCHAR"


def _looks_like(text: str, kind: str) -> bool:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return False
    if kind == "DATE":
        return len(text) == len("2024-01-01")
    return (moment.tzinfo is not None) == (kind == "TIMESTAMPTZ")


def _clock(test: UnitTest) -> datetime:
    return parse_moment(test.spec.now or "2000-01-01").replace(tzinfo=UTC)


def _query(connection: DuckDBPyConnection, project: Project, model: Model, test: UnitTest) -> tuple[SelectSql, Any]:
    if model.language == "python":
        return call_user_model(model, project, connection)
    span = test.spec.interval
    interval = (parse_moment(span[0]), parse_moment(span[1])) if span else None
    return fill_clock(model.text, _clock(test), interval), None


def _compare(
    connection: DuckDBPyConnection, query: SelectSql, expected: Sequence[Mapping[str, Any]]
) -> tuple[list[str], list[str]]:
    """Return (missing, unexpected) rows as text; expected values take the types of the query's columns."""
    columns = describe_query(connection, query)
    names = list(dict.fromkeys(name for row in expected for name in row)) or [column.name for column in columns]
    kinds = {column.name: column.type for column in columns}
    for name in names:
        if name not in kinds:
            raise ProjectError(f"the model gives no column {name!r}", fix=f"it gives: {', '.join(kinds)}")
    listed = ", ".join(quote_identifier(name) for name in names)
    connection.execute(f"CREATE TEMP TABLE _got AS SELECT {listed} FROM (\n{query}\n)")
    connection.execute(f"CREATE TEMP TABLE _want AS SELECT {_cast(columns, names)} WHERE FALSE")
    for row in expected:
        values = ", ".join(_exactly(row.get(name), kinds[name], name) for name in names)
        connection.execute(f"INSERT INTO _want VALUES ({values})")
    return _difference(connection, "_want", "_got"), _difference(connection, "_got", "_want")


def _cast(columns: Sequence[Column], names: Sequence[str]) -> str:
    kinds = {column.name: column.type for column in columns}
    return ", ".join(f"CAST(NULL AS {kinds[name]}) AS {quote_identifier(name)}" for name in names)


def _exactly(value: Any, kind: str, column: str) -> str:
    """Return a value of a test as SQL of a column's type, which has to hold it exactly."""
    if value is None:
        return "NULL"
    if (text := exact_text(str(value), kind)) is None:
        raise ProjectError(
            f"{value} is no {kind}, which column {column} is", fix="write a value that the column can have"
        )
    return f"CAST({quote_text(text)} AS {kind})"


def _difference(connection: DuckDBPyConnection, one: str, other: str) -> list[str]:
    rows = f"SELECT * FROM {one} EXCEPT ALL SELECT * FROM {other} LIMIT {_PROBE_LIMIT}"
    found = connection.execute(f"SELECT COLUMNS(*)::VARCHAR FROM ({rows})")
    names = [column[0] for column in found.description or ()]
    return [", ".join(f"{n}: {v}" for n, v in zip(names, row, strict=True)) for row in found.fetchall()]
