"""A real HTTP server in this process, threaded, that answers as a test tells it and remembers what it was asked."""

from __future__ import annotations

import json
import socket
import struct
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from headwater.sources.rest import rate as rest_rate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    form: dict[str, list[str]]

    def value(self, name: str, default: str = "") -> str:
        return self.query.get(name, [default])[0]


@dataclass(frozen=True)
class Reply:
    """One answer. `cut`: the connection is dropped after so many bytes of the body, -1 before anything is sent."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    wait: threading.Event | None = None
    wait_s: float = 0.0


class _Http(ThreadingHTTPServer):
    owner: Server


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    server: _Http

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        size = int(self.headers.get("content-length") or 0)
        form = parse_qs(self.rfile.read(size).decode()) if size else {}
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = parse_qs(parts.query, keep_blank_values=True)
        self._send(self.server.owner._answer(Asked(self.command, parts.path, query, headers, form)))

    do_POST = do_HEAD = do_GET  # noqa: N815

    def _send(self, reply: Reply) -> None:
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        if reply.status == 204:
            body = b""
        if reply.cut == -1:
            self._drop()
            return
        self.send_response(reply.status)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **reply.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if reply.cut is None else body[: reply.cut])
        if reply.cut is not None:
            self.wfile.flush()
            self._drop()

    def _drop(self) -> None:
        """Reset the connection."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def handle(self) -> None:
        try:
            super().handle()
        except (OSError, ValueError):
            self.close_connection = True

    def finish(self) -> None:
        try:
            super().finish()
        except (OSError, ValueError):
            self.close_connection = True


class Server:
    """Answers by the function set for a path; anything that is no Reply is sent as JSON.

    `routes` that must be there for the first request are given here: it serves from now on.
    """

    def __init__(self, port: int = 0, routes: dict[str, Callable[[Asked], Any]] | None = None) -> None:
        self.routes = dict(routes or {})
        self.asked: list[Asked] = []
        self.under_way = 0
        self.most_under_way = 0
        self._lock = threading.Lock()
        self._http = _Http(("127.0.0.1", port), _Handler)
        self._http.owner = self
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._http.server_port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}"

    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def _answer(self, asked: Asked) -> Reply:
        with self._lock:
            self.asked.append(asked)
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            route = self.routes.get(asked.path)
            found = route(asked) if route else Reply({"error": "no such path"}, 404)
            reply = found if isinstance(found, Reply) else Reply(found)
            if reply.wait is not None or reply.wait_s:
                (reply.wait or threading.Event()).wait(reply.wait_s or 10)
            return reply
        finally:
            with self._lock:
                self.under_way -= 1


@contextmanager
def serve() -> Iterator[Server]:
    """Run a server for a block; a port that an earlier one had asks nobody any more to be left alone."""
    server = Server()
    rest_rate._budgets.pop(urlsplit(server.url).netloc, None)
    try:
        yield server
    finally:
        server.close()


def pages_of(rows: list[Any], size: int, style: str, server: Server | None = None) -> Callable[[Asked], Any]:
    """Return a route that gives rows page by page: page, offset, cursor, link or next_url."""

    def page(asked: Asked) -> Reply | dict[str, Any]:
        base = server.url if server else ""
        if style == "page":
            first = (int(asked.value("page", "1")) - 1) * size
        elif style == "cursor":
            after = asked.value("after")
            first = next((i + 1 for i, row in enumerate(rows) if str(row["id"]) == after), 0)
        else:
            first = int(asked.value("offset", "0"))
        part = rows[first : first + size]
        more = first + size < len(rows)
        body = {"data": part, "has_more": more, "total": len(rows), "pages": -(-len(rows) // size)}
        url = f"{base}{asked.path}?offset={first + size}"
        if style == "next_url":
            body["next"] = url if more else None
        headers = {"Link": f'<{url}>; rel="next", <{base}/>; rel="first"'} if style == "link" and more else {}
        return Reply(body, headers=headers)

    return page
