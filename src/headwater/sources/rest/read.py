"""One read of one table: pages in their order, gathered into chunks that end at a page."""

from __future__ import annotations

import hashlib
import uuid
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from headwater.contracts import Chunk, ChunkEnd
from headwater.core.fragments import SelectSql, quote_identifier, quote_text
from headwater.core.policies import SchemaPolicy
from headwater.sources.common.json_rows import JsonProjection, KeysError, usual_keys
from headwater.sources.rest.bodies import parse_page
from headwater.sources.rest.client import RestError, RestNotFoundError, join_url
from headwater.sources.rest.cursor import OFFSETS, cursor_params
from headwater.sources.rest.pages import Ask, Guard, Pager, walk
from headwater.sources.rest.parents import NO_PARENT, read_parents
from headwater.sources.rest.spec import fill_parent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from headwater.contracts import ReadRequest
    from headwater.core.cursor import CursorValue
    from headwater.sources.rest.bodies import Page
    from headwater.sources.rest.client import ApiAnswer, Client
    from headwater.sources.rest.cursor import Cursor
    from headwater.sources.rest.parents import Parent
    from headwater.sources.rest.spec import RestTable

PAGES_PER_CHUNK = 20
"""A killed read repeats at most so many pages."""

MAX_CHUNK_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Walker:
    """Asks for the pages of a source's tables, several at once.

    Attributes:
        base: URL that paths are appended to.
        tables: The options of every table of the source.
    """

    client: Client
    pool: ThreadPoolExecutor
    base: str
    tables: Mapping[str, RestTable]

    def close(self) -> None:
        """End the threads and the connections."""
        self.client.stop()
        self.pool.shutdown(wait=True, cancel_futures=True)
        self.client.close()

    def parents(self, name: str, table: RestTable) -> list[Parent]:
        """Return the parents of a table, read now; the one that is none when it has none."""
        if table.parent is None:
            return [NO_PARENT]
        above = self.tables[table.parent.table]
        walked = self.pages(above, self.parents(table.parent.table, above))
        records = (parent.complete(record) for parent, page, _, _ in walked for record in page.records)
        return read_parents(name, table, records)

    def pages(
        self,
        table: RestTable,
        parents: Sequence[Parent],
        params_of: Callable[[Parent], Mapping[str, list[str]]] = lambda _: {},
        resume: Mapping[str, Any] | None = None,
    ) -> Iterator[tuple[Parent, Page, dict[str, Any] | None, str]]:
        """Yield (parent, page, the packed request that follows it, the page's digest) of all parents in order.

        The first pages of the next parents are asked for ahead. A parent that is gone has no rows; when every parent
        is, the path is wrong; of a resumed read one has answered already.
        """
        upcoming = deque(parents)
        ahead: deque[tuple[Parent, Guard, Ask, Future[Page]]] = deque()
        missing: RestNotFoundError | None = None
        answered = bool(resume)
        try:
            while upcoming or ahead:
                while upcoming and len(ahead) < table.in_flight:
                    ahead.append(self._begin(table, upcoming.popleft(), params_of, resume))
                    resume = None
                parent, guard, start, first = ahead.popleft()
                try:
                    for page, following in walk(guard, self._submit(table), start, table.in_flight, first):
                        answered = True
                        packed = guard.pager.pack(following, self.client) if following else None
                        yield parent, page, packed, guard.digest
                except RestNotFoundError as error:
                    if parent is NO_PARENT or start.number or guard.digest:
                        raise
                    missing = error
        finally:
            for *_, future in ahead:
                future.cancel()
        if missing is not None and not answered:
            raise missing

    def _begin(
        self,
        table: RestTable,
        parent: Parent,
        params_of: Callable[[Parent], Mapping[str, list[str]]],
        resume: Mapping[str, Any] | None,
    ) -> tuple[Parent, Guard, Ask, Future[Page]]:
        """Ask for the first page of a parent, or for the page a resumed read goes on at."""
        path = fill_parent(table.path, {name: quote(value, safe="") for name, value in parent.values.items()})
        params = {
            name: [fill_parent(text, dict(parent.values)) for text in texts] for name, texts in table.params.items()
        }
        pager = Pager(table, Ask(join_url(self.base, path), {**params, **params_of(parent)}))
        guard = Guard(pager, self.client.show)
        start = pager.first()
        if resume and resume["ask"] and resume["parent"] == parent.key:
            start, guard.digest = pager.unpack(resume["ask"]), resume["digest"]
        return parent, guard, start, self._submit(table)(start)

    def _submit(self, table: RestTable) -> Callable[[Ask], Future[Page]]:
        may_lack = "missing_records" in table.paginate.end_on

        def parse(answer: ApiAnswer) -> Page:
            return parse_page(answer, table.records, self.client, may_lack=may_lack)

        def submit(ask: Ask) -> Future[Page]:
            return self.pool.submit(self.client.fetch, ask.url, ask.params, parse)

        return submit


