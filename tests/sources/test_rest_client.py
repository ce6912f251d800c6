"""An API that fails, hurries, redirects, or wants to know who asks."""

from __future__ import annotations

import base64
import logging
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest

from headwater.errors import ConnectorError, Retryable
from headwater.sources.rest import client as rest_client
from headwater.sources.rest import rate as rest_rate
from headwater.sources.rest.client import RestError, RestUnavailableError
from headwater.sources.rest.rate import Budget, read_limits, read_retry_after
from tests.services.http import Asked, Reply, Server, serve
from tests.sources.rest_reading import connection_of, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GOOD = {"data": [{"id": 1, "name": "a"}]}
TABLE = {"path": "/items"}
SECRET = "s3cr3t/välue"


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as found:
        yield found


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest_client, "BACKOFF_S", 0.01)


def in_turn(*replies: Any) -> Callable[[Asked], Any]:
    """A route that gives one reply after the other, the last one for ever."""
    waiting = list(replies)
    return lambda _: waiting.pop(0) if len(waiting) > 1 else waiting[0]


# ----------------------------------------------------------------------------------------------------------- failing


@pytest.mark.parametrize(
    "broken",
    [
        *(Reply({"error": "busy"}, status) for status in (408, 425, 429, 500, 502, 503, 504)),
        Reply(GOOD, cut=-1),
        Reply(GOOD, cut=9),
        Reply(b'{"data": [{"id": 1'),
        Reply(GOOD, headers={"Content-Encoding": "gzip"}),
        Reply({}, 429, {"Retry-After": "0"}),
    ],
    ids=lambda reply: f"{reply.status} {reply.cut} {reply.headers}",
)
def test_what_may_pass_is_asked_again(broken: Reply, server: Server) -> None:
    server.routes["/items"] = in_turn(broken, broken, GOOD)
    assert read(connection_of(server), TABLE).rows == [(1, "a")]
    assert len(server.asked) == 3


def test_a_failure_that_lasts_is_retryable_and_tells_the_attempts(server: Server) -> None:
    server.routes["/items"] = lambda _: Reply({}, 503)
    with pytest.raises(RestUnavailableError, match=r"/items: 503 Service Unavailable, after 3 attempts") as caught:
        read(connection_of(server, retries=2), TABLE)
    assert isinstance(caught.value, Retryable)
    assert len(server.asked) == 3


def test_nobody_there(server: Server) -> None:
    spec = connection_of(server, retries=1)
    server.close()
    with pytest.raises(RestUnavailableError, match="ConnectError"):
        read(spec, TABLE)


def test_an_answer_that_does_not_come_is_given_up(server: Server) -> None:
    server.routes["/items"] = lambda _: Reply(GOOD, wait_s=0.5)
    with pytest.raises(RestUnavailableError, match="ReadTimeout"):
        read(connection_of(server, timeout="50ms", retries=0), TABLE)


@pytest.mark.parametrize(
    ("reply", "what"),
    [
        (Reply(b"<!DOCTYPE html><title>Log in</title>", headers={"Content-Type": "text/html"}), "text/html.*Log in"),
        (Reply(b"\x00\xffgarbage"), "not UTF-8"),
        (Reply(b"OK"), "not JSON.*OK"),
        (Reply({"error": "no such thing"}), r"no \$.data in the answer.*no such thing"),
        (Reply({"error": "what is this"}, 400), "400 Bad Request.*what is this"),
        (Reply({}, 403), "403 Forbidden"),
        (Reply({}, 404), "404 Not Found"),
    ],
)
def test_what_cannot_pass_is_told_at_once(reply: Reply, what: str, server: Server) -> None:
    server.routes["/items"] = lambda _: reply
    with pytest.raises(RestError, match=what) as caught:
        read(connection_of(server), TABLE)
    assert caught.value.fix
    assert len(server.asked) == 1


def test_no_content_is_no_rows(server: Server) -> None:
    server.routes["/items"] = lambda _: Reply(None, 204)
    assert read(connection_of(server), TABLE).rows == []


def test_hidden_values_are_in_no_message(server: Server) -> None:
    hidden = {"prepare": [{"drop": ["name"]}]}
    for body in ({"rows": [{"name": "HIDDEN"}]}, b"name=HIDDEN"):
        server.routes["/items"] = lambda _, body=body: Reply(body)
        with pytest.raises(RestError) as caught:
            read(connection_of(server), {**TABLE, "params": {"q": "HIDDEN"}}, ingest=hidden)
        assert "HIDDEN" not in str(caught.value)


