"""Kill it anywhere, at random: sources that go on while runs are killed, and in the end every row is there once."""

from __future__ import annotations

import gzip
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from headwater.contracts import ReadRequest
from tests.run.kill import Source, kill_at_random
from tests.run.projects import write
from tests.services.http import Asked, Reply, Server, serve
from tests.services.postgres import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.services.postgres import Postgres

pytestmark = [pytest.mark.kill, pytest.mark.timeout(3600)]


def texts(names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> list[Any]:
    """Write rows as `read_tables` has them: names first, then the rows as texts, sorted."""
    order = sorted(range(len(names)), key=lambda place: names[place])
    shown = sorted(tuple(str(row[place]) for place in order) for row in rows)
    return [tuple(names[place] for place in order), *shown]


def raws(tables: dict[str, list[Any]], table: str) -> list[str]:
    """Return the raw rows of a quarantine."""
    names, *rows = tables[f"rejects of {table}"]
    return sorted(row[names.index("raw")] for row in rows)


# ---------------------------------------------------------------------------------------------------------- postgres

COLUMNS = ("id", "item", "price", "at")


@pytest.fixture
def database(postgres: Postgres, request: pytest.FixtureRequest) -> Iterator[psycopg.Connection[Any]]:
    """A database of its own with a table, without slots in the end."""
    name = f"random_{abs(hash(request.node.name)) % 10**8}"
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
        with psycopg.connect(postgres.dsn(name), autocommit=True) as session:
            session.execute("SET TimeZone = 'UTC'")
            session.execute(
                "CREATE TABLE orders (id bigint PRIMARY KEY, item text, price numeric(8,2), at timestamptz)"
            )
            session.execute("ALTER TABLE orders ALTER item SET STORAGE EXTERNAL")
            yield session
            session.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
                "WHERE database = current_database()"
            )
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


class Orders:
    """Rows that are inserted, changed, moved to another key and deleted; some cannot land."""

    def __init__(self, session: psycopg.Connection[Any], chance: random.Random) -> None:
        self.session = session
        self.chance = chance
        self.next = 1
        self.bad: set[int] = set()
        self.cuts = random.Random("cuts")

    def change(self) -> None:
        """Make some statements, each its own transaction, then some together."""
        for _ in range(self.chance.randrange(1, 5)):
            self._statement()
        with self.session.transaction():
            for _ in range(self.chance.randrange(4)):
                self._statement()

    def _statement(self) -> None:
        kind = self.chance.choice(["insert", "insert", "update", "delete", "move", "bad"])
        some = f"price <> 'NaN' AND id % 7 = {self.chance.randrange(7)}"
        if kind == "insert":
            count = self.chance.randrange(1, 12)
            large = "repeat(md5(n::text), 100)" if not self.chance.randrange(3) else "'item ' || n"
            self._do(
                f"INSERT INTO orders SELECT n, {large}, n % 1000, clock_timestamp() "
                f"FROM generate_series({self.next}, {self.next + count - 1}) n"
            )
            self.next += count
        elif kind == "update":
            self._do(f"UPDATE orders SET price = (price + 1) % 1000, at = clock_timestamp() WHERE {some}")
        elif kind == "delete":
            self._do(f"DELETE FROM orders WHERE {some}")
        elif kind == "move":
            self._do(
                f"UPDATE orders SET id = id + {self.next * 1000}, at = clock_timestamp() WHERE {some} AND id < 1000"
            )
        else:
            self._do(f"INSERT INTO orders VALUES ({self.next}, 'bad', 'NaN', clock_timestamp())")
            self.bad.add(self.next)
            self.next += 1

    def _do(self, statement: str) -> None:
        self.session.execute(statement.encode())

    @contextmanager
    def disturbed(self) -> Iterator[None]:
        """Sessions of the product are ended by the server every few hundredths of a second."""
        ended = threading.Event()

        def cut() -> None:
            with psycopg.connect(self.session.info.dsn, password=PASSWORD, autocommit=True) as admin:
                while not ended.wait(0.15 * self.cuts.random()):
                    admin.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                        "WHERE datname = current_database() AND application_name LIKE 'headwater%'"
                    )

        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(cut)
            try:
                yield
            finally:
                ended.set()
                running.result()

    def check(self, tables: dict[str, list[Any]]) -> None:
        """Compare with the server; of the rejects none may be there twice."""
        rows = self.session.execute("SELECT id, item, price, at FROM orders WHERE price <> 'NaN'").fetchall()
        assert tables["db.orders"] == texts(COLUMNS, rows)
        found = raws(tables, "db.orders")
        assert len(found) == len(set(found))
        assert all('"bad"' in raw for raw in found)
        assert len(found) <= len(self.bad)


