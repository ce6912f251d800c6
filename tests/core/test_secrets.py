"""A secret is taken out of a text in every spelling in which it travels."""

from __future__ import annotations

import base64
import html
import json
import textwrap
from collections.abc import Callable
from urllib.parse import quote, quote_plus, urlencode
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headwater.core.secrets import MIN_SECRET_LENGTH, URL, redact, redact_all
from headwater.core.texts import visible, visible_json


def lower_hex(text: str) -> str:
    return "".join(part.lower() if part.startswith("%") else part for part in __import__("re").split(r"(%..)", text))


def wrapped(make: Callable[[str], str], width: int, end: str) -> Callable[[str], str]:
    def wrap(secret: str) -> str:
        whole = "x" * 11 + make(secret)
        return end.join(whole[at : at + width] for at in range(0, len(whole), width))

    return wrap


def basic(secret: str) -> str:
    return base64.b64encode(f"user:{secret}".encode()).decode()


WAYS: dict[str, Callable[[str], str]] = {
    "raw": str,
    "in a URL": lambda s: quote(s, safe=""),
    "in a URL's path": quote,
    "in a query": quote_plus,
    "in a query, lower": lambda s: lower_hex(quote_plus(s)),
    "in a URL, lower": lambda s: lower_hex(quote(s, safe="")),
    "in a URL in a URL": lambda s: quote(quote(s, safe=""), safe=""),
    "every byte in a URL": lambda s: "".join(f"%{byte:02X}" for byte in s.encode()),
    "as a form": lambda s: urlencode({"password": s}),
    "as JSON": json.dumps,
    "as JSON of Unicode": lambda s: json.dumps(s, ensure_ascii=False),
    "as JSON with slashes": lambda s: json.dumps(s).replace("/", "\\/"),
    "as JSON in JSON": lambda s: json.dumps(json.dumps({"a": s})),
    "as JSON in capitals": lambda s: "".join(f"\\u{unit:04X}" for unit in units(s)),
    "as SQL": lambda s: "'" + s.replace("'", "''") + "'",
    "as a name in SQL": lambda s: '"' + s.replace('"', '""') + '"',
    "as an escaped text of SQL": lambda s: (
        "E'" + s.replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n").replace("\r", "\\r") + "'"
    ),
    "as Python": repr,
    "as Python in ASCII": ascii,
    "as Python's bytes": lambda s: repr(s.encode()),
    "as Python in Python": lambda s: repr({"a": repr(s)}),
    "as HTML": html.escape,
    "as HTML in HTML": lambda s: html.escape(html.escape(s)),
    "as XML": escape,
    "as an attribute": quoteattr,
    "as numbers of HTML": lambda s: "".join(f"&#{ord(c)};" for c in s),
    "as hexadecimal numbers of HTML": lambda s: "".join(f"&#x{ord(c):X};" for c in s),
    "as codes of Mermaid": lambda s: "".join(c if c.isalnum() else f"#{ord(c)};" for c in s),
    "made visible": visible,
    "made visible in JSON": lambda s: visible_json(json.dumps(s, ensure_ascii=False)),
    "in base64": lambda s: base64.b64encode(s.encode()).decode(),
    "in base64 without padding": lambda s: base64.b64encode(s.encode()).decode().rstrip("="),
    "in base64 of URLs": lambda s: base64.urlsafe_b64encode(s.encode()).decode(),
    "in base64 in a URL": lambda s: quote(base64.b64encode(s.encode()).decode(), safe=""),
    "in base64 in JSON": lambda s: json.dumps(base64.b64encode(s.encode()).decode()).replace("/", "\\/"),
    "with a user": basic,
    "in hexadecimal": lambda s: s.encode().hex(),
    "in hexadecimal capitals": lambda s: s.encode().hex().upper(),
    "over lines": wrapped(str, 13, "\n"),
    "over lines of Windows": wrapped(str, 7, "\r\n"),
    "over lines, indented": wrapped(str, 5, "\n    "),
    "in base64 over lines": wrapped(basic, 16, "\n"),
    "in a URL over lines": wrapped(lambda s: quote(s, safe=""), 24, "\r\n"),
    "over lines in JSON": lambda s: json.dumps(wrapped(str, 9, "\n")(s)),
}
"""Each of them is what somebody could read a secret out of."""


