"""Reading an API: pages, rows, cursors, parents, resuming."""

from __future__ import annotations

import json
import re
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from headwater.errors import ProjectError
from headwater.sources.rest import client as rest_client
from headwater.sources.rest import read as rest_read
from headwater.sources.rest.client import RestError
from headwater.sources.rest.source import Rest
from headwater.sources.rest.spec import RestTable
from tests.services.http import Asked, Reply, Server, pages_of, serve
from tests.sources.rest_reading import connection_of, read

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = [{"id": n, "name": f"row {n}"} for n in range(1, 24)]
WANTED = [(row["id"], row["name"]) for row in ROWS]

PAGINATE: dict[str, dict[str, Any]] = {
    "page": {"kind": "page", "as": "page"},
    "page total": {"kind": "page", "as": "page", "size": 5, "total": "$.total"},
    "page total_pages": {"kind": "page", "as": "page", "total_pages": "$.pages"},
    "page stop": {"kind": "page", "as": "page", "stop_when": "$.has_more == false"},
    "offset": {"kind": "offset", "as": "offset", "size": 5, "size_as": "limit"},
    "offset total": {"kind": "offset", "as": "offset", "size": 5, "total": "$.total"},
    "cursor": {"kind": "cursor", "from": "$.data[-1].id", "as": "after", "stop_when": "$.has_more == false"},
    "cursor to the end": {"kind": "cursor", "from": "$.data[-1].id", "as": "after"},
    "link": {"kind": "link"},
    "next_url": {"kind": "next_url", "from": "$.next"},
}


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as found:
        yield found


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest_client, "BACKOFF_S", 0.01)


@pytest.mark.parametrize("name", list(PAGINATE))
def test_every_row_of_every_page_comes_once_and_in_order(name: str, server: Server) -> None:
    style = name.partition(" ")[0]
    server.routes["/items"] = pages_of(ROWS, 5, style, server)
    found = read(connection_of(server), {"path": "/items", "paginate": PAGINATE[name]})
    assert found.rows == WANTED
    assert found.rejects == []


@pytest.mark.parametrize("name", list(PAGINATE))
@pytest.mark.parametrize("killed", [1, 2, 3, 4, 5])
def test_a_resumed_read_goes_on_at_the_next_page(
    name: str, killed: int, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest_read, "PAGES_PER_CHUNK", 1)
    server.routes["/items"] = pages_of(ROWS, 5, name.partition(" ")[0], server)
    table = {"path": "/items", "paginate": PAGINATE[name]}
    first = read(connection_of(server), table, stop_after=killed)
    server.asked.clear()
    ends = json.loads(json.dumps(first.ends))
    rest = read(connection_of(server), table, manifest=first.manifest, finished=frozenset(first.ids), ends=ends)
    assert first.rows + rest.rows == WANTED
    assert not set(first.ids) & set(rest.ids)
    if killed < 5:
        assert server.asked[0].query, "the first page is not asked for again"


def test_several_pages_are_under_way_when_the_total_is_known(server: Server) -> None:
    gate = threading.Event()
    pages = pages_of(ROWS, 2, "page")

    def slow(asked: Asked) -> Reply:
        if asked.value("page") == "1":
            return pages(asked)
        if server.under_way >= 4:
            gate.set()
        reply = pages(asked)
        return Reply(reply.body, wait=gate)

    server.routes["/items"] = slow
    paginate = {"kind": "page", "as": "page", "total_pages": "$.pages"}
    found = read(connection_of(server), {"path": "/items", "paginate": paginate, "in_flight": 4})
    assert found.rows == WANTED
    assert server.most_under_way == 4
    assert len(server.asked) == 12, "no page beyond the total"


def test_numbers_keep_their_digits_in_the_raw_text(server: Server) -> None:
    body = b'{"data": [ {"id": 1, "name": "a", "x": 1.10, "y": 12345678901234567890.123456789, "z": 1E2} ]}'
    server.routes["/items"] = lambda _: Reply(body)
    found = read(connection_of(server), {"path": "/items"})
    assert found.raw == ['{"id": 1, "name": "a", "x": 1.10, "y": 12345678901234567890.123456789, "z": 1E2}']


