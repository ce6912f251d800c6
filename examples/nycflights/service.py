"""A weather service for the example: pages by cursor, a bearer token, a rate limit, ETags, and now and then a failure.

`GET /v1/observations?limit&after&since` gives observations in the order of their ids, `GET /v1/stations` all stations.
Each answer is a line of the access log, in the combined format.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import deque
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "weather-demo-token"
PER_SECOND = 40
FAILING_PAGE = "7000"
"""The page after this id fails the first time it is asked for."""


class WeatherService:
    """Answers questions about observations and stations, whichever thread asks.

    Args:
        observations: Rows by ascending id, as they are delivered.
        stations: Rows of stations.
        log: The access log to write to.
    """

    def __init__(self, observations: list[dict[str, Any]], stations: list[dict[str, Any]], log: Path) -> None:
        self.observations, self.stations, self.log = observations, stations, log
        self.asked: deque[float] = deque()
        self.failed: set[str] = set()
        self.refused = 0
        self.lock = threading.Lock()

    def answer(self, path: str, token: str, etag: str) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body."""
        parts = urlsplit(path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if token != f"Bearer {TOKEN}":
            return 401, {"WWW-Authenticate": "Bearer"}, b'{"error": "a token is needed"}'
        waiting = self._over_limit()
        if waiting:
            return 429, {"Retry-After": str(waiting)}, b'{"error": "too many requests"}'
        if parts.path == "/v1/stations":
            body = json.dumps({"data": self.stations}).encode()
            mark = f'"{hashlib.sha256(body).hexdigest()[:16]}"'
            return (304, {"ETag": mark}, b"") if etag == mark else (200, {"ETag": mark}, body)
        if parts.path == "/v1/observations":
            return self._observations(asked)
        return 404, {}, b'{"error": "there is no such thing"}'

    def _observations(self, asked: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        after, limit, since = asked.get("after", "0"), int(asked.get("limit", "100")), asked.get("since", "")
        with self.lock:
            fails = after == FAILING_PAGE and after not in self.failed
            self.failed.add(after)
        if fails:
            return 503, {"Retry-After": "0"}, b"<html>the service is busy</html>"
        found = [row for row in self.observations[int(after) :] if row["observed_at"] >= since[:19]][: limit + 1]
        page = found[:limit]
        following = page[-1]["id"] if len(found) > limit else None
        return 200, {}, json.dumps({"data": page, "next": following}).encode()

    def _over_limit(self) -> int:
        now = time.monotonic()
        with self.lock:
            while self.asked and self.asked[0] <= now - 1:
                self.asked.popleft()
            if len(self.asked) >= PER_SECOND:
                self.refused += 1
                return 1
            self.asked.append(now)
            return 0

    def write_log(self, client: str, request: str, status: int, size: int, agent: str) -> None:
        """Write a line of the access log."""
        stamp = datetime.now(UTC).strftime("%d/%b/%Y:%H:%M:%S +0000")
        line = f'{client} - - [{stamp}] "{request}" {status} {size or "-"} "-" "{agent}"\n'
        with self.lock, self.log.open("a", encoding="utf-8") as file:
            file.write(line)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service: ClassVar[WeatherService]

    def do_GET(self) -> None:
        self._send(with_body=True)

    def do_HEAD(self) -> None:
        self._send(with_body=False)

    def _send(self, *, with_body: bool) -> None:
        token, etag = self.headers.get("Authorization", ""), self.headers.get("If-None-Match", "")
        status, headers, body = self.service.answer(self.path, token, etag)
        self.send_response_only(status)
        for name, value in {"Content-Type": "application/json", **headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(body)
        agent = self.headers.get("User-Agent", "-")
        self.service.write_log(self.client_address[0], self.requestline, status, len(body), agent)

    def log_message(self, format: str, *args: object) -> None:
        del format, args


@contextmanager
def serving(service: WeatherService) -> Iterator[str]:
    """Serve on a free port of 127.0.0.1; gives the service's address."""
    handler = type("Handler", (_Handler,), {"service": service})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