def orders(postgres: Postgres, session: psycopg.Connection[Any], folder: Path, options: str, seed: str) -> Source:
    source = Orders(session, random.Random(seed))
    fresh = write(
        folder / "fresh",
        {
            "headwater.yaml": "name: kills\n",
            ".env": f"KILL_DSN={postgres.dsn(session.info.dbname)}\n",
            "sources/db.yaml": (
                f"kind: postgres\nconnection: ${{env:KILL_DSN}}\ntables:\n  orders: {{key: id, {options}}}\n"
            ),
        },
    )
    settings = {
        "headwater.run.steps.extract.ReadRequest": partial(ReadRequest, chunk_rows=7),
        "headwater.sources.postgres.cdc.BATCH_ROWS": 5,
        "headwater.run.steps.extract.RETRY_PAUSES_S": (0.05, 0.1),
    }
    return Source(folder / "work", fresh, source.change, source.check, settings, source.disturbed)


@pytest.mark.parametrize("store", ["lakehouse", "warehouse"])
def test_postgres_by_cursor(postgres: Postgres, database: psycopg.Connection[Any], store: str, tmp_path: Path) -> None:
    options = (
        f"load: incremental, cursor: at, deletes: compare_keys, max_deleted: 100%, allow_empty: true, into: {store}"
    )
    source = orders(postgres, database, tmp_path, options, f"incremental {store}")
    assert kill_at_random(source, random.Random(f"incremental {store}")) >= 100


@pytest.mark.parametrize("store", ["lakehouse", "warehouse"])
def test_postgres_by_its_log(postgres: Postgres, database: psycopg.Connection[Any], store: str, tmp_path: Path) -> None:
    options = f"load: cdc, slot: {database.info.dbname}, into: {store}"
    source = orders(postgres, database, tmp_path, options, f"cdc {store}")
    assert kill_at_random(source, random.Random(f"cdc {store}")) >= 100


# -------------------------------------------------------------------------------------------------------------- rest


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as found:
        yield found


