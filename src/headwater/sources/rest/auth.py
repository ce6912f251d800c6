"""Who asks: what goes with every request, and nothing of it in any message."""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, quote_plus, unquote_plus, urlencode, urlsplit, urlunsplit

from headwater.core.secrets import HIDDEN, redact

if TYPE_CHECKING:
    from collections.abc import Callable

    from headwater.sources.rest.spec import AuthSpec

_EARLY_S = 30.0
"""How long before its end a token is fetched anew."""

_SENSITIVE = re.compile(r"key|token|secret|password|passwd|signature|sig$|auth|credential|session", re.IGNORECASE)
_MIN_SECRET_LENGTH = 4


class Credentials:
    """The credentials of one API, shared by its tables and threads."""

    def __init__(self, auth: AuthSpec | None) -> None:
        self._auth = auth
        self._lock = threading.Lock()
        self._token = ""
        self._fresh_until = 0.0
        self._secrets: set[str] = set()
        if auth is not None:
            self._remember(auth.password, auth.token, auth.value, auth.client_secret)
            if auth.kind in ("basic", "oauth2"):
                self._remember(basic_header(auth.user or auth.client_id, auth.password or auth.client_secret))

    @property
    def renewable(self) -> bool:
        """Whether a token that is refused can be fetched anew."""
        return self._auth is not None and self._auth.kind == "oauth2"

    def attach(self, fetch_token: Callable[[AuthSpec], tuple[str, float]]) -> tuple[dict[str, str], dict[str, str]]:
        """Return (headers, parameters) that go with a request.

        Args:
            fetch_token: Asks for a token: returns it and the seconds that it lives.
        """
        auth = self._auth
        if auth is None or auth.kind == "none":
            return {}, {}
        if auth.kind == "api_key":
            pair = {auth.name: auth.value}
            return (pair, {}) if auth.in_ == "header" else ({}, pair)
        if auth.kind == "basic":
            return {"Authorization": f"Basic {basic_header(auth.user, auth.password)}"}, {}
        token = auth.token if auth.kind == "bearer" else self._current(auth, fetch_token)
        return {"Authorization": f"Bearer {token}"}, {}

    def forget(self, headers: dict[str, str]) -> None:
        """Forget the token that these headers carried, unless another thread has fetched a new one already."""
        with self._lock:
            if headers.get("Authorization") == f"Bearer {self._token}":
                self._token = ""

    def hide(self, text: str) -> str:
        """Take every secret out of a text."""
        return redact(text, self._secrets)

    def show_url(self, url: str, *, query: bool = True) -> str:
        """Return a URL for people: no secret in it, and no query at all where values are hidden."""
        parts = urlsplit(url)
        named = self._auth.name if self._auth is not None else ""
        pairs = [
            (name, HIDDEN if name == named or _SENSITIVE.search(name) else value)
            for name, value in parse_qsl(parts.query, keep_blank_values=True)
        ]
        shown = urlencode(pairs, safe="*[]:/,$") if query else ""
        host = parts.netloc.rpartition("@")[2]
        return self.hide(urlunsplit((parts.scheme, host, parts.path, shown, "")))

    def strip_url(self, url: str) -> str:
        """Take user, password and API key out of a URL that an API made of one that was asked for."""
        parts = urlsplit(url)
        named = self._auth.name if self._auth is not None and self._auth.kind == "api_key" else ""
        kept = [part for part in parts.query.split("&") if not named or unquote_plus(part.partition("=")[0]) != named]
        return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="&".join(kept)).geturl()

    def _current(self, auth: AuthSpec, fetch_token: Callable[[AuthSpec], tuple[str, float]]) -> str:
        with self._lock:
            if not self._token or time.monotonic() >= self._fresh_until:
                self._token, lives_s = fetch_token(auth)
                self._fresh_until = time.monotonic() + max(lives_s - _EARLY_S, lives_s / 2)
                self._remember(self._token)
            return self._token

    def _remember(self, *secrets: str) -> None:
        for secret in secrets:
            if len(secret) >= _MIN_SECRET_LENGTH:
                self._secrets |= {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]}


def basic_header(user: str, password: str) -> str:
    """Return what stands behind `Basic` (RFC 7617)."""
    return base64.b64encode(f"{user}:{password}".encode()).decode()
