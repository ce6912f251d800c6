"""One SELECT over the project's datasets by name, whichever store they are in."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from headwater.contracts import NO_REJECTS
from headwater.core.fragments import SelectSql, quote_identifier, quote_text
from headwater.core.names import flat_name
from headwater.core.near import suggest
from headwater.core.secrets import redact
from headwater.errors import BusyError, HeadwaterError, ProjectError, StateError
from headwater.processing.duckdb.session import WHOLE
from headwater.run.damage import find_damage
from headwater.run.rejected import failed_rejects_file, read_rejects
from headwater.sql.binding import explain_error
from headwater.sql.parse import fold_name, parse_query
from headwater.sql.spelling import as_held, as_json, as_text
from headwater.sql.tokens import drop_semicolons

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from duckdb import DuckDBPyConnection
    from duckdb.sqltypes import DuckDBPyType

    from headwater.core.commit import TableState
    from headwater.core.dataset import Dataset
    from headwater.core.project import Project
    from headwater.run.catalogue import Catalogue
    from headwater.sql.parse import Parsed


FORMS = ("arrow", "parquet", "text", "json")
"""What a value of an answer is: what Arrow, or Parquet, holds; its text; its JSON."""


ANSWER_ROWS = 122_880
"""Rows of a batch of an answer."""


class AnswerEndedError(BusyError):
    """Who was answering has ended, or broken it off."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The rows of a query as they come: an Arrow schema, and batches that can be taken once.

    Taking a batch raises ProjectError when the query fails, BusyError when who answers has ended.
    """

    schema: Any
    batches: Iterator[Any]

    def table(self) -> Any:
        """Take all rows as an Arrow table."""
        import pyarrow as pa

        return pa.Table.from_batches(self.batches, self.schema)


def run_query(catalogue: Catalogue, connection: DuckDBPyConnection, sql: str, form: str = "arrow") -> Answer:
    """Run the query; columns of one name are told apart as DuckDB does (`a`, `a_1`).

    Args:
        catalogue: What is known of the stores.
        connection: A connection to the catalogue's session; it stays open until the rows are taken.
        sql: One SELECT.
        form: One of `FORMS`.

    Raises:
        ProjectError: It is not one SELECT, it reads what is not declared, or it does not bind.
    """
    import duckdb

    parsed = parse_query(sql)
    if parsed.refused:
        raise parsed.refused[0].error()
    shown: list[str] = []
    try:
        for place in parsed.tables:
            shown += _show(catalogue, place.name)
        query = _spell(connection, drop_semicolons(_name_whole_tables(_name_catalogs(sql, parsed, catalogue))), form)
        reader = connection.sql(query).to_arrow_reader(ANSWER_ROWS)
    except duckdb.Error as error:
        raise _explain(error, shown, catalogue) from None
    return Answer(reader.schema, _batches(reader, shown, catalogue))


def _explain(error: Exception, shown: list[str], catalogue: Catalogue) -> HeadwaterError:
    """Say what is wrong: data of a table that cannot be read, or else the query; nothing is, when it was broken off."""
    if str(error).startswith("INTERRUPT"):  # what comes through Arrow has lost its type
        return ProjectError("the query was broken off", fix="ask again")
    return find_damage(error, shown, catalogue) or explain_error(redact(str(error), catalogue.project.secrets))


def _batches(reader: Any, shown: list[str], catalogue: Catalogue) -> Iterator[Any]:
    """Yield batches; DuckDB's errors come through Arrow, as errors of a stream."""
    while True:
        try:
            batch = reader.read_next_batch()
        except StopIteration:
            return
        except OSError as error:
            raise _explain(error, shown, catalogue) from None
        yield batch


def _spell(connection: DuckDBPyConnection, query: str, form: str) -> str:
    """Return the query with its values in a form, computed by DuckDB: Arrow and Python hold fewer types."""
    told = connection.sql(f"SELECT * FROM (\n{query}\n)")
    places = [f"c{at}" for at in range(len(told.columns))]
    spelled = [_SPELLINGS[form](place, type_) for place, type_ in zip(places, told.types, strict=True)]
    parts = [f"{value} AS {quote_identifier(name)}" for value, name in zip(spelled, told.columns, strict=True)]
    return f"SELECT {', '.join(parts)} FROM (\n{query}\n) AS answer({', '.join(places)})"