@dataclass(slots=True)
class _Group:
    """The records of some pages."""

    records: list[bytes] = field(default_factory=list)
    parents: list[str] = field(default_factory=list)
    pages: int = 0
    size_bytes: int = 0

    def add(self, parent: Parent, page: Page) -> None:
        self.records += map(parent.complete, page.records) if parent.taken else page.records
        self.parents += [parent.key] * len(page.records)
        self.pages += 1
        self.size_bytes += len(page.body)


@dataclass(frozen=True, slots=True)
class TableRead:
    """One read of one table.

    Attributes:
        open_walker: Begins to ask; called when the first chunk is taken.
        now: The read's upper bound: the time it was begun.
    """

    name: str
    request: ReadRequest
    cursor: Cursor | None
    now: datetime
    open_walker: Callable[[], Walker]
    token: str = field(default_factory=lambda: uuid.uuid4().hex[:12])

    def chunks(self) -> Iterator[Chunk]:
        """Yield the chunks; requests go on while one is taken."""
        last = max((name for name in self.request.finished if self.request.ends.get(name)), default="")
        resume = self.request.ends.get(last) or None
        highest: dict[str, CursorValue] = {}
        number = 0
        if resume:
            number = int(resume["chunk"]) + 1
            if self.cursor and resume["highest"] is not None:
                highest[resume["parent"]] = self.cursor.decode(resume["highest"])
        walker = self.open_walker()
        try:
            for group, state in self._groups(walker, resume, incremental=True):
                if group.records:
                    yield self._chunk(f"pages-{number:06d}", group, {**state, "chunk": number}, highest)
                    number += 1
        finally:
            walker.close()

    def keys(self, wanted: Sequence[str]) -> SelectSql:
        """Return a SELECT of the key columns of all rows as they are now."""
        columns = tuple(column for column in self.request.columns if column.name in wanted)
        names = ", ".join(quote_identifier(column.name) for column in columns)
        connection, table = self.request.connection, f"hw_keys_{self.token}"
        projection = JsonProjection(columns, SchemaPolicy.EVOLVE, "''", connection)
        view = f"{table}_rows"
        query = f"SELECT {names} FROM ({projection.select(_documents(view), [])}) WHERE _rule IS NULL"
        self._register(_Group(), view)
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS {query}")
        walker = self.open_walker()
        try:
            for group, _ in self._groups(walker, None, incremental=False):
                self._register(group, view)
                connection.execute(f"INSERT INTO {table} {query}")
        finally:
            connection.unregister(view)
            walker.close()
        return SelectSql(f"SELECT * FROM {table}")

    def _groups(
        self, walker: Walker, resume: Mapping[str, Any] | None, *, incremental: bool
    ) -> Iterator[tuple[_Group, dict[str, Any]]]:
        """Yield groups of pages, each with what a resumed read has to know to go on after it."""
        table: RestTable = self.request.options
        parents = walker.parents(self.name, table)
        if resume:
            parents = [p for p in parents if p.key > resume["parent"] or (p.key == resume["parent"] and resume["ask"])]
        group = _Group()
        state: dict[str, Any] = {}
        for parent, page, following, digest in walker.pages(
            table, parents, self._asks_for if incremental else lambda _: {}, resume
        ):
            group.add(parent, page)
            state = {"parent": parent.key, "ask": following, "digest": digest}
            if (
                len(group.records) >= self.request.chunk_rows
                or group.pages >= PAGES_PER_CHUNK
                or group.size_bytes >= MAX_CHUNK_BYTES
            ):
                yield group, state
                group = _Group()
        if group.pages:
            yield group, state

    def _asks_for(self, parent: Parent) -> Mapping[str, list[str]]:
        options: RestTable = self.request.options
        stored = self._stored(parent.key)
        return cursor_params(options.send_cursor, self.cursor, stored, self.now, self.request)

    def _chunk(self, name: str, group: _Group, state: dict[str, Any], highest: dict[str, CursorValue]) -> Chunk:
        view = self._register(group, f"hw_rest_{self.token}_{state['chunk']}")
        place = quote_text(f"table {self.name}")
        columns, policy = self.request.columns, self.request.ingest.schema_policy
        try:
            usual = usual_keys(group.records, columns, self.request.ingest)
        except KeysError as error:
            raise RestError(f"table {self.name}: {error}", fix="declare the columns as the API names them") from None
        projection = JsonProjection(columns, policy, place, self.request.connection, usual)

        def finish() -> ChunkEnd:
            found = self._highest(view, highest)
            self.request.connection.unregister(view)
            current = highest.get(state["parent"])
            resume = {**state, "highest": self.cursor.encode(current) if self.cursor and current is not None else None}
            return ChunkEnd(found, resume=resume)

        return Chunk(name, projection.select(_documents(view), ["text AS _raw"]), finish)

    def _highest(self, view: str, highest: dict[str, CursorValue]) -> dict[str, Any]:
        """Advance the highest cursor of every parent that a chunk has rows of; return the part of the position."""
        if self.cursor is None:
            return {}
        found: dict[str, Any] = {}
        query = self.cursor.highest_query(SelectSql(f"SELECT parent, text FROM {view}"), self.request.connection)
        for parent, text, zoned in self.request.connection.execute(query).fetchall():
            if text is None:
                continue
            if zoned and self.cursor.is_local:
                found[OFFSETS] = True
            values = [self.cursor.decode(text), highest.get(parent)]
            if (stored := self._stored(parent)) is not None:
                values.append(self.cursor.decode(stored))
            highest[parent] = max(value for value in values if value is not None)
            cursor = self.cursor.encode(highest[parent])
            if parent:
                found.setdefault("cursors", {})[_digest(parent)] = cursor
            else:
                found["cursor"] = cursor
        return found

    def _stored(self, parent: str) -> Any:
        """Return the cursor that an earlier load has come to; older versions kept a key of the position per parent."""
        position = self.request.position
        if not parent:
            return position.get("cursor")
        return position.get("cursors", {}).get(_digest(parent), position.get(f"cursor/{_digest(parent)}"))

    def _register(self, group: _Group, view: str) -> str:
        import pyarrow as pa

        text = pa.array(group.records, pa.binary()).cast(pa.string())
        table = pa.table({"text": text, "parent": pa.array(group.parents, pa.string())})
        self.request.connection.register(view, table)
        return view


def _documents(view: str) -> str:
    return f"SELECT TRY_CAST(text AS JSON) AS json, text FROM {view}"


def _digest(parent: str) -> str:
    """Return what a parent is called in a position: its key may be what `mask` hides."""
    return hashlib.sha256(parent.encode()).hexdigest()[:32]
