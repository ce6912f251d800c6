"""Answers that come packed: as they are sent, and none that unpacks to far more than it is."""

from __future__ import annotations

import gzip
import json
import resource
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.sources.rest import client as rest_client
from headwater.sources.rest.client import RestError
from headwater.sources.rest.unpack import MAX_RATIO, CutOffError, PackedError, unpack
from tests.services.http import Reply, Server, serve
from tests.sources.rest_reading import connection_of, read

if TYPE_CHECKING:
    from collections.abc import Iterator

GOOD = json.dumps({"data": [{"id": 1, "name": "a"}]}).encode()
TABLE = {"path": "/items"}


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as found:
        yield found


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest_client, "BACKOFF_S", 0.01)


def bare(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(GOOD)), ("x-gzip", gzip.compress(GOOD)), ("GZIP", gzip.compress(GOOD)),
        ("gzip", gzip.compress(GOOD[:9]) + gzip.compress(GOOD[9:])), ("deflate", zlib.compress(GOOD)),
        ("deflate", bare(GOOD)),
        ("identity", GOOD), ("", GOOD), ("identity, gzip", gzip.compress(GOOD)),
    ],
    ids=range(9),
)  # fmt: skip
def test_a_packed_answer_is_read(encoding: str, body: bytes, server: Server) -> None:
    server.routes["/items"] = lambda _: Reply(body, headers={"Content-Encoding": encoding})
    assert read(connection_of(server), TABLE).rows == [(1, "a")]
    assert server.asked[0].headers["accept-encoding"] == "gzip, deflate"


def packed(times: int, size_bytes: int) -> bytes:
    body = b'{"data": [' + b" " * size_bytes
    for _ in range(times):
        body = gzip.compress(body)
    return body


@pytest.mark.parametrize(
    ("encoding", "body", "says"),
    [
        ("gzip", packed(1, 400_000_000), "unpack to more than"),
        ("deflate", zlib.compress(b" " * 400_000_000), "unpack to more than"),
        ("gzip, gzip", packed(2, 1000), "packed as gzip, gzip"),
        ("gzip, gzip, gzip", packed(3, 200_000_000), "packed as gzip, gzip, gzip"),
        ("gzip,deflate", packed(1, 1000), "packed as gzip,deflate"),
        ("br", b"x", "packed as br"),
        ("zstd", b"x", "packed as zstd"),
    ],
    ids=range(7),
)
def test_an_answer_that_explodes_is_final(encoding: str, body: bytes, says: str, server: Server) -> None:
    server.routes["/items"] = lambda _: Reply(body, headers={"Content-Encoding": encoding})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(RestError, match=says) as caught:
        read(connection_of(server), TABLE)
    assert caught.value.fix
    assert len(server.asked) == 1
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 100_000_000


@given(st.binary(max_size=3000), st.sampled_from(["gzip", "deflate", ""]), st.integers(1, 500), st.integers(1, 4))
def test_what_is_unpacked_is_what_was_packed(data: bytes, encoding: str, size: int, repeated: int) -> None:
    data = data * repeated
    body = {"gzip": gzip.compress, "deflate": zlib.compress, "": bytes}[encoding](data)
    blocks = [body[at : at + size] for at in range(0, len(body), size)]
    assert b"".join(unpack(encoding, blocks)) == data
    if encoding:
        with pytest.raises((CutOffError, PackedError)):
            list(unpack(encoding, [body[:-1]]))


def test_a_large_answer_may_hold_so_many_times_its_size() -> None:
    data = b"".join(b'{"id": %d, "name": "some name"},' % number for number in range(2_000_000))
    body = gzip.compress(data, 1)
    assert len(data) < MAX_RATIO * len(body)
    assert sum(map(len, unpack("gzip", [body]))) == len(data)


@pytest.mark.parametrize(
    "deep",
    [
        b"[" * 200_000,
        b'{"data": ' * 100_000,
        b'{"data": [' + b'{"a":' * 100_000,
        b'{"data": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    ],
)
def test_an_answer_that_is_nested_without_end_is_an_error(deep: bytes, server: Server) -> None:
    server.routes["/items"] = lambda _: Reply(deep)
    with pytest.raises(RestError, match="/items: the answer is nested too deeply"):
        read(connection_of(server, retries=0), TABLE)
