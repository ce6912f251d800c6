"""One budget of requests per host, shared by all tables and threads of the process, and what answers say of it."""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_REMAINING = ("x-ratelimit-remaining", "x-rate-limit-remaining", "ratelimit-remaining")
_RESET = ("x-ratelimit-reset-after", "x-ratelimit-reset", "x-rate-limit-reset", "ratelimit-reset")
_STRUCTURED = re.compile(r"(?:^|[;,\s])(r|remaining|t|reset)\s*=\s*(\d+)")
_AN_EPOCH = 1_000_000_000
"""A reset as high as this is a time, a lower one a number of seconds."""


class Budget:
    """How many requests a host may still get.

    Args:
        clock: Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._limits: dict[tuple[int, float], deque[float]] = {}
        self._free_at = 0.0

    def restrict(self, requests: int, per_s: float) -> None:
        """Allow at most `requests` in any stretch of `per_s` seconds, beside what was said before."""
        with self._lock:
            self._limits.setdefault((requests, per_s), deque(maxlen=requests))

    def pause(self, delay_s: float) -> None:
        """Let no request go for a while: the host said so."""
        with self._lock:
            self._free_at = max(self._free_at, self._clock() + delay_s)

    def paused_s(self) -> float:
        """Return how long the host wants to be left alone."""
        with self._lock:
            return max(self._free_at - self._clock(), 0.0)

    def take(self) -> float:
        """Take one request out of the budget; return 0, or the seconds after which to ask again."""
        with self._lock:
            now = self._clock()
            waits = [self._free_at - now]
            for (requests, per_s), sent in self._limits.items():
                if len(sent) == requests:
                    waits.append(sent[0] + per_s - now)
            if max(waits) > 0:
                return max(waits)
            for sent in self._limits.values():
                sent.append(now)
            return 0.0

    def learn(self, headers: Mapping[str, str]) -> None:
        """Pause when an answer says that nothing is left, until it says that there is more again."""
        remaining, reset_s = read_limits(headers)
        if remaining is not None and remaining <= 0 and reset_s is not None:
            self.pause(reset_s)


_budgets: dict[str, Budget] = {}
_budgets_lock = threading.Lock()


def budget_of(host: str) -> Budget:
    """Return the process's budget of a host (`name:port`)."""
    with _budgets_lock:
        return _budgets.setdefault(host, Budget())


def read_limits(headers: Mapping[str, str]) -> tuple[float | None, float | None]:
    """Return (requests that remain, seconds until there are more), as far as the headers of an answer say.

    Source: the X-RateLimit headers in use, and drafts 7 to 10 of draft-ietf-httpapi-ratelimit-headers.
    """
    remaining = next((number for name in _REMAINING if (number := _number(headers.get(name))) is not None), None)
    reset = next((number for name in _RESET if (number := _number(headers.get(name))) is not None), None)
    for key, value in _STRUCTURED.findall(headers.get("ratelimit", "")):
        if key.startswith("rem") or key == "r":
            remaining = float(value)
        else:
            reset = float(value)
    if reset is not None and reset >= _AN_EPOCH:
        reset = max(reset - time.time(), 0.0)
    return remaining, reset


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def read_retry_after(text: str | None) -> float | None:
    """Return the seconds of a Retry-After header, which holds a number or a date; None without one."""
    if text is None or (number := _number(text)) is not None:
        return max(number, 0.0) if text is not None and number is not None else None
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max((moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds(), 0.0)