def units(text: str) -> list[int]:
    raw = text.encode("utf-16-be")
    return [int.from_bytes(raw[at : at + 2]) for at in range(0, len(raw), 2)]


SECRETS = st.text(
    st.one_of(st.characters(categories=("L", "N", "P", "S", "Zs")), st.sampled_from("'\"\\/+ %&<>=\n\t$#;é🔑")),
    min_size=6,
    max_size=40,
).filter(lambda s: len(set(s)) > 3 and s == s.strip() and s.strip("*") and "§" not in s)


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=15)
@given(secret=SECRETS)
@example(secret="tök\"en'🔑-0123456789")
@example(secret="p@ss/w ord+%&<>'\"\\\n.x")
@example(secret="nnnnrrrr\\nnnn")
@example(secret="https://h.example/T0/B0/x?key=1")
def test_it_is_found_however_it_is_written(way: str, secret: str) -> None:
    written = WAYS[way](secret)
    told = redact(f"§ {written} §", [secret])
    assert told.startswith("§ ")
    assert told.endswith(" §")
    assert "***" in told
    assert WAYS[way](secret) not in told
    assert decoded(told).isdisjoint(parts(secret)), told


def parts(secret: str) -> set[str]:
    """Every part of a secret of so many characters that it tells something."""
    host = URL.fullmatch(secret)
    told = len(secret) - len(host[4] or "") if host else 0
    return {secret[at : at + 6] for at in range(told, len(secret) - 5)}


def decoded(text: str) -> set[str]:
    """What can be read in a text, by the ways to write it."""
    flat = text.replace("\r\n", "").replace("\n", "")
    found = {text, flat, html.unescape(text), __import__("urllib.parse").parse.unquote_plus(text)}
    return {whole[at : at + 6] for whole in found for at in range(len(whole) - 5)}


@settings(max_examples=30)
@given(st.lists(SECRETS, min_size=1, max_size=4), st.sampled_from(sorted(WAYS)))
def test_none_of_several_stays(secrets: list[str], way: str) -> None:
    text = " | ".join(WAYS[way](secret) for secret in secrets)
    told = redact(text, secrets)
    assert all(secret not in told for secret in secrets)
    assert redact(told, secrets) == told


@settings(max_examples=50)
@given(SECRETS, st.integers(MIN_SECRET_LENGTH, 39), st.sampled_from(["…", "..."]))
def test_a_part_before_a_cut_is_found(secret: str, length: int, cut: str) -> None:
    length = min(length, len(secret) - 1)
    assert secret[:length] not in redact(f"the value {secret[:length]}{cut}", [secret])
    assert secret[-length:] not in redact(f"near {cut}{secret[-length:]} there", [secret])


@pytest.mark.parametrize(
    "text",
    [
        "nothing of it",
        "",
        "a password in plain text",
        "https://api.example.org:8443/v1/items?page=2",
        "…",
        "...",
        "a … b ... c",
        "dXNlcjpub3RoaW5n",
        "50%2525",
        "\\u00e9\\n",
        "1 2 3",
        "&amp;&lt;",
        "the file orders.csv:12:3",
        "x" * 10_000,
        "s3cr",
        "value",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text, ["s3cr3t/välue '1'", "another one"]) == text


def test_a_long_text_with_many_beginnings_takes_no_time() -> None:
    """The work grows with the text, not with the beginnings of secrets in it."""
    text = "a%61\\u0061" * 3_000 + "…" * 300
    assert redact(text, ["a" * 200 + "b", "aaaab"]) == text or "***" in redact(text, ["aaaab"])


def test_every_text_of_a_value_is_looked_at() -> None:
    value = {"secret-1": ["x secret-1", ("secret-1", 1, None)], "b": {"c": "c2VjcmV0LTE="}, "n": 1.5}
    assert redact_all(value, ["secret-1"]) == {"***": ["x ***", ["***", 1, None]], "b": {"c": "***"}, "n": 1.5}
    assert redact_all("a\x1bsecret-1", ["secret-1"], visible) == "a\\x1b***"


def test_a_wrapped_text_is_what_it_was_but_for_the_secret() -> None:
    text = textwrap.fill("some words " * 20 + "s3cr3t-value" + " and more" * 10, 30)
    assert redact(text, ["s3cr3t-value"]).replace("***", "s3cr3t-value").split() == text.split()