def test_what_does_not_fit_is_a_reject(server: Server) -> None:
    server.routes["/items"] = lambda _: {"data": [{"id": "x", "name": "a"}, 7, {"id": 2, "name": None}, None]}
    found = read(connection_of(server), {"path": "/items"})
    assert found.rows == [(2, None)]
    assert [rule for rule, _ in found.rejects] == ["cast", "json", "json"]


def test_one_object_is_one_record_and_a_list_at_the_root_many(server: Server) -> None:
    server.routes["/one"] = lambda _: {"id": 1, "name": "a"}
    server.routes["/many"] = lambda _: [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    assert read(connection_of(server), {"path": "/one", "records": "$"}).rows == [(1, "a")]
    assert read(connection_of(server), {"path": "/many", "records": "$"}).rows == [(1, "a"), (2, "b")]


def test_an_empty_page_between_others_is_no_end_when_a_next_one_is_named(server: Server) -> None:
    bodies = {
        "": {"data": [{"id": 1, "name": "a"}], "next": "b"},
        "b": {"data": [], "next": "c"},
        "c": {"data": [{"id": 2, "name": "b"}], "next": ""},
    }
    server.routes["/items"] = lambda asked: bodies[asked.value("at")]
    paginate = {"kind": "cursor", "from": "$.next", "as": "at"}
    assert read(connection_of(server), {"path": "/items", "paginate": paginate}).rows == [(1, "a"), (2, "b")]


@pytest.mark.parametrize(
    ("paginate", "answer", "what"),
    [
        ({"kind": "page", "as": "p"}, lambda asked: {"data": [{"id": 1}]}, "the same 1 rows as on the page before"),
        (
            {"kind": "cursor", "from": "$.next", "as": "at"},
            lambda asked: {"data": [{"id": asked.value("at")}], "next": "b" if asked.value("at") != "b" else "c"},
            "circle",
        ),
        (
            {"kind": "next_url", "from": "$.next"},
            lambda asked: {"data": [{"id": len(asked.value("x"))}], "next": f"/items?x={asked.value('x')}y"},
            "more than 7 pages",
        ),
        (
            {"kind": "offset", "as": "offset", "size": 10},
            lambda asked: {"data": [{"id": int(asked.value("offset")) + n} for n in range(3)]},
            "rows were skipped",
        ),
    ],
)
def test_pages_without_end_are_an_error(paginate: Any, answer: Any, what: str, server: Server) -> None:
    server.routes["/items"] = answer
    with pytest.raises(RestError, match=what) as caught:
        read(connection_of(server), {"path": "/items", "paginate": paginate, "max_pages": 7})
    assert caught.value.fix
    assert len(server.asked) < 20


INCREMENTAL = {"load": "incremental", "key": "id", "cursor": "at"}


@pytest.mark.parametrize(
    ("type_text", "values", "stored", "sent", "form"),
    [
        ("EPOCH_S", [1767225600, 1767225700], "2026-01-01 00:01:40.000000+00:00", "1767225400", None),
        ("EPOCH_MS", [1767225600123], "2026-01-01 00:00:00.123000+00:00", "1767225300123", None),
        (
            "TIMESTAMP WITH TIME ZONE",
            ["2026-01-01T01:00:00+01:00"],
            "2026-01-01 00:00:00.000000+00:00",
            "2025-12-31T23:55:00Z",
            None,
        ),
        ("TIMESTAMP", ["2026-01-01T00:00:00.5"], "2026-01-01 00:00:00.500000", "2025-12-31T23:55:00.500000", None),
        ("TIMESTAMP", ["2026-01-01T00:00:00"], "2026-01-01 00:00:00.000000", "1767225300", "epoch_s"),
        ("DATE", ["2026-01-01", "2026-01-03"], "2026-01-03", "2026-01-03", None),
        ("BIGINT", [7, 9, 8], 9, "9", None),
        ("VARCHAR", ["a", "c", "b"], "c", "c", None),
    ],
)
def test_the_highest_cursor_is_kept_and_sent(
    type_text: str, values: list[Any], stored: Any, sent: str, form: str | None, server: Server
) -> None:
    server.routes["/items"] = lambda _: {"data": [{"id": n, "at": value} for n, value in enumerate(values)]}
    table = {"path": "/items", "send_cursor": {"as": "since[gte]", **({"format": form} if form else {})}}
    columns = {"id": "BIGINT", "at": type_text}
    first = read(connection_of(server), table, columns=columns, ingest=INCREMENTAL)
    assert first.position == {"cursor": stored}
    assert "since[gte]" not in server.asked[0].query
    read(connection_of(server), table, columns=columns, ingest=INCREMENTAL, position=first.position)
    assert server.asked[1].value("since[gte]") == sent


def test_until_fixes_the_upper_bound_also_when_resumed(server: Server) -> None:
    server.routes["/items"] = lambda _: {"data": [{"id": 1, "at": 5}]}
    table = {"path": "/items", "send_cursor": {"as": "from", "until": "to", "start": "0"}}
    columns = {"id": "BIGINT", "at": "EPOCH_S"}
    first = read(connection_of(server), table, columns=columns, ingest=INCREMENTAL)
    later = datetime(2027, 1, 1, tzinfo=UTC)
    read(connection_of(server), table, columns=columns, ingest=INCREMENTAL, manifest=first.manifest, now=later)
    assert [asked.query for asked in server.asked] == [{"from": ["0"], "to": ["1768003200"]}] * 2


def test_incremental_without_cursor_and_key_says_what_is_missing(server: Server) -> None:
    with pytest.raises(ProjectError, match="nothing shows which of its rows are new"):
        read(connection_of(server), {"path": "/items"}, ingest={"load": "incremental"})


# ----------------------------------------------------------------------------------------------------------- parents


def orders_of(server: Server, orders: dict[str, list[int]]) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Customers with orders below them; return the child's options and those of all tables."""
    server.routes["/customers"] = lambda _: {"data": [{"id": key, "info": {"vat": 1.10}} for key in orders]}
    for key in orders:
        server.routes[f"/customers/{key.replace('/', '%2F')}/orders"] = lambda asked, key=key: {
            "data": [{"id": n, "at": n} for n in orders[key] if n >= int(asked.value("since", "0"))]
        }
    child = {
        "path": "/customers/{parent.id}/orders",
        "parent": {"table": "customers", "take": {"customer": "id", "vat": "info.vat"}},
        "send_cursor": {"as": "since"},
    }
    return child, {"customers": {"path": "/customers", "records": "$.data"}}


CHILD = {"id": "BIGINT", "customer": "VARCHAR", "at": "BIGINT"}


def test_a_parents_rows_make_a_childs_requests_with_a_cursor_each(server: Server) -> None:
    orders = {"b": [1, 2], "a/x": [3], "c": []}
    child, tables = orders_of(server, orders)
    first = read(connection_of(server), child, columns=CHILD, tables=tables, ingest=INCREMENTAL)
    assert first.rows == [(3, "a/x", 3), (1, "b", 1), (2, "b", 2)]
    assert first.raw[0] == '{"customer":"a/x","vat":1.1,"id": 3, "at": 3}'
    assert list(first.position) == ["cursors"]
    cursors = first.position["cursors"]
    assert sorted(cursors.values()) == [2, 3]
    assert all(re.fullmatch(r"[0-9a-f]{32}", key) for key in cursors), "a parent's key may be masked"
    orders["b"].append(1)
    orders["c"].append(1)
    again = read(
        connection_of(server), child, columns=CHILD, tables=tables, ingest=INCREMENTAL, position=first.position
    )
    assert again.rows == [(3, "a/x", 3), (2, "b", 2), (1, "c", 1)]
    assert again.position["cursors"].items() > cursors.items()
    assert sorted(again.position["cursors"].values()) == [1, 2, 3]
    older = {f"cursor/{digest}": cursor for digest, cursor in cursors.items()}
    after = read(connection_of(server), child, columns=CHILD, tables=tables, ingest=INCREMENTAL, position=older)
    assert after.rows == again.rows, "a table of an older version goes on where it stood"


def test_a_child_resumes_at_the_parent(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest_read, "PAGES_PER_CHUNK", 1)
    child, tables = orders_of(server, {key: [n] for n, key in enumerate("abcd")})
    options = {"columns": CHILD, "tables": tables, "ingest": INCREMENTAL}
    first = read(connection_of(server), child, stop_after=2, **options)
    server.asked.clear()
    rest = read(
        connection_of(server),
        child,
        manifest=first.manifest,
        finished=frozenset(first.ids),
        ends=first.ends,
        **options,
    )
    assert [row[1] for row in first.rows + rest.rows] == ["a", "b", "c", "d"]
    assert sorted(server.paths()) == ["/customers", "/customers/c/orders", "/customers/d/orders"]


def test_a_parent_that_is_gone_has_no_rows_but_not_all_of_them(server: Server) -> None:
    child, tables = orders_of(server, {"a": [1], "b": [2]})
    del server.routes["/customers/a/orders"]
    assert [row[1] for row in read(connection_of(server), child, columns=CHILD, tables=tables).rows] == ["b"]
    del server.routes["/customers/b/orders"]
    with pytest.raises(RestError, match="404"):
        read(connection_of(server), child, columns=CHILD, tables=tables)


def test_a_parent_that_is_no_table_and_parents_in_a_circle_are_told(server: Server) -> None:
    child = {"path": "/x/{parent.id}", "parent": "nobody"}
    with pytest.raises(ProjectError, match="no table of this source"):
        read(connection_of(server), child, tables={"a": {"path": "/a"}})
    circle = {"path": "/x/{parent.id}", "parent": "items"}
    with pytest.raises(ProjectError, match="circle"):
        read(connection_of(server), circle, tables={"items": circle})


# ---------------------------------------------------------------------------------------------------------- describe


def test_columns_are_proposed_from_a_page_and_a_version_from_the_head(server: Server) -> None:
    body = {"data": [{"id": 1, "x": 1.5, "at": "2026-01-01T00:00:00", "tags": ["a"], "o": {"a": 1}}]}
    server.routes["/items"] = lambda _: Reply(body, headers={"ETag": '"v1"'})
    table = RestTable.model_validate({"path": "/items", "records": "$.data"})
    found = Rest(connection_of(server), "").describe({"items": table})["items"]
    types = {column.name: column.type for column in found.columns}
    assert types == {"id": "BIGINT", "x": "DOUBLE", "at": "TIMESTAMP", "tags": "JSON", "o": "JSON"}
    assert found.proposed
    assert found.version == 'etag: "v1"'
    assert server.asked[0].method == "HEAD"


def test_a_child_described_alone_finds_the_parent_it_was_described_with(server: Server) -> None:
    child, tables = orders_of(server, {"a": [1]})
    options = {name: RestTable.model_validate({"records": "$.data", **body}) for name, body in tables.items()}
    wrong = RestTable.model_validate({"path": "/nowhere"})
    source = Rest(connection_of(server), "")
    of_child = {"orders": RestTable.model_validate({"records": "$.data", **child})}
    with pytest.raises(RestError, match="404"):
        source.describe({"wrong": wrong, **options, **of_child})
    found = source.describe(of_child)
    assert list(found) == ["orders"]
    assert "at" in {column.name for column in found["orders"].columns}


def test_a_table_of_many_answers_has_no_version(server: Server) -> None:
    server.routes["/items"] = lambda _: Reply({"data": [{"id": 1}]}, headers={"ETag": '"v1"'})
    table = RestTable.model_validate({"path": "/items", "records": "$.data", "paginate": {"kind": "page", "as": "p"}})
    assert Rest(connection_of(server), "").describe({"items": table})["items"].version is None


def test_a_reading_that_is_given_up_ends_its_threads(server: Server) -> None:
    before = set(threading.enumerate())
    server.routes["/items"] = pages_of(ROWS, 1, "page")
    paginate = {"kind": "page", "as": "page", "total_pages": "$.pages"}
    read(connection_of(server), {"path": "/items", "paginate": paginate}, chunk_rows=2, stop_after=1)
    left = [thread.name for thread in set(threading.enumerate()) - before if "ThreadPool" in thread.name]
    assert left == []
    assert len(server.asked) < len(ROWS)
