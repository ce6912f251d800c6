"""Tables of an API from the request to the table: full, merged, killed and resumed, failing in the middle."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from headwater.api import load
from headwater.core.project import SourceTable
from headwater.run.steps import extract
from headwater.sources.rest import client as rest_client
from headwater.sources.rest import read as rest_read
from tests.run.kill import NOW, copy_project, run_child
from tests.run.projects import rest_orders, rest_project, write
from tests.run.runner import rows, run, run_well, version
from tests.services.http import Asked, Reply, Server, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

LATER = NOW + timedelta(days=1)
FIRST: list[dict[str, Any]] = [{"id": n, "item": f"item {n % 3}", "at": 100 + n} for n in range(1, 8)]
SECOND = [*FIRST[:1], *FIRST[2:], {"id": 8, "item": "new", "at": 107}, {"id": 2, "item": "changed", "at": 200}]


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as found:
        yield found


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest_read, "PAGES_PER_CHUNK", 1)
    monkeypatch.setattr(rest_client, "BACKOFF_S", 0.01)


def wanted(table: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return sorted((row["id"], row["item"], str(row["at"])) for row in table)


SQL = 'select id, item, epoch("at")::bigint::varchar as moment from api.orders'


@pytest.mark.parametrize("store", ["warehouse", "lakehouse"])
@pytest.mark.parametrize("mode", ["full", "merge"])
def test_new_and_changed_rows_land(store: str, mode: str, server: Server, tmp_path: Path) -> None:
    folder = rest_project(tmp_path, store, mode, server.url)
    server.routes["/orders"] = rest_orders(FIRST)
    run_well(folder)
    assert rows(folder, SQL) == wanted(FIRST)
    before = version(folder, "api.orders")
    run_well(folder)
    assert version(folder, "api.orders") == before
    server.routes["/orders"] = rest_orders(SECOND)
    server.asked.clear()
    run_well(folder)
    assert rows(folder, SQL) == wanted(SECOND)
    if mode == "merge":
        assert {asked.value("since") for asked in server.asked} == {"107"}
    assert rows(folder, "select count(*) from system.api__orders where _raw like '%\"item\"%'") == [(len(SECOND),)]


@pytest.mark.parametrize("store", ["warehouse", "lakehouse"])
def test_a_load_that_failed_at_a_page_goes_on_there(store: str, server: Server, tmp_path: Path) -> None:
    folder = rest_project(tmp_path, store, "merge", server.url)
    good = rest_orders(FIRST)
    server.routes["/orders"] = lambda asked: Reply({}, 400) if asked.value("after") == "4" else good(asked)
    failed = run(folder)
    assert "400 Bad Request" in str(failed["api.orders/extract"].error)
    server.routes["/orders"] = good
    server.asked.clear()
    run_well(folder)
    assert rows(folder, SQL) == wanted(FIRST)
    assert [asked.value("after") for asked in server.asked] == ["2", "4", "6"], "a held chunk is read again"
    staged = load(folder).states()["api.orders"].position
    assert staged == {"cursor": "1970-01-01 00:01:47.000000+00:00"}


def test_no_secret_stays_in_what_a_resumed_load_goes_on_from(server: Server, tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        {
            "headwater.yaml": "name: resumed\n",
            ".env": "API_KEY=key-0f-the-api\nAPI_TOKEN=t0ken-of-a-param\n",
            "sources/api.yaml": (
                f"kind: rest\nconnection: {server.url}\n"
                "auth: {kind: api_key, name: api_key, in: query, value: '${env:API_KEY}'}\n"
                "tables:\n  orders:\n    path: /orders\n    records: $.data\n    params: {t: '${env:API_TOKEN}'}\n"
                "    paginate: {kind: next_url, from: $.next}\n    columns: {id: bigint}\n"
            ),
        },
    )
    broken = True

    def page(asked: Asked) -> Reply:
        assert (asked.value("api_key"), asked.value("t")) == ("key-0f-the-api", "t0ken-of-a-param")
        number = int(asked.value("page", "0"))
        if broken and number == 2:
            return Reply({}, 400)
        following = f"{server.url}/orders?page={number + 1}&api_key=key-0f-the-api&t=t0ken-of-a-param"
        return Reply({"data": [{"id": number}], "next": following if number < 3 else None})

    server.routes["/orders"] = page
    assert run(folder)["api.orders/extract"].error
    kept = [file.read_bytes() for file in folder.rglob("*") if file.is_file() and file.name != ".env"]
    assert any(b"pages-000000" in text or b"page=2" in text for text in kept), "nothing was staged"
    assert not any(secret in text for text in kept for secret in (b"key-0f-the-api", b"t0ken-of-a-param"))
    broken = False
    server.asked.clear()
    run_well(folder)
    assert [asked.value("page") for asked in server.asked] == ["1", "2", "3"], "a held chunk is read again"
    assert rows(folder, "select id from api.orders") == [(0,), (1,), (2,), (3,)]


@pytest.mark.parametrize("store", ["warehouse", "lakehouse"])
def test_rows_and_rejects_of_staged_pages_are_there_once(store: str, server: Server, tmp_path: Path) -> None:
    """Pages with rejects are staged in two parts; a page of HTML comes in between, and the next run goes on there."""
    folder = rest_project(tmp_path, store, "full", server.url)
    source = folder / "sources" / "api.yaml"
    source.write_text(source.read_text().replace("    load: full\n", "    load: full\n    max_rejected: 100%\n"))
    many = [{"id": n if n % 2 else f"no {n}", "item": "a", "at": n} for n in range(1, 12)]
    good = rest_orders(many)
    page = Reply(b"<html>Down</html>", headers={"Content-Type": "text/html"})
    server.routes["/orders"] = lambda asked: page if asked.value("after") == "6" else good(asked)
    assert "text/html" in str(run(folder)["api.orders/extract"].error)
    server.routes["/orders"] = good
    server.asked.clear()
    run_well(folder)
    assert "" not in [asked.value("after") for asked in server.asked], "the first page is not asked for again"
    assert rows(folder, "select id from api.orders") == [(n,) for n in range(1, 12, 2)]
    assert rows(folder, "select count(*), count(distinct raw) from quarantine.api__orders") == [(5, 5)]


@pytest.mark.parametrize("store", ["warehouse", "lakehouse"])
def test_an_outage_is_waited_for_and_the_load_goes_on_at_the_page(
    store: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All attempts of a request fail; the load is tried again after a pause, from what is staged."""
    monkeypatch.setattr(extract, "RETRY_PAUSES_S", (0.01, 0.01))
    folder = rest_project(tmp_path, store, "full", server.url)
    source = folder / "sources" / "api.yaml"
    source.write_text(source.read_text().replace("tables:", "retries: 1\ntables:"))
    many = [{"id": n, "item": "a", "at": n} for n in range(1, 12)]
    good, down = rest_orders(many), [Reply({}, 503)] * 4
    server.routes["/orders"] = lambda asked: down.pop() if asked.value("after") == "6" and down else good(asked)
    run_well(folder)
    assert down == []
    assert [asked.value("after") for asked in server.asked].count("") == 1, "the first page is asked for once"
    assert rows(folder, "select id from api.orders") == [(n,) for n in range(1, 12)]