class Api:
    """Customers, their orders (changed now and then), and events that only come; some records do not fit."""

    def __init__(self, server: Server, chance: random.Random) -> None:
        self.chance = chance
        self.server = server
        self.customers: dict[str, str] = {}
        self.orders: dict[tuple[str, int], tuple[str, int]] = {}
        self.events: list[tuple[int, int]] = []
        self.bad: list[str] = []
        self.clock = 1
        self.failing = 0
        server.routes |= {"/customers": self._customers, "/events": self._events}
        self.change()

    def change(self) -> None:
        for _ in range(self.chance.randrange(1, 4)):
            self.clock += self.chance.randrange(2)
            self._customer()
            self._order()
            self._event()

    def _customer(self) -> None:
        if len(self.customers) < 12:
            name = f"c/{len(self.customers)}"
            self.customers[name] = str(self.clock)
            self.server.routes[f"/customers/{name.replace('/', '%2F')}/orders"] = partial(self._orders_of, name)

    def _order(self) -> None:
        for _ in range(self.chance.randrange(8)):
            key = self.chance.choice(list(self.customers)), self.chance.randrange(40)
            self.clock += 1
            self.orders[key] = (f"item {self.chance.randrange(9)}", self.clock)

    def _event(self) -> None:
        for _ in range(self.chance.randrange(6)):
            self.events.append((len(self.events) + 1, self.clock))
            if not self.chance.randrange(5):
                self.bad.append(f"no number {len(self.bad)}")
                self.events.append((-len(self.bad), self.clock))

    @contextmanager
    def disturbed(self) -> Iterator[None]:
        """A quarter of the answers are errors, cut off, or no answers at all."""
        self.failing = 1
        yield
        self.failing = 0

    def _page(self, asked: Asked, records: list[tuple[list[Any], dict[str, Any]]]) -> Any:
        """Give two records after the place asked for."""
        if self.failing and not self.chance.randrange(4):
            return self.chance.choice([Reply({}, 503), Reply({}, cut=-1), Reply({}, cut=1), Reply(b"<html>down")])
        after = [int(part) for part in asked.value("after").split(",") if part]
        since = int(asked.value("since", "0"))
        left = [
            (place, record)
            for place, record in sorted(records, key=lambda r: r[0])
            if place[0] >= since and place > after
        ]
        more = ",".join(map(str, left[1][0])) if len(left) > 2 else None
        return {"data": [record for _, record in left[:2]], "next": more}

    def _customers(self, asked: Asked) -> Any:
        people = [*list(self.customers.items()), ("gone", "x")]
        listed = [({"id": key, "age": age}, number) for number, (key, age) in enumerate(people)]
        return self._page(asked, [([0, number], record) for record, number in listed])

    def _orders_of(self, customer: str, asked: Asked) -> Any:
        found = [(key, value) for key, value in list(self.orders.items()) if key[0] == customer]
        return self._page(asked, [([at, n], {"id": n, "item": item, "at": at}) for (_, n), (item, at) in found])

    def _events(self, asked: Asked) -> Any:
        listed = [
            ([at, place], {"id": n if n > 0 else self.bad[-n - 1], "at": at})
            for place, (n, at) in enumerate(list(self.events))
        ]
        return self._page(asked, listed)

    def check(self, tables: dict[str, list[Any]]) -> None:
        def landed(table: str, *names: str) -> list[tuple[str, ...]]:
            found, *rows = tables[table]
            return sorted(tuple(row[found.index(name)] for name in names) for row in rows)

        assert landed("api.customers", "id", "age") == sorted(self.customers.items())
        assert len(raws(tables, "api.customers")) == 1
        wanted = sorted((customer, str(n), item, str(at)) for (customer, n), (item, at) in self.orders.items())
        assert landed("api.orders", "customer", "id", "item", "at") == wanted
        assert landed("api.events", "id", "at") == sorted((str(n), str(at)) for n, at in self.events if n > 0)
        found = [raw.partition('"id": "')[2].partition('"')[0] for raw in raws(tables, "api.events")]
        assert found == sorted(self.bad)


API = """kind: rest
connection: {url}
tables:
  customers:
    path: /customers
    records: $.data
    paginate: {{kind: cursor, from: $.next, as: after}}
    columns: {{id: varchar, age: bigint}}
    max_rejected: 100%
    into: {store}
  orders:
    path: "/customers/{{parent.id}}/orders"
    parent: {{table: customers, take: {{customer: id}}}}
    records: $.data
    paginate: {{kind: cursor, from: $.next, as: after}}
    columns: {{customer: varchar, id: bigint, item: varchar, at: bigint}}
    load: incremental
    key: [customer, id]
    cursor: at
    send_cursor: {{as: since}}
    into: {store}
  events:
    path: /events
    records: $.data
    paginate: {{kind: cursor, from: $.next, as: after}}
    columns: {{id: bigint, at: bigint}}
    load: incremental
    cursor: at
    send_cursor: {{as: since}}
    max_rejected: 100%
    into: {store}
"""


