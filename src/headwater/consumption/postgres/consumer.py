"""Datasets as tables of a PostgreSQL database, for Power BI, Tableau and any other client."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

from pydantic import AfterValidator, Field

from headwater.consumption.postgres.columns import MAX_NAME_BYTES
from headwater.consumption.postgres.files import FileKind, write_files
from headwater.consumption.postgres.publish import Publication, publish, read_sequence
from headwater.consumption.postgres.staging import stage_table
from headwater.contracts.consumer import Consumer, Made
from headwater.core.consumer import ConsumerQuery
from headwater.core.fragments import SelectSql, quote_dataset
from headwater.core.layers import Family
from headwater.core.specs.base import Spec
from headwater.core.values import Words
from headwater.errors import ProjectError
from headwater.postgres import Server

if TYPE_CHECKING:
    from headwater.contracts.consumer import Consumption
    from headwater.core.consumer import DeclaredConsumer

SUMMARY = "tables.json"
"""The file of the artefact that says what was published."""


def _short(name: str) -> str:
    if len(name.encode()) > MAX_NAME_BYTES:
        raise ValueError(f"the server cuts names at {MAX_NAME_BYTES} bytes: write a shorter one")
    return name


def _free(name: str) -> str:
    if name.startswith(("pg_", "_headwater")) or name == "information_schema":
        raise ValueError(f"the schema {name} is not for tables of yours: write another")
    return _short(name)


_Name = Annotated[str, Field(min_length=1), AfterValidator(_short)]


class PublishedTableSpec(Spec):
    """One table: the dataset `from` which it comes, its `key`, and the roles that may read it."""

    from_: str = Field(alias="from", pattern=r"^[^.\s]+(\.[^.\s]+){1,2}$")
    key: Words = Field(default_factory=list)
    grants: Words = Field(default_factory=list)


class PostgresTablesSpec(Spec):
    """Where tables are published, and which."""

    connection: str | dict[str, str | int] = Field(min_length=1, json_schema_extra={"secret": True})
    database_schema: Annotated[str, Field(min_length=1), AfterValidator(_free)] = "public"
    tables: dict[_Name, PublishedTableSpec] = Field(min_length=1)
    files: list[FileKind] = Field(default_factory=list)
    description: str = ""
    owner: str = ""


class PostgresTables(Consumer):
    """Tables of a PostgreSQL database: all of a file in one transaction.

    Emits: the tables, and as files `tables.json` (what was published) and those that `files` names.
    Units and time zone: instants are instants; a timestamp without time zone is as it is stored.
    State: `_headwater.commits` in the database: the number of the last publish of each declaration.
    Delivery: all tables, or none. A publish whose files are not committed afterwards is done again by the next run.

    Raises:
        ProjectError: The connection cannot be read, or names no database.
        ConnectorError: The server refuses, or cannot be reached.
        StepError: A value has no place in PostgreSQL, a key is none, or a table is in use.
        StateError: Somebody else has published in between, or a table of that name is somebody else's.

    Source: PostgreSQL 18 manual, https://www.postgresql.org/docs/18/sql-copy.html and mvcc.html.
    """

    kind: ClassVar[str] = "postgres"
    family: ClassVar[Family] = Family.BI
    spec: ClassVar[type[Spec]] = PostgresTablesSpec
    is_its_files: ClassVar[bool] = False

    def __init__(self, declared: DeclaredConsumer) -> None:
        self._declared = declared
        self._spec = cast("PostgresTablesSpec", declared.options)
        try:
            self._server = Server(self._spec.connection)
        except ProjectError as error:
            raise ProjectError.at(declared.location, error.what, error.fix) from None
        if not self._server.names_database:
            fix = "write postgresql://user:password@host:5432/database, or dbname=… among the words"
            raise ProjectError.at(self._declared.location, "the connection names no database", fix)

    def queries(self) -> tuple[ConsumerQuery, ...]:
        """Return a query per table: all of its dataset."""
        return tuple(
            ConsumerQuery(name, SelectSql(f"SELECT * FROM {quote_dataset(table.from_)}"), self._declared.location)
            for name, table in self._spec.tables.items()
        )

    def files(self) -> tuple[str, ...]:
        """Return no files: all of it stands in its declaration."""
        return ()

    def make(self, consumption: Consumption) -> Made:
        """Publish the tables, and write the files.

        Raises:
            HeadwaterError: It cannot be published; nothing in the database has changed.
        """
        schema = self._spec.database_schema
        previous = read_sequence(self._server, self._declared.name, schema)
        staged = tuple(
            stage_table(
                consumption.connection,
                consumption.queries[name],
                name,
                consumption.temporary / f"{number}.rows",
                table.key,
                table.grants,
                schema,
            )
            for number, (name, table) in enumerate(self._spec.tables.items())
        )
        write_files(self._spec.files, self._server, staged, consumption)
        sequence = publish(self._server, Publication(self._declared.name, schema, staged, previous))
        details: dict[str, Any] = {
            "database_schema": schema,
            "sequence": sequence,
            "tables": {
                table.name: {
                    "from": self._spec.tables[table.name].from_,
                    "rows": table.rows,
                    "columns": {column.name: column.type for column in table.columns},
                }
                for table in staged
            },
        }
        text = json.dumps(details, indent=2, ensure_ascii=False) + "\n"
        (consumption.folder / SUMMARY).write_text(text, encoding="utf-8")
        return Made(sum(table.rows for table in staged), details)