# ------------------------------------------------------------------------------------------------------------- hosts


def test_a_redirect_within_the_host_is_followed_and_in_a_circle_is_not(server: Server) -> None:
    server.routes |= {"/items": lambda _: Reply({}, 302, {"Location": "/real?a=1"}), "/real": lambda _: GOOD}
    assert read(connection_of(server), TABLE).rows == [(1, "a")]
    server.routes["/real"] = lambda _: Reply({}, 307, {"Location": "/items"})
    with pytest.raises(RestError, match="redirected more than"):
        read(connection_of(server), TABLE)


@pytest.mark.parametrize("way", ["redirect", "next_url", "link"])
def test_credentials_go_to_no_other_host_unless_it_is_listed(way: str, server: Server) -> None:
    with serve() as other:
        other.routes["/more"] = lambda _: {"data": [{"id": 2, "name": "b"}]}
        url = f"{other.url}/more"
        server.routes["/items"] = {
            "redirect": lambda _: Reply({}, 302, {"Location": url}),
            "next_url": lambda _: {**GOOD, "next": url},
            "link": lambda _: Reply(GOOD, headers={"Link": f'<{url}>; rel="next"'}),
        }[way]
        kinds = {
            "redirect": {"kind": "none"},
            "next_url": {"kind": "next_url", "from": "$.next"},
            "link": {"kind": way},
        }
        table = {**TABLE, "paginate": kinds[way]}
        auth = {"kind": "bearer", "token": SECRET}
        with pytest.raises(RestError, match="another host") as caught:
            read(connection_of(server, auth=auth), table)
        assert "hosts:" in caught.value.fix
        assert other.asked == []
        found = read(connection_of(server, auth=auth, hosts=[other.host]), table)
        assert found.rows[-1] == (2, "b")


# -------------------------------------------------------------------------------------------------------------- auth


@pytest.mark.parametrize(
    ("auth", "sent"),
    [
        ({"kind": "basic", "user": "u", "password": "pass:word"}, {"authorization": "Basic dTpwYXNzOndvcmQ="}),
        ({"kind": "bearer", "token": "abcdef"}, {"authorization": "Bearer abcdef"}),
        ({"kind": "api_key", "name": "X-Key", "value": "abcdef"}, {"x-key": "abcdef"}),
    ],
)
def test_credentials_in_headers(auth: dict[str, str], sent: dict[str, str], server: Server) -> None:
    server.routes["/items"] = lambda _: GOOD
    read(connection_of(server, auth=auth, headers={"X-More": "yes"}), TABLE)
    assert {**sent, "x-more": "yes"}.items() <= server.asked[0].headers.items()