@pytest.mark.parametrize("store", ["lakehouse", "warehouse"])
def test_an_api(server: Server, store: str, tmp_path: Path) -> None:
    chance = random.Random(f"rest {store}")
    api = Api(server, chance)
    text = API.format(url=server.url, store=store)
    fresh = write(tmp_path / "fresh", {"headwater.yaml": "name: kills\n", "sources/api.yaml": text})
    settings = {
        "headwater.sources.rest.read.PAGES_PER_CHUNK": 1,
        "headwater.sources.rest.client.BACKOFF_S": 0.01,
        "headwater.run.steps.extract.RETRY_PAUSES_S": (0.01, 0.01),
    }
    source = Source(tmp_path / "work", fresh, api.change, api.check, settings, api.disturbed)
    assert kill_at_random(source, random.Random(f"kills {store}")) >= 100


# -------------------------------------------------------------------------------------------------------------- logs

LINE = '10.0.0.1 - - [10/Oct/2025:13:55:00 -0700] "GET /page/{n} HTTP/1.1" 200 {n} "-" "curl/8"\n'


class Log:
    """Logs that begin alike, grow and are rotated: renamed and packed, or copied and truncated."""

    def __init__(self, folder: Callable[[], Path], chance: random.Random, names: tuple[str, ...], banner: int) -> None:
        self._folder = folder
        self.chance = chance
        self.names = names
        self.banner = banner
        self.begun = 0
        self.lines = 0
        self.bad: list[str] = []

    @property
    def folder(self) -> Path:
        found = self._folder()
        found.mkdir(exist_ok=True)
        return found

    def change(self) -> None:
        for _ in range(self.chance.randrange(1, 4)):
            name = self.chance.choice(self.names)
            self._grow(name)
            if not self.chance.randrange(3):
                self._rotate(name, copied=not self.chance.randrange(3))
                self._grow(name)

    def _grow(self, name: str) -> None:
        with (self.folder / f"{name}.log").open("a") as log:
            if not log.tell():
                self.begun += 1
                log.write(LINE.format(n=0) * self.banner)
            for _ in range(self.chance.randrange(1, 30)):
                self.lines += 1
                log.write(LINE.format(n=self.lines))
                if not self.chance.randrange(15):
                    self.bad.append(f"rubbish {self.lines:06d}")
                    log.write(self.bad[-1] + "\n")

    def _rotate(self, name: str, *, copied: bool) -> None:
        for number in range(len(list(self.folder.glob(f"{name}.*.gz"))) + 1, 1, -1):
            (self.folder / f"{name}.log.{number}.gz").rename(self.folder / f"{name}.log.{number + 1}.gz")
        first = self.folder / f"{name}.log.1"
        if first.exists():
            (self.folder / f"{name}.log.2.gz").write_bytes(gzip.compress(first.read_bytes()))
            first.unlink()
        log = self.folder / f"{name}.log"
        if copied:
            first.write_bytes(log.read_bytes())
            log.write_bytes(b"")
        else:
            log.rename(first)

    def check(self, tables: dict[str, list[Any]]) -> None:
        names, *rows = tables["web.access"]
        wanted = [0] * self.begun * self.banner + list(range(1, self.lines + 1))
        assert sorted(int(row[names.index("bytes")]) for row in rows) == wanted
        assert raws(tables, "web.access") == sorted(self.bad)


@pytest.mark.parametrize(
    ("names", "banner"), [(("access",), 0), (("access", "web1", "web2"), 20)], ids=["one", "that begin alike"]
)
@pytest.mark.parametrize("store", ["lake", "warehouse"])
def test_logs_that_are_rotated(store: str, names: tuple[str, ...], banner: int, tmp_path: Path) -> None:
    chance = random.Random(f"logs {store} {banner}")
    table = f"access: {{path: '*.log*', format: combined, max_rejected: 100%, into: {store}}}"
    fresh = write(
        tmp_path / "fresh",
        {
            "headwater.yaml": "name: kills\n",
            "sources/web.yaml": f"kind: logs\npath: {tmp_path / 'logs'}\ntables:\n  {table}\n",
        },
    )
    log = Log(lambda: tmp_path / "logs", chance, names, banner)
    log.change()
    settings = {"headwater.sources.logs.lines.CHUNK_BYTES": 700}
    source = Source(tmp_path / "work", fresh, log.change, log.check, settings)
    assert kill_at_random(source, random.Random(f"kills {store}")) >= 100
