"""Asking an API: one answer, whole, after as many attempts as it takes and the host's budget allows."""

from __future__ import annotations

import logging
import random
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urljoin, urlsplit

from headwater.errors import ConnectorError, Retryable, Terminal
from headwater.sources.rest.deadline import Deadline
from headwater.sources.rest.links import next_link
from headwater.sources.rest.rate import budget_of, read_retry_after
from headwater.sources.rest.unpack import ACCEPTED, CutOffError, PackedError, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import httpx

    from headwater.sources.rest.auth import Credentials
    from headwater.sources.rest.spec import AuthSpec, RestConnection

BACKOFF_S = 0.5
"""The first wait between two attempts is up to this long, each further one twice as long."""

MAX_BACKOFF_S = 30.0
MAX_WAIT_S = 300.0
"""How long a request may be repeated, and how long a host may ask to be left alone."""

MAX_BODY_BYTES = 256 * 1024 * 1024
ANSWER_TIMEOUTS = 10
"""How many times `timeout`, which is how long an answer may be silent, the whole of it may take."""

MAX_REDIRECTS = 5
TOKEN_LIVES_S = 300.0
"""How long a token is used that comes without `expires_in`."""

_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_SHOWN_CHARACTERS = 160

T = TypeVar("T")


class RestError(ConnectorError, Terminal):
    """The API answers something else than what is declared, or refuses."""


class RestNotFoundError(RestError):
    """There is nothing at this path: `status` is 404 or 410."""

    status = 404


class RestUnavailableError(ConnectorError, Retryable):
    """The API cannot be reached, or not now."""


class RestStoppedError(ConnectorError, Retryable):
    """The read was given up while a request waited."""