def test_a_key_in_the_query_goes_with_every_page_and_into_no_message(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.routes["/items"] = in_turn({**GOOD, "next": "/items?p=2"}, Reply({"you sent": SECRET}, 400))
    auth = {"kind": "api_key", "name": "k", "value": SECRET, "in": "query"}
    with pytest.raises(RestError, match=r"p=2&k=\*\*\*|/items\?p=2") as caught:
        read(connection_of(server, auth=auth), {**TABLE, "paginate": {"kind": "next_url", "from": "$.next"}})
    assert [asked.value("k") for asked in server.asked] == [SECRET, SECRET]
    for text in (str(caught.value), caplog.text):
        assert "s3cr3t" not in text


def oauth(server: Server, *, uses: int, seen: list[Asked]) -> None:
    """A server of tokens that are good for so many requests each."""
    tokens: dict[str, int] = {}

    def give(asked: Asked) -> Reply:
        seen.append(asked)
        tokens[token := f"token-number-{len(seen)}"] = uses
        return Reply({"access_token": token, "expires_in": 3600})

    def items(asked: Asked) -> Reply:
        token = asked.headers.get("authorization", "").removeprefix("Bearer ")
        if tokens.get(token, 0) < 1:
            return Reply({"error": "expired", "token": token}, 401)
        tokens[token] -= 1
        page = int(asked.value("page"))
        return Reply({"data": [{"id": page, "name": "a"}] if page < 8 else []})

    server.routes |= {"/token": give, "/items": items}


@pytest.mark.parametrize("send_as", ["basic", "body"])
def test_a_token_that_expires_in_the_middle_is_fetched_anew(send_as: str, server: Server) -> None:
    seen: list[Asked] = []
    oauth(server, uses=3, seen=seen)
    auth = {"kind": "oauth2", "token_url": f"{server.url}/token", "client_id": "me", "client_secret": SECRET}
    table = {**TABLE, "paginate": {"kind": "page", "as": "page"}, "in_flight": 1}
    found = read(connection_of(server, auth={**auth, "scope": "read", "send_as": send_as}), table)
    assert [row[0] for row in found.rows] == list(range(1, 8))
    assert len(seen) == 3
    assert seen[0].form["grant_type"] == ["client_credentials"]
    assert seen[0].form["scope"] == ["read"]
    if send_as == "body":
        assert seen[0].form["client_secret"] == [SECRET]
    else:
        assert seen[0].headers["authorization"] == "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()


def test_a_token_that_is_always_refused_is_told_without_it(server: Server) -> None:
    seen: list[Asked] = []
    oauth(server, uses=0, seen=seen)
    auth = {"kind": "oauth2", "token_url": f"{server.url}/token", "client_id": "me", "client_secret": SECRET}
    with pytest.raises(RestError, match="401") as caught:
        read(connection_of(server, auth=auth), {**TABLE, "params": {"page": 1}})
    assert len(seen) == 2
    assert "token-number" not in str(caught.value)


def test_no_token_says_what_to_check(server: Server) -> None:
    auth = {"kind": "oauth2", "token_url": f"{server.url}/token", "client_id": "me", "client_secret": SECRET}
    with pytest.raises(RestError, match="gave no token: 404") as caught:
        read(connection_of(server, auth=auth), TABLE)
    assert "client_secret" in caught.value.fix


# -------------------------------------------------------------------------------------------------------------- rate


def test_a_budget_allows_no_more_in_any_stretch() -> None:
    now = [100.0]
    budget = Budget(lambda: now[0])
    budget.restrict(2, 1.0)
    assert budget.take() == 0
    now[0] += 0.6
    assert [budget.take(), budget.take()] == [0, pytest.approx(0.4)]
    now[0] += 0.4
    assert [budget.take(), budget.take()] == [0, pytest.approx(0.6)]
    budget.pause(5)
    assert budget.take() == pytest.approx(5)


def test_one_budget_for_all_readers_of_a_host(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []
    whole = rest_rate.Budget.take

    def take(budget: Budget) -> float:
        found = whole(budget)
        if not found:
            taken.append("one")
        return found

    monkeypatch.setattr(rest_rate.Budget, "take", take)
    server.routes["/items"] = lambda _: GOOD
    for _ in range(3):
        read(connection_of(server, rate={"requests": 1000, "per": "1s"}), TABLE)
    assert len(taken) == 3
    assert rest_rate.budget_of(server.host) is rest_rate.budget_of(server.host)


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "7"}, (0, 7)),
        ({"ratelimit-remaining": "3", "ratelimit-reset": "7"}, (3, 7)),
        ({"ratelimit": "limit=10, remaining=0, reset=5"}, (0, 5)),
        ({"ratelimit": '"default";r=0;t=5'}, (0, 5)),
        ({"x-ratelimit-remaining": "many"}, (None, None)),
        ({}, (None, None)),
    ],
)
def test_what_an_answer_says_of_the_budget(headers: dict[str, str], wanted: Any) -> None:
    assert read_limits(headers) == wanted


def test_a_reset_may_be_a_time() -> None:
    soon = datetime.now(UTC) + timedelta(seconds=100)
    _, reset_s = read_limits({"x-ratelimit-reset": str(int(soon.timestamp()))})
    assert reset_s == pytest.approx(100, abs=5)


def test_retry_after_is_a_number_or_a_date() -> None:
    assert read_retry_after("120") == 120
    assert read_retry_after(format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)) == pytest.approx(
        90, abs=5
    )
    assert read_retry_after("Thu, 01 Jan 1970 00:00:00 GMT") == 0
    assert [read_retry_after(text) for text in (None, "soon")] == [None, None]


@pytest.mark.parametrize(
    "reply",
    [Reply({}, 429, {"Retry-After": "3600"}), Reply(GOOD, headers={"RateLimit": "remaining=0, reset=3600"})],
    ids=["retry-after", "remaining"],
)
def test_a_wait_that_is_too_long_fails_retryably_and_says_how_long(reply: Reply, server: Server) -> None:
    server.routes["/items"] = lambda _: reply
    table = {**TABLE, "paginate": {"kind": "page", "as": "page"}}
    with pytest.raises(ConnectorError, match=r"(3600|3599) s") as caught:
        read(connection_of(server), table)
    assert isinstance(caught.value, Retryable)
    assert len(server.asked) == 1