_SPELLINGS: dict[str, Callable[[str, DuckDBPyType], str]] = {
    "arrow": as_held,
    "parquet": partial(as_held, parquet=True),
    "text": as_text,
    "json": as_json,
}


def _name_catalogs(sql: str, parsed: Parsed, catalogue: Catalogue) -> str:
    """Write the domains' catalogues by the names that they have in a session of its own."""
    catalogs = catalogue.session.catalogs
    domains = {fold_name(domain): domain for domain in catalogs.domains if catalogs.prefix}
    for offset, head in reversed(parsed.heads):
        if (domain := domains.get(fold_name(head))) is not None:
            quoted = sql.startswith('"', offset)
            rest = offset + len(head) + (2 if quoted else 0)
            sql = f"{sql[:offset]}{quote_identifier(catalogs.catalog_of(domain))}{sql[rest:]}"
    return sql


def _name_whole_tables(sql: str) -> str:
    """Write `system.` as the schema that stands behind it, at its token."""
    import duckdb

    raw = sql.encode()
    starts = [offset for offset, _ in duckdb.tokenize(sql)]
    pieces, last = [], 0
    for start, following in pairwise(starts):
        if re.fullmatch(rb'system|"system"', raw[start:following].strip(), re.IGNORECASE) and raw[following] == ord(
            "."
        ):
            pieces += [raw[last:start], WHOLE.encode()]
            last = following
    return b"".join([*pieces, raw[last:]]).decode()


def _show(catalogue: Catalogue, written: str) -> list[str]:
    """Make a dataset, `system.<source>__<table>` or `quarantine.<source>__<table>` visible; return what is read."""
    namespace, _, table = fold_name(written).partition(".")
    whole = namespace in ("system", "quarantine")
    project = catalogue.project
    loaded = [name for name, found in project.datasets.items() if found.is_loaded]
    stored = (name for name, state in catalogue.states.items() if state.columns or state.foreign)
    names = loaded if whole else [*project.datasets, *(name for name in stored if name not in project.consumers)]
    wanted = table if whole else fold_name(written)
    dataset = next((n for n in names if fold_name(flat_name(n) if whole else n) == wanted), None)
    if dataset is None and (maker := project.consumers.get(written)) is not None:
        raise ProjectError(f"{written} makes files and holds no rows", fix=f"query what it reads: {_listed(maker)}")
    if dataset is None:
        known = [f"{namespace}.{flat_name(name)}" for name in names] if whole else names
        raise ProjectError(f"no dataset is named {written}", fix=suggest(written, known))
    read = list(project.physical_inputs(dataset)) if project.view(dataset) else [dataset]
    for name in read:
        state = catalogue.states.get(name)
        if state is not None and state.is_lost:
            raise StateError(state.foreign, fix=state.way_out)
        if state is None or state.commit is None:
            raise ProjectError(f"{name} holds nothing yet", fix="headwater run")
        if namespace == "quarantine" and not state.rejects:
            catalogue.states[name] = replace(state, rejects=NO_REJECTS)
    catalogue.show(dataset)
    return read


def _listed(dataset: Dataset) -> str:
    return ", ".join(dataset.inputs)


def find_rejects(project: Project, dataset: str, query: Callable[[str], Any]) -> tuple[Any, bool]:
    """Return the rejects of a dataset, and whether they are those of a load, or a check, that failed."""
    declared = project.datasets.get(dataset)
    if declared is not None and (file := failed_rejects_file(project, dataset)).exists():
        return read_rejects(file), True
    if declared is not None and not declared.is_loaded:
        return query(NO_REJECTS), False
    return query(f"SELECT * FROM quarantine.{quote_identifier(flat_name(dataset))}"), False


def count_rejects(project: Project, states: Mapping[str, TableState]) -> SelectSql:
    """Return a SELECT of (name, held): the rows in the quarantine of every source's table that has one; "" for none."""
    there = (name for name in project.datasets if name in states and not states[name].is_lost)
    return SelectSql(
        " UNION ALL ".join(
            f"SELECT {quote_text(name)} AS name, count(*) AS held FROM quarantine.{quote_identifier(flat_name(name))}"
            for name in there
            if states[name].rejects
        )
    )
