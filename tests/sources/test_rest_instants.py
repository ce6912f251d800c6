"""Cursors of an API whose times have offsets, in a column without one; and fields that are taken over from a parent."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.run.projects import write
from tests.run.runner import rows as landed
from tests.run.runner import run_well
from tests.services.http import Asked, Reply, Server, serve

from .rest_reading import connection_of, read

LOCAL = timezone(timedelta(hours=5, minutes=30))
"""Where the API takes a time without an offset to be."""

START = datetime(2024, 3, 1, tzinfo=UTC)
ROW = st.tuples(st.integers(0, 40), st.sampled_from([-11 * 60, -210, 0, 60, 120, 345, 14 * 60]), st.booleans())
"""Quarters of an hour after the last row, minutes of its offset, whether UTC is written as Z."""

INCREMENTAL = {"load": "incremental", "key": "id", "cursor": "at", "lag": "0s"}


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as found:
        yield found


class Events:
    """An API that gives what is at or after an instant, in their order, three to a page."""

    def __init__(self, server: Server) -> None:
        self.rows: list[tuple[int, datetime, str]] = []
        self.given: list[int] = []
        server.routes["/items"] = self._answer

    def add(self, steps: list[tuple[int, int, bool]]) -> None:
        for quarters, minutes, short in steps:
            last = self.rows[-1][1] if self.rows else START
            at = last + timedelta(minutes=15 * quarters)
            text = at.astimezone(timezone(timedelta(minutes=minutes))).isoformat()
            text = text.replace("+00:00", "Z") if short else text
            self.rows.append((len(self.rows), at, text))

    def _answer(self, asked: Asked) -> Any:
        since = datetime.fromisoformat(asked.value("since", "1970-01-01T00:00:00Z"))
        since = since if since.tzinfo else since.replace(tzinfo=LOCAL)
        found = [row for row in self.rows if row[1] >= since]
        first = int(asked.value("after", "0"))
        self.given += [number for number, *_ in found[first : first + 3]]
        data = [{"id": number, "at": text} for number, _, text in found[first : first + 3]]
        return {"data": data, "next": first + 3 if first + 3 < len(found) else None}


@given(st.lists(st.lists(ROW, max_size=6), min_size=2, max_size=4))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_row_comes_once_whatever_its_offset(server: Server, loads: list[list[tuple[int, int, bool]]]) -> None:
    events = Events(server)
    table = {
        "path": "/items",
        "paginate": {"kind": "cursor", "from": "$.next", "as": "after"},
        "send_cursor": {"as": "since"},
    }
    position: dict[str, Any] = {}
    there: dict[int, datetime] = {}
    for steps in loads:
        highest = max((row[1] for row in events.rows), default=None)
        events.add(steps)
        events.given.clear()
        found = read(
            connection_of(server),
            table,
            columns={"id": "BIGINT", "at": "TIMESTAMP"},
            ingest=INCREMENTAL,
            position=position,
        )
        assert found.rejects == []
        assert events.given == [n for n, at, _ in events.rows if highest is None or at >= highest], (
            "asked for what is new"
        )
        there |= dict(found.rows)
        position |= found.position
        assert there == {number: at.replace(tzinfo=None) for number, at, _ in events.rows}


def test_without_a_key_every_row_lands_once(server: Server, tmp_path: Any) -> None:
    events = Events(server)
    write(
        tmp_path,
        {
            "headwater.yaml": "name: instants\n",
            "sources/api.yaml": (
                f"kind: rest\nconnection: {server.url}\ntables:\n  items:\n    path: /items\n    records: $.data\n"
                '    paginate: {kind: cursor, from: "$.next", as: after}\n    send_cursor: {as: since}\n'
                "    load: incremental\n    cursor: at\n    into: lakehouse\n    columns: {id: bigint, at: timestamp}\n"
            ),
        },
    )
    for steps in ([(4, 120, False), (0, -210, False)], [(0, 0, True), (4, 345, False)], [], [(1, -660, False)]):
        events.add(steps)
        run_well(tmp_path)
        wanted = [(number, at.replace(tzinfo=None)) for number, at, _ in events.rows]
        assert landed(tmp_path, 'select id, "at" from api.items') == wanted


@pytest.mark.parametrize(
    ("form", "sent"), [(None, "2024-03-01T00:30:00Z"), ("epoch_s", "1709253000"), ("date", "2024-03-01")]
)
def test_the_cursor_is_the_same_instant_in_the_declared_form(form: str | None, sent: str, server: Server) -> None:
    rows = [{"id": 1, "at": "2024-03-01T02:00:00+05:30"}, {"id": 2, "at": "2024-02-29T22:30:00-02:00"}]
    server.routes["/items"] = lambda _: {"data": rows}
    table = {"path": "/items", "send_cursor": {"as": "since", "format": form}}
    columns = {"id": "BIGINT", "at": "TIMESTAMP"}
    first = read(connection_of(server), table, columns=columns, ingest=INCREMENTAL)
    assert first.position["cursor"] == "2024-03-01 00:30:00.000000"
    read(connection_of(server), table, columns=columns, ingest=INCREMENTAL, position=first.position)
    assert server.asked[-1].value("since") == sent


def test_a_cursor_keeps_its_digits(server: Server) -> None:
    highest = "12345678901234567890123456.123456789012"
    lower = highest.replace("789012", "789011")
    body = b'{"data": [{"id": 1, "at": %s}, {"id": 2, "at": %s}]}' % (lower.encode(), highest.encode())
    server.routes["/items"] = lambda _: Reply(body)
    table = {"path": "/items", "send_cursor": {"as": "since"}}
    ingest = {"load": "incremental", "key": "id", "cursor": "at"}
    first = read(connection_of(server), table, columns={"id": "BIGINT", "at": "DECIMAL(38,12)"}, ingest=ingest)
    assert first.position == {"cursor": highest}
    assert [str(row[1]) for row in first.rows][1] == highest
    read(
        connection_of(server),
        table,
        columns={"id": "BIGINT", "at": "DECIMAL(38,12)"},
        ingest=ingest,
        position=first.position,
    )
    assert server.asked[-1].value("since") == highest


def test_what_is_taken_from_the_parent_is_there_once(server: Server) -> None:
    """A row's own field of the same name gives way; numbers of both keep their digits."""
    big = "123456789012345678901234567890.50"
    server.routes["/people"] = lambda _: Reply(b'{"data": [{"id": 9007199254740993, "n": %s}]}' % big.encode())
    server.routes["/people/9007199254740993/items"] = lambda _: Reply(
        b'{"data": [{"owner": 1, "id": 1, "v": %s}, {"\\u006fwner": 2, "id": 2, "v": 1.10}, {"id": 3, "v": null}]}'
        % big.encode()
    )
    child = {"path": "/people/{parent.id}/items", "parent": {"table": "people", "take": {"owner": "id", "n": "n"}}}
    found = read(
        connection_of(server),
        child,
        columns={"owner": "BIGINT", "n": "DECIMAL(38,2)", "id": "BIGINT", "v": "VARCHAR"},
        tables={"people": {"path": "/people", "records": "$.data"}},
    )
    assert found.rejects == []
    assert [(row[0], str(row[1]), row[2], row[3]) for row in found.rows] == [
        (9007199254740993, big, 1, big),
        (9007199254740993, big, 2, "1.10"),
        (9007199254740993, big, 3, None),
    ]
