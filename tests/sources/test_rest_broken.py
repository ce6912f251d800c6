"""An API that breaks in the middle of a table: nothing is lost, nothing comes twice, the rest is told."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from headwater.sources.rest import client as rest_client
from headwater.sources.rest import read as rest_read
from headwater.sources.rest.client import RestError
from tests.services.http import Asked, Reply, Server, pages_of, serve
from tests.sources.rest_reading import connection_of, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROWS = [{"id": n, "name": f"row {n}"} for n in range(1, 24)]
WANTED = [(row["id"], row["name"]) for row in ROWS]
BY_PAGE = {"path": "/items", "paginate": {"kind": "page", "as": "page"}}


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as found:
        yield found


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest_client, "BACKOFF_S", 0.01)
    monkeypatch.setattr(rest_read, "PAGES_PER_CHUNK", 1)


def broken_once(good: Callable[[Asked], Any], page: str, *broken: Reply) -> Callable[[Asked], Any]:
    """A route that breaks at a page as often as there are broken replies, and is well otherwise."""
    waiting = list(broken)
    return lambda asked: waiting.pop(0) if asked.value("page", "1") == page and waiting else good(asked)


HTML = Reply(b"<html><body>Down for maintenance</body></html>", headers={"Content-Type": "text/html"})


@pytest.mark.parametrize(
    "broken",
    [
        Reply({"data": ROWS[10:15]}, cut=-1),
        Reply({"data": ROWS[10:15]}, cut=40),
        Reply(b"", headers={"Content-Type": "text/html"}),
        Reply('{"data": [{"id": 1, "name": "ü"}'.encode()[:-4]),
        Reply('{"data": [{"id": 1, "name": "ü"'.encode()[:-2]),
        Reply({}, 429),
        Reply({}, 503, {"Retry-After": "soon"}),
        Reply({}, 429, {"Retry-After": "nan"}),
    ],
    ids=["dropped", "cut", "empty body", "half", "half a character", "429", "strange Retry-After", "nan"],
)
def test_a_page_that_breaks_in_the_middle_is_asked_for_again(broken: Reply, server: Server) -> None:
    server.routes["/items"] = broken_once(pages_of(ROWS, 5, "page"), "3", broken, broken)
    assert read(connection_of(server), BY_PAGE).rows == WANTED


@pytest.mark.parametrize(
    ("broken", "told"), [(HTML, "text/html.*maintenance"), (Reply(b"\x89PNG\xff\x00"), "not UTF-8")]
)
def test_a_page_that_is_none_is_told_with_its_address(broken: Reply, told: str, server: Server) -> None:
    table = {**BY_PAGE, "in_flight": 1}
    server.routes["/items"] = broken_once(pages_of(ROWS, 5, "page"), "3", broken)
    with pytest.raises(RestError, match=told) as caught:
        read(connection_of(server), table)
    assert "page=3" in str(caught.value)
    assert caught.value.fix


def test_an_api_that_restarts(server: Server) -> None:
    """The server is gone for a while in the middle of the pages, with connections open, and comes back."""
    good = pages_of(ROWS, 5, "page")
    port = int(server.host.partition(":")[2])
    second: list[Server] = []

    def restart() -> None:
        server.close()
        second.append(Server(port, {"/items": good}))

    def items(asked: Asked) -> Any:
        if asked.value("page") == "3" and not stopping.is_set():
            stopping.set()
            thread.start()
            return Reply({}, cut=-1)
        return good(asked)

    stopping = threading.Event()
    thread = threading.Thread(target=restart)
    server.routes["/items"] = items
    try:
        assert read(connection_of(server, retries=12), {**BY_PAGE, "in_flight": 1}).rows == WANTED
    finally:
        thread.join()
        second[0].close()
    assert [asked.value("page") for asked in second[0].asked][-1] == "6"


def test_a_token_that_ends_while_several_pages_are_under_way(server: Server) -> None:
    tokens = ["first-token", "second-token"]
    valid: list[str] = []
    good = pages_of(ROWS, 2, "page")

    def give(_: Asked) -> Reply:
        valid[:] = [tokens.pop(0)]
        return Reply({"access_token": valid[0], "expires_in": 3600})

    def items(asked: Asked) -> Any:
        if asked.value("page") == "5" and tokens:
            valid.clear()
        known = asked.headers["authorization"].removeprefix("Bearer ") in valid
        return good(asked) if known else Reply({"error": "expired"}, 401)

    server.routes |= {"/token": give, "/items": items}
    auth = {"kind": "oauth2", "token_url": f"{server.url}/token", "client_id": "me", "client_secret": "hidden"}
    paginate = {"kind": "page", "as": "page", "total_pages": "$.pages"}
    assert read(connection_of(server, auth=auth), {"path": "/items", "paginate": paginate}).rows == WANTED
    assert tokens == []
    assert server.paths().count("/token") == 2


# ------------------------------------------------------------------------------------------------------ lying totals

TOTAL = {"kind": "page", "as": "page", "size": 10, "total": "$.total"}


@pytest.mark.parametrize("given", [1, 4, 5, 7, 9, 10, 12, 23, 30])
def test_pages_smaller_than_asked_for_lose_no_row(given: int, server: Server) -> None:
    server.routes["/items"] = pages_of(ROWS, given, "page")
    assert read(connection_of(server), {"path": "/items", "paginate": TOTAL}).rows == WANTED


def test_a_resumed_read_remembers_that_pages_are_small(server: Server) -> None:
    rows = [{"id": n, "name": "a"} for n in range(25)]
    server.routes["/items"] = pages_of(rows, 5, "page")
    table = {"path": "/items", "paginate": TOTAL}
    first = read(connection_of(server), table, stop_after=2)
    rest = read(connection_of(server), table, finished=frozenset(first.ids), ends=first.ends)
    assert [row[0] for row in first.rows + rest.rows] == list(range(25))


@pytest.mark.parametrize("count", [8, 15, 23])
def test_offsets_that_skip_rows_are_told(count: int, server: Server) -> None:
    rows = ROWS[:count]

    def small(asked: Asked) -> dict[str, Any]:
        first = int(asked.value("offset"))
        return {"data": rows[first : first + 5], "total": count}

    server.routes["/items"] = small
    table = {"path": "/items", "paginate": {"kind": "offset", "as": "offset", "size": 10, "total": "$.total"}}
    with pytest.raises(RestError, match=r"has 5 rows, [35] less than the total says") as caught:
        read(connection_of(server), table)
    assert "set size: 5" in caught.value.fix


def test_an_empty_page_before_the_last_is_told(server: Server) -> None:
    server.routes["/items"] = broken_once(pages_of(ROWS, 10, "page"), "2", Reply({"data": [], "total": 23}))
    table = {"path": "/items", "paginate": {**TOTAL, "size": 10}}
    with pytest.raises(RestError, match=r"page=2: an empty page, and 1 more should follow") as caught:
        read(connection_of(server), table)
    assert "run again" in caught.value.fix


def test_a_last_page_that_comes_for_ever_says_what_to_declare(server: Server) -> None:
    good = pages_of(ROWS, 5, "page")

    def clamped(asked: Asked) -> Any:
        page = str(min(int(asked.value("page")), 5))
        return good(Asked("GET", "/items", {"page": [page]}, {}, {}))

    server.routes["/items"] = clamped
    with pytest.raises(RestError, match="the same 3 rows as on the page before") as caught:
        read(connection_of(server), BY_PAGE)
    assert "stop_when" in caught.value.fix
    known = {"kind": "page", "as": "page", "total_pages": "$.pages"}
    assert read(connection_of(server), {"path": "/items", "paginate": known}).rows == WANTED


def test_a_resumed_read_whose_last_parents_are_gone(server: Server) -> None:
    """The parents that are left have no rows: the path is right all the same, for another one has answered before."""
    server.routes |= {
        "/people": lambda _: {"data": [{"id": key} for key in "abc"]},
        "/people/a/items": lambda _: {"data": [{"id": 1, "name": "a"}]},
    }
    child = {"path": "/people/{parent.id}/items", "parent": "people"}
    tables = {"people": {"path": "/people", "records": "$.data"}}
    first = read(connection_of(server), child, tables=tables, stop_after=1)
    rest = read(connection_of(server), child, tables=tables, finished=frozenset(first.ids), ends=first.ends)
    assert (first.rows, rest.rows) == ([(1, "a")], [])
