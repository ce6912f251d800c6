"""The built-in sources under the public conformance suite."""

from __future__ import annotations

import csv
import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from headwater.core.commit import Column
from headwater.sources.common import listing as files_listing
from headwater.sources.files.source import Files, FilesConnection, FilesTable
from headwater.sources.logs import lines as logs_lines
from headwater.sources.logs.source import Logs, LogsConnection, LogsTable
from headwater.sources.rest.source import Rest
from headwater.sources.rest.spec import RestConnection, RestTable
from headwater.sources.sqlite.source import Sqlite, SqliteConnection, SqliteTable
from headwater.testing.sources import SourceContract
from tests.services.http import Asked, serve

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from headwater.contracts import TableDescription


class FilesContract(SourceContract):
    """Each write is a file of its own."""

    incremental: ClassVar[Mapping[str, Any]] = {"load": "incremental"}
    lists_keys = False
    rereads_last = False
    extension = "csv"

    @pytest.fixture(autouse=True)
    def _chunk_per_file(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(files_listing, "GROUP_BYTES", 1)

    def make_source(self, folder: Path) -> Files:
        return Files(FilesConnection(), str(folder))

    def options(self) -> FilesTable:
        return FilesTable(path=f"*.{self.extension}")

    def columns(self, described: TableDescription) -> tuple[Column, ...]:
        return (Column("id", "BIGINT"), Column("changed", "BIGINT"), Column("name", "VARCHAR"))

    def write(self, folder: Path, rows: Sequence[tuple[Any, ...]]) -> None:
        number = len(list(folder.glob("*.*")))
        with (folder / f"{number:03d}.{self.extension}").open("w", newline="") as stream:
            self.write_rows(stream, rows)

    def write_rows(self, stream: Any, rows: Sequence[tuple[Any, ...]]) -> None:
        writer = csv.writer(stream)
        writer.writerow(["id", "changed", "name"])
        writer.writerows(rows)


class TestCsv(FilesContract):
    pass


class TestJsonLines(FilesContract):
    extension = "jsonl"

    def write_rows(self, stream: Any, rows: Sequence[tuple[Any, ...]]) -> None:
        for row in rows:
            stream.write(json.dumps(dict(zip(("id", "changed", "name"), row, strict=True))) + "\n")


class TestSqlite(SourceContract):
    mode = "delete"
    table_options: ClassVar[Mapping[str, Any]] = {}

    def make_source(self, folder: Path) -> Sqlite:
        with closing(sqlite3.connect(folder / "shop.db")) as database:
            database.execute(f"PRAGMA journal_mode = {self.mode}")
            database.execute("CREATE TABLE IF NOT EXISTS items (id INTEGER PRIMARY KEY, changed INTEGER, name TEXT)")
            database.commit()
        return Sqlite(SqliteConnection(path="shop.db"), str(folder))

    def options(self) -> SqliteTable:
        return SqliteTable.model_validate(self.table_options)

    def write(self, folder: Path, rows: Sequence[tuple[Any, ...]]) -> None:
        self.make_source(folder)
        with closing(sqlite3.connect(folder / "shop.db")) as database:
            database.executemany("INSERT OR REPLACE INTO items VALUES (?, ?, ?)", rows)
            database.commit()


class TestSqliteWal(TestSqlite):
    mode = "wal"


class TestSqliteQuery(TestSqlite):
    many_chunks = False
    table_options: ClassVar[Mapping[str, Any]] = {"query": "SELECT id, changed, name FROM items -- all of them"}


class TestRest(SourceContract):
    """A folder is a path of one server; pages of two rows, in the order in which they changed."""

    fixes_bound = False

    @pytest.fixture(autouse=True)
    def _serve(self) -> Iterator[None]:
        with serve() as self.server:
            yield

    def make_source(self, folder: Path) -> Rest:
        self.tables: dict[str, dict[int, Any]] = getattr(self, "tables", {})
        path = f"/{folder.name}/items"
        self.server.routes.setdefault(path, lambda asked: self.answer(asked, self.tables.get(path, {})))
        return Rest(RestConnection(connection=f"{self.server.url}/{folder.name}"), str(folder))

    def answer(self, asked: Asked, table: dict[int, Any]) -> dict[str, Any]:
        since, first = int(asked.value("since", "-1")), int(asked.value("offset", "0"))
        rows = sorted((row for row in table.values() if row["changed"] >= since), key=lambda row: row["changed"])
        return {"rows": rows[first : first + 2]}

    def options(self) -> RestTable:
        paginate = {"kind": "offset", "as": "offset", "size": 2}
        return RestTable.model_validate(
            {"path": "/items", "records": "$.rows", "paginate": paginate, "send_cursor": {"as": "since"}}
        )

    def write(self, folder: Path, rows: Sequence[tuple[Any, ...]]) -> None:
        self.make_source(folder)
        table = self.tables.setdefault(f"/{folder.name}/items", {})
        table.update({row[0]: dict(zip(("id", "changed", "name"), row, strict=True)) for row in rows})


class TestLogs(SourceContract):
    """Every write goes on in the same log."""

    incremental: ClassVar[Mapping[str, Any]] = {"load": "incremental"}
    lists_keys = False
    rereads_last = False

    @pytest.fixture(autouse=True)
    def _small_chunks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(logs_lines, "CHUNK_BYTES", 60)

    def make_source(self, folder: Path) -> Logs:
        return Logs(LogsConnection(), str(folder))

    def options(self) -> LogsTable:
        types = {"id": "BIGINT", "changed": "BIGINT"}
        return LogsTable(path="*.log", pattern=r"^(?P<id>\d*)\|(?P<changed>\d*)\|(?P<name>.*)$", types=types)

    def write(self, folder: Path, rows: Sequence[tuple[Any, ...]]) -> None:
        with (folder / "a.log").open("a", encoding="utf-8") as log:
            log.writelines("|".join("" if v is None else str(v) for v in row) + "\n" for row in rows)