class PassingError(Exception):
    """One attempt failed for a reason that may pass.

    Args:
        what: What happened.
        delay_s: How long the host wants to be left alone, or None when it does not say.
        busy: The host has too much to do: nobody should ask it for a while.
    """

    def __init__(self, what: str, delay_s: float | None = None, *, busy: bool = False) -> None:
        super().__init__(what)
        self.delay_s = delay_s
        self.busy = busy


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """One whole answer with a status below 300."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    next_link: str = ""


class Client:
    """Asks one API; safe to use from many threads.

    Args:
        spec: Where it is.
        credentials: Who asks.
        hides: Rows hold values that nobody may see: no body and no query stands in a message.
        patience_s: Longest time for all attempts of a request.
    """

    def __init__(
        self, spec: RestConnection, credentials: Credentials, *, hides: bool = False, patience_s: float = MAX_WAIT_S
    ) -> None:
        import httpx

        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._spec = spec
        self._credentials = credentials
        self._hides = hides
        self._patience_s = patience_s
        self._stopped = threading.Event()
        timeout_s = min(spec.timeout.total_seconds(), patience_s)
        self._answer_s = min(ANSWER_TIMEOUTS * timeout_s, patience_s)
        limits = httpx.Limits(max_connections=64)
        self._http = httpx.Client(timeout=timeout_s, limits=limits, headers={"Accept-Encoding": ACCEPTED})
        self._deadline = Deadline()
        self._deadline.watch(self._http)
        if spec.rate is not None:
            budget_of(_host(spec.connection)).restrict(spec.rate.requests, spec.rate.per.total_seconds())

    def close(self) -> None:
        """Wake what waits, and let go of the connections."""
        self._stopped.set()
        self._http.close()

    def stop(self) -> None:
        """Wake what waits: nothing is asked any more."""
        self._stopped.set()

    def fetch(
        self, url: str, params: Mapping[str, Sequence[str]], parse: Callable[[ApiAnswer], T], method: str = "GET"
    ) -> T:
        """Ask until an answer can be parsed; `parse` raises PassingError for one that is cut off.

        Raises:
            RestError: The answer is final, and not what was asked for.
            RestUnavailableError: Every attempt failed.
        """
        import httpx

        try:
            whole = httpx.URL(url)
            asked = (
                whole.copy_merge_params({name: list(values) for name, values in params.items()}) if params else whole
            )
        except (httpx.InvalidURL, ValueError):
            raise RestError(f"{self.show(url)} is not a URL", fix="see what the API gives as the next page") from None
        return self._repeat(str(asked), lambda: parse(self._follow(method, asked)))

    def without_credentials(self, url: str) -> str:
        """Return a URL without what goes with every request anyway."""
        return self._credentials.strip_url(url)

    def show(self, url: str) -> str:
        """Return a URL for people."""
        return self._credentials.show_url(url, query=not self._hides)

    def show_body(self, body: bytes) -> str:
        """Return the first words of a body for people, or nothing where rows hold values that nobody may see."""
        if self._hides:
            return "(its text is withheld, it may show a hidden value)"
        text = " ".join(body[: 4 * _SHOWN_CHARACTERS].decode("utf-8", "replace").split())
        shown = self._credentials.hide(text)[:_SHOWN_CHARACTERS]
        return f"{shown}{'…' if len(text) > len(shown) else ''}" or "(empty)"

    def _repeat(self, url: str, attempt: Callable[[], T]) -> T:
        until = time.monotonic() + self._patience_s
        for number in range(self._spec.retries + 1):
            try:
                return attempt()
            except PassingError as error:
                what, busy, wanted_s = str(error), error.busy, error.delay_s
            delay_s = wanted_s if wanted_s is not None else _backoff_s(number)
            if number == self._spec.retries or time.monotonic() + delay_s > until:
                break
            if busy or wanted_s is not None:
                budget_of(_host(url)).pause(delay_s)
            else:
                self._wait(delay_s)
        told = f"; it asks to wait {delay_s:.0f} s" if wanted_s else ""
        raise RestUnavailableError(
            f"{self.show(url)}: {what}, after {number + 1} attempt{'s' if number else ''}{told}",
            fix="run again later: what is staged is kept",
        )

    def _wait(self, delay_s: float) -> None:
        if self._stopped.wait(delay_s):
            raise RestStoppedError("the read was given up")

    def _take(self, url: str) -> None:
        """Wait until the host's budget allows a request."""
        budget = budget_of(_host(url))
        if self._stopped.is_set():
            raise RestStoppedError("the read was given up")
        while (delay_s := budget.take()) > 0:
            if budget.paused_s() > self._patience_s:
                raise RestUnavailableError(
                    f"{_host(url)} asks to be left alone for {budget.paused_s():.0f} s",
                    fix="run again later: what is staged is kept",
                )
            self._wait(delay_s)

    def _follow(self, method: str, url: httpx.URL) -> ApiAnswer:
        """Ask once, through redirects; a token that is refused is fetched anew, once."""
        renewed = False
        for _ in range(MAX_REDIRECTS + 1):
            self._check_host(str(url))
            headers, params = self._credentials.attach(self._fetch_token)
            target = url.copy_merge_params(params) if params else url
            response, body = self._send(method, target, {**self._headers(), **headers})
            if response.status_code == 401 and self._credentials.renewable and not renewed:
                renewed = True
                self._credentials.forget(headers)
                continue
            if response.status_code in (301, 302, 303, 307, 308) and "location" in response.headers:
                url = url.join(response.headers["location"])
                continue
            return self._judge(response, body, url)
        raise RestError(f"{self.show(str(url))}: redirected more than {MAX_REDIRECTS} times", fix="mend the path")

    def _headers(self) -> dict[str, str]:
        return {"Accept": "application/json", "User-Agent": "headwater", **self._spec.headers}

    def _send(
        self, method: str, url: httpx.URL, headers: dict[str, str], form: dict[str, str] | None = None
    ) -> tuple[httpx.Response, bytes]:
        """Send one request within the budget and read its whole body."""
        import httpx

        self._take(str(url))
        try:
            sent = httpx.Headers(headers, encoding="utf-8")
            with (
                self._deadline.within(self._answer_s),
                self._http.stream(method, url, headers=sent, data=form) as response,
            ):
                budget_of(_host(str(url))).learn(response.headers)
                blocks, size_bytes = [], 0
                for block in unpack(response.headers.get("content-encoding", ""), response.iter_raw()):
                    blocks.append(block)
                    size_bytes += len(block)
                    if size_bytes > MAX_BODY_BYTES:
                        raise RestError(
                            f"{self.show(str(url))}: an answer of more than {MAX_BODY_BYTES >> 20} MiB",
                            fix="ask for smaller pages",
                        )
                return response, b"".join(blocks)
        except PackedError as error:
            raise RestError(f"{self.show(str(url))}: {error}", fix="ask for smaller pages, packed once") from None
        except (httpx.TransportError, CutOffError) as error:
            raise PassingError(self._credentials.hide(f"{type(error).__name__}: {error}".rstrip(": "))) from error
        except RuntimeError as error:
            if self._stopped.is_set():
                raise RestStoppedError("the read was given up") from error
            raise

    def _judge(self, response: httpx.Response, body: bytes, url: httpx.URL) -> ApiAnswer:
        status = response.status_code
        if status < 300:
            link = next_link(response.headers.get_list("link"), str(url))
            return ApiAnswer(str(url), status, response.headers, body, link)
        told = f"{status} {response.reason_phrase}".strip()
        if status in _PASSING:
            after_s = read_retry_after(response.headers.get("retry-after"))
            raise PassingError(told, after_s, busy=status in (429, 503))
        kind = RestNotFoundError if status in (404, 410) else RestError
        error = kind(f"{self.show(str(url))}: {told}: {self.show_body(body)}", fix=_FIXES.get(status, _FIX))
        if isinstance(error, RestNotFoundError):
            error.status = status
        raise error

    def _check_host(self, url: str) -> None:
        """Refuse any host but the API's own and those that are listed: credentials go nowhere else."""
        own, other = urlsplit(self._spec.connection), urlsplit(url)
        if (own.scheme, _host(self._spec.connection)) == (other.scheme, _host(url)):
            return
        listed = {other.hostname, other.netloc, _host(url)} & set(self._spec.hosts)
        if not listed or (other.scheme, own.scheme) == ("http", "https"):
            raise RestError(
                f"the API leads to another host: {other.scheme}://{other.netloc.rpartition('@')[2]}",
                fix=f"if it may have the credentials, list it over https: hosts: [{other.hostname}]",
            )

    def _fetch_token(self, auth: AuthSpec) -> tuple[str, float]:
        return self._repeat(auth.token_url, lambda: self._ask_token(auth))

    def _ask_token(self, auth: AuthSpec) -> tuple[str, float]:
        import httpx
        import msgspec

        from headwater.sources.rest.auth import basic_header

        form, headers = {"grant_type": "client_credentials"}, {"Accept": "application/json"}
        if auth.scope:
            form["scope"] = auth.scope
        if auth.send_as == "body":
            form |= {"client_id": auth.client_id, "client_secret": auth.client_secret}
        else:
            headers["Authorization"] = f"Basic {basic_header(auth.client_id, auth.client_secret)}"
        response, body = self._send("POST", httpx.URL(auth.token_url), headers, form)
        if response.status_code in _PASSING:
            raise PassingError(
                f"the token: {response.status_code}", read_retry_after(response.headers.get("retry-after"))
            )
        try:
            answer: Any = msgspec.json.decode(body) if response.status_code < 300 else None
        except msgspec.DecodeError:
            answer = None
        token = answer.get("access_token") if isinstance(answer, dict) else None
        if not isinstance(token, str) or not token:
            raise RestError(
                f"{self.show(auth.token_url)} gave no token: {response.status_code} {response.reason_phrase}",
                fix="check token_url, client_id, client_secret and scope; some servers want send_as: body",
            )
        lives = answer.get("expires_in")
        return token, float(lives) if isinstance(lives, int | float) else TOKEN_LIVES_S


_FIX = "check path, params and headers"
_FIXES = {
    401: "check auth: the credentials are refused",
    403: "check auth: these credentials may not read this",
    404: "check connection and path",
}


def join_url(base: str, path: str) -> str:
    """Append a path to the URL of an API; a whole URL stays what it is."""
    return path if "://" in path else f"{base.rstrip('/')}/{path.lstrip('/')}"


def next_url(current: str, found: str) -> str:
    """Return the URL of the next page, which may be given relative to the current one."""
    return urljoin(current, found)


def _host(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def _backoff_s(attempt: int) -> float:
    """Return a wait that doubles with every attempt, between half and the whole of it."""
    longest_s = min(BACKOFF_S * 2**attempt, MAX_BACKOFF_S)
    return float(longest_s * random.uniform(0.5, 1.0))
