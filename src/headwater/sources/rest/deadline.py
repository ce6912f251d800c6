"""A limit for the time of a whole answer: httpx limits each read, and a byte now and then would never end an answer."""

from __future__ import annotations

import math
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx


class Deadline(threading.local):
    """When the answer that a thread waits for has to be whole."""

    until_s = math.inf

    @contextmanager
    def within(self, limit_s: float) -> Iterator[None]:
        """Have what the thread reads in this block end with a timeout after so many seconds."""
        self.until_s = time.monotonic() + limit_s
        try:
            yield
        finally:
            self.until_s = math.inf

    def watch(self, client: httpx.Client) -> None:
        """Put the limit under all connections of a client, proxies' too: httpx has no place where to name it."""
        for transport in (client._transport, *client._mounts.values()):
            pool: Any = getattr(transport, "_pool", None)
            if pool is not None:
                pool._network_backend = _Backend(pool._network_backend, self)

    def left_s(self, timeout_s: float | None) -> float | None:
        """Return how long a read may take; raises what httpcore raises when that is no time at all."""
        if self.until_s == math.inf:
            return timeout_s
        left_s = self.until_s - time.monotonic()
        if left_s <= 0:
            import httpcore

            raise httpcore.ReadTimeout("the answer takes too long")
        return left_s if timeout_s is None else min(left_s, timeout_s)


class _Backend:
    """Connects as another one does, and reads within the limit."""

    def __init__(self, inner: Any, deadline: Deadline) -> None:
        self._inner = inner
        self._deadline = deadline

    def connect_tcp(self, *given: Any, **named: Any) -> _Stream:
        return _Stream(self._inner.connect_tcp(*given, **named), self._deadline)

    def connect_unix_socket(self, *given: Any, **named: Any) -> _Stream:
        return _Stream(self._inner.connect_unix_socket(*given, **named), self._deadline)

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)


class _Stream:
    """Reads within the limit, as a stream of httpcore does.

    Source: https://www.encode.io/httpcore/network-backends/
    """

    def __init__(self, inner: Any, deadline: Deadline) -> None:
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        found: bytes = self._inner.read(max_bytes, self._deadline.left_s(timeout))
        return found

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._deadline.left_s(timeout))

    def start_tls(self, *given: Any, **named: Any) -> _Stream:
        return _Stream(self._inner.start_tls(*given, **named), self._deadline)

    def close(self) -> None:
        self._inner.close()

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