def test_killed_at_every_boundary(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = [{"id": n, "item": f"item {n % 3}", "at": 100 + n} for n in range(1, 130)]
    fresh = rest_project(tmp_path / "fresh", "lakehouse", "merge", server.url)
    server.routes["/orders"] = rest_orders(many)
    whole = copy_project(fresh, tmp_path / "whole")
    undisturbed = run_child(whole)
    assert undisturbed.code == 0
    assert len(undisturbed.tables["api.orders"]) == 130
    for at in range(1, undisturbed.events + 1, 2):
        work = copy_project(fresh, tmp_path / "work")
        assert run_child(work, at=at).code == -9
        again = run_child(work)
        assert again.code == 0
        assert again.tables == undisturbed.tables, f"killed at event {at}"


def test_an_unchanged_answer_is_skipped_by_its_etag(server: Server, tmp_path: Path) -> None:
    folder = rest_project(tmp_path, "warehouse", "full", server.url)
    source = folder / "sources" / "api.yaml"
    kept = [line for line in source.read_text().splitlines() if "paginate" not in line]
    source.write_text("\n".join(kept) + "\n")
    server.routes["/orders"] = lambda _: Reply({"data": FIRST}, headers={"ETag": '"1"'})
    run_well(folder)
    server.asked.clear()
    run_well(folder)
    assert {asked.method for asked in server.asked} == {"HEAD"}
    server.routes["/orders"] = lambda _: Reply({"data": SECOND}, headers={"ETag": '"2"'})
    run_well(folder)
    assert rows(folder, SQL) == wanted(SECOND)


def test_no_secret_is_left_behind(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "the-secret-key")
    folder = rest_project(tmp_path, "warehouse", "full", server.url)
    source = folder / "sources" / "api.yaml"
    auth = 'auth: {kind: api_key, name: k, value: "${env:API_KEY}", in: query}\ntables:'
    source.write_text(source.read_text().replace("tables:", auth))

    def refuse(asked: Asked) -> Reply:
        return Reply({"refused": asked.value("k")}, 403)

    server.routes["/orders"] = refuse
    results = run(folder)
    told = str(results["api.orders/extract"].error)
    assert "403" in told
    assert server.asked[-1].value("k") == "the-secret-key"
    assert "the-secret-key" not in told
    for file in folder.rglob("*"):
        assert not file.is_file() or b"the-secret-key" not in file.read_bytes(), file


def test_the_shops_file_is_accepted_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIPE_KEY", "sk_test_1")
    text = """kind: rest
connection: https://api.example.com/v1
auth: {kind: bearer, token: "${env:STRIPE_KEY}"}
rate: {requests: 100, per: 1s}
tables:
  charges:
    path: /charges
    params: {limit: 100}
    records: $.data
    paginate: {kind: cursor, from: "$.data[-1].id", as: starting_after, stop_when: "$.has_more == false"}
    load: incremental
    key: id
    cursor: created
    send_cursor: {as: "created[gte]"}
    deletes: ignore
    columns: {id: varchar, amount: bigint, currency: varchar, created: epoch_s}
"""
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "stripe.yaml").write_text(text)
    (tmp_path / "headwater.yaml").write_text("name: shop\n")
    options = load(tmp_path).project.declared(SourceTable)["stripe.charges"].options
    assert options.params == {"limit": ["100"]}
    assert options.paginate.stop_when == "$.has_more == false"


@pytest.mark.parametrize("written", ["404", "'404'"])
def test_end_on_is_written_in_a_project(written: str, server: Server, tmp_path: Path) -> None:
    pages = {"1": [1, 2], "2": [3]}
    server.routes["/n"] = lambda asked: (
        [{"id": n} for n in pages[asked.value("p")]] if asked.value("p") in pages else Reply({}, 404)
    )
    folder = write(
        tmp_path,
        {
            "headwater.yaml": "name: ends\n",
            "sources/api.yaml": f"kind: rest\nconnection: {server.url}\ntables:\n  numbers:\n    path: /n\n"
            f"    paginate: {{kind: page, as: p, end_on: [{written}, missing_records]}}\n    columns: {{id: bigint}}\n",
        },
    )
    run_well(folder)
    assert rows(folder, "select id from api.numbers") == [(1,), (2,), (3,)]
