"""Where pages end: wrong totals and those that change, pages past the end, answers without records or no JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from headwater.sources.rest import client as rest_client
from headwater.sources.rest.client import RestError, RestUnavailableError
from headwater.sources.rest.spec import PaginateSpec
from tests.services.http import Asked, Reply, Server, serve

from .rest_reading import connection_of, read


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as found:
        yield found


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest_client, "BACKOFF_S", 0.01)


def rows_of(count: int) -> list[dict[str, Any]]:
    return [{"id": n, "name": "a"} for n in range(count)]


def items(
    count: int, size: int, total: Callable[[int], Any], *, past: Any = None, name: str = "total"
) -> Callable[[Asked], Any]:
    """A route of numbered or counted pages; `total` is told by the number of the page, `past` answers past the end."""
    rows = rows_of(count)

    def answer(asked: Asked) -> Any:
        first = int(asked.value("offset")) if "offset" in asked.query else (int(asked.value("page")) - 1) * size
        part = rows[first : first + size]
        body = {"data": part, name: total(first // size)}
        return past if not part and past is not None else body

    return answer


def ids(server: Server, paginate: dict[str, Any], **more: Any) -> list[int]:
    found = read(connection_of(server, **more), {"path": "/items", "paginate": paginate})
    return [row[0] for row in found.rows]


PAGE = {"kind": "page", "as": "page", "size": 2, "total": "$.total"}
OFFSET = {"kind": "offset", "as": "offset", "size": 2, "total": "$.total"}


@pytest.mark.parametrize("paginate", [PAGE, OFFSET], ids=["page", "offset"])
@pytest.mark.parametrize("told", [1, 3, 5, "5", 5.0, 7, "7"])
def test_a_total_that_is_too_small_loses_no_row(paginate: dict[str, Any], told: Any, server: Server) -> None:
    server.routes["/items"] = items(7, 2, lambda _: told)
    assert ids(server, paginate) == list(range(7))


@pytest.mark.parametrize("past", [None, Reply({"detail": "no such page"}, 404)], ids=["empty", "404"])
def test_a_total_that_shrinks_is_not_believed(past: Any, server: Server) -> None:
    server.routes["/items"] = items(7, 2, lambda page: [7, 4, 6, 7][page] if page < 4 else 6, past=past)
    assert ids(server, PAGE) == list(range(7))
    server.routes["/items"] = items(7, 2, lambda page: max(4 - page, 2), past=past, name="pages")
    assert ids(server, {"kind": "page", "as": "page", "total_pages": "$.pages"}) == list(range(7))


@given(
    count=st.integers(0, 13),
    size=st.integers(1, 5),
    asked=st.integers(1, 5),
    totals=st.lists(st.integers(0, 20), min_size=1, max_size=6),
    kind=st.sampled_from(["page", "offset"]),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_totals_that_say_anything_lose_nothing_in_silence(
    server: Server, count: int, size: int, asked: int, totals: list[int], kind: str
) -> None:
    """Every row, or an error; but for a total that is, on the last page taken, just as many rows as have come."""
    told = totals if kind == "page" else [max(totals)]
    server.routes["/items"] = items(count, size, lambda page: told[min(page, len(told) - 1)])
    paginate = {"kind": kind, "as": kind, "size": size if kind == "offset" else asked, "total": "$.total"}
    try:
        found = ids(server, paginate)
    except RestError:
        return
    assert found == list(range(len(found)))
    assert len(found) == count or len(found) in told


def test_a_total_that_grows_is_followed(server: Server) -> None:
    server.routes["/items"] = items(9, 2, lambda page: min(5 + 2 * page, 9))
    assert ids(server, PAGE) == list(range(9))


def test_an_empty_page_far_behind_the_last_is_told_when_rows_are_missing(server: Server) -> None:
    """The server gives smaller pages than asked for, so there are more of them than the total would make."""
    server.routes["/items"] = items(7, 2, lambda _: 9)
    with pytest.raises(RestError, match="an empty page, and fewer rows have come than the total"):
        ids(server, {**PAGE, "size": 5})


def test_a_page_that_is_short_without_a_total_hides_no_row(server: Server) -> None:
    """The server gives 3 rows whatever is asked for: at 10 there is nothing, and yet there are more."""
    server.routes["/items"] = items(8, 3, lambda _: 0)
    with pytest.raises(RestError, match="rows were skipped") as caught:
        ids(server, {"kind": "offset", "as": "offset", "size": 10})
    assert "set size: 3" in caught.value.fix
    assert ids(server, {"kind": "offset", "as": "offset", "size": 3}) == list(range(8))
    server.routes["/items"] = items(5, 10, lambda _: 0)
    assert ids(server, {"kind": "offset", "as": "offset", "size": 10}) == list(range(5))


# ------------------------------------------------------------------------------------------------------------- end_on


GONE = Reply({"detail": "Invalid page."}, 404)


@pytest.mark.parametrize("count", [2, 3, 6])
@pytest.mark.parametrize(
    "paginate", [{"kind": "page", "as": "page"}, {**OFFSET, "total": None}], ids=["page", "offset"]
)
def test_a_page_past_the_end_that_is_not_there(count: int, paginate: dict[str, Any], server: Server) -> None:
    paginate = {key: value for key, value in paginate.items() if value}
    server.routes["/items"] = items(count, 2, lambda _: 0, past=GONE)
    with pytest.raises(RestError, match="404 Not Found"):
        ids(server, paginate)
    assert ids(server, {**paginate, "end_on": [404]}) == list(range(count))


def test_the_first_page_that_is_not_there_is_no_end(server: Server) -> None:
    server.routes["/items"] = lambda _: GONE
    for paginate in ({"kind": "page", "as": "page"}, {"kind": "link"}, OFFSET):
        with pytest.raises(RestError, match="404 Not Found"):
            ids(server, {**paginate, "end_on": [404, "missing_records"]})


def test_a_page_that_is_not_there_before_the_total_is_reached(server: Server) -> None:
    server.routes["/items"] = items(7, 2, lambda _: 9, past=GONE)
    with pytest.raises(RestError, match="the total says that 2 more should come"):
        ids(server, {**PAGE, "end_on": [404]})


def test_gone_is_not_404(server: Server) -> None:
    server.routes["/items"] = items(3, 2, lambda _: 0, past=Reply({}, 410))
    with pytest.raises(RestError, match="410"):
        ids(server, {"kind": "page", "as": "page", "end_on": [404]})


def test_a_resumed_read_ends_at_the_page_that_is_not_there(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headwater.sources.rest.read.PAGES_PER_CHUNK", 1)
    server.routes["/items"] = items(4, 2, lambda _: 0, past=GONE)
    table = {"path": "/items", "paginate": {"kind": "page", "as": "page", "end_on": [404]}}
    first = read(connection_of(server), table, stop_after=2)
    rest = read(connection_of(server), table, finished=frozenset(first.ids), ends=first.ends)
    assert [row[0] for row in first.rows] == [0, 1, 2, 3]
    assert rest.rows == []


def test_records_that_are_left_out(server: Server) -> None:
    bodies: dict[str, Any] = {
        "": {"data": rows_of(2), "next": "b"},
        "b": {"kind": "list", "next": "c"},
        "c": {"data": [{"id": 2, "name": "a"}], "next": "d"},
        "d": {"kind": "list"},
    }
    server.routes["/items"] = lambda asked: bodies[asked.value("at")]
    paginate = {"kind": "cursor", "from": "$.next", "as": "at"}
    with pytest.raises(RestError, match=r"there is no \$.data in the answer") as caught:
        ids(server, paginate)
    assert "missing_records" in caught.value.fix
    assert ids(server, {**paginate, "end_on": ["missing_records"]}) == [0, 1, 2]
    bodies[""] = {"kind": "list"}
    assert ids(server, {**paginate, "end_on": ["missing_records"]}) == []
    assert ids(server, {"kind": "none", "end_on": ["missing_records"]}) == []


def test_numbered_pages_end_where_records_are_left_out(server: Server) -> None:
    server.routes["/items"] = items(4, 2, lambda _: 0, past={"kind": "list"})
    assert ids(server, {"kind": "page", "as": "page", "end_on": ["missing_records"]}) == [0, 1, 2, 3]
    server.routes["/items"] = items(4, 2, lambda _: 6, past={"kind": "list"})
    with pytest.raises(RestError, match="an empty page, and fewer rows have come than the total"):
        ids(server, {**PAGE, "end_on": ["missing_records"]})


def test_only_two_words_end_pages() -> None:
    with pytest.raises(ValidationError, match="end_on"):
        PaginateSpec.model_validate({"kind": "page", "as": "p", "end_on": [500]})


# ------------------------------------------------------------------------------------------------------------ no JSON


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (b'{"data": [{"id": 1, "v": NaN}]}', "application/json", "the answer has NaN"),
        (b'{"data": [{"id": 1, "v": [1, -Infinity]}]}', "application/json", "has -Infinity"),
        (b'{"data": [{"id": Infinity}', "application/json", "has Infinity"),
        (b'{"id": 1}\n{"id": 2}\n', "application/x-ndjson", "JSON Lines"),
        (b'{"id": 1}\r\n\r\n{"id": 2', "application/json", "JSON Lines"),
        (b"[1]\n[2]\n[3]", "application/json", "JSON Lines"),
        (b'{"data": []} trailing', "application/json", "trailing characters"),
        (b'{"data": []}}', "application/json", "trailing characters"),
        (b'{"data": [01]}', "application/json", "invalid number"),
        (b"{'data': []}", "application/json", "not JSON"),
        (b"<!DOCTYPE html><html><body>Log in</body></html>", "text/html", "not JSON.*Log in"),
        ('{"data": []}'.encode("utf-16"), "application/json", "UTF-16"),
        ('{"data": []}'.encode("utf-16-le"), "application/json", "UTF-16"),
        ('{"data": [{"id": 1, "name": "é"}]}'.encode("latin-1"), "application/json", "not UTF-8"),
        (b'{"data": "NaN"', "application/json", ""),
        (b'{"data": [{"name": "a NaN b"}, {"na', "application/json", ""),
        (b"", "application/json", ""),
    ],
)
def test_what_is_no_json_is_final_unless_it_was_cut_off(body: bytes, kind: str, said: str, server: Server) -> None:
    server.routes["/items"] = lambda _: Reply(body, headers={"Content-Type": kind})
    if said:
        with pytest.raises(RestError, match=said) as caught:
            ids(server, {"kind": "none"})
        assert caught.value.fix
        assert len(server.asked) == 1
    else:
        with pytest.raises(RestUnavailableError):
            ids(server, {"kind": "none"}, retries=2)
        assert len(server.asked) == 3


DOCUMENT = '{"data": [{"id": 1, "name": "a \\\\ [{\\" é NaN"}, {"id": 2, "name": null}], "t": {"x": [[], {}]}}'.encode()


@given(st.integers(1, len(DOCUMENT) - 1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_beginning_of_a_document_may_come_whole_the_next_time(server: Server, length: int) -> None:
    waiting = [Reply(DOCUMENT[:length])]
    server.routes["/items"] = lambda _: waiting.pop() if waiting else Reply(DOCUMENT)
    assert ids(server, {"kind": "none"}) == [1, 2]


def test_a_mark_before_the_document_is_no_part_of_it(server: Server) -> None:
    server.routes["/items"] = lambda _: Reply(b"\xef\xbb\xbf" + DOCUMENT)
    assert ids(server, {"kind": "none"}) == [1, 2]
