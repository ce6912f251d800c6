"""Secret values taken out of a text, in whatever spelling they have come into it.

A character of a secret is found as it is, as URLs, JSON, SQL, Python, XML and HTML write it, and over the end of a
line; all of it in hexadecimal and in base64, with whatever stood before it there (`user:password`). What a message
shows of a secret before it is cut off (`…`) is found too.
"""

from __future__ import annotations

import base64
import json
import re
from functools import lru_cache
from html import escape
from html.entities import codepoint2name
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MIN_SECRET_LENGTH = 4
"""A shorter value is not taken for a secret: its letters stand in every text."""

HIDDEN = "***"

URL = re.compile(r"(https?://)(?:[^/\s]*@)?([\w.-]+|\[[\da-f:]+\])(:\d+)?([/?#][^@\s]*)?", re.IGNORECASE)
"""An address: what stands before the path is told in errors and in lineage."""

_BREAK = r"(?:\r?\n[ \t>]*|\\+r\\+n|\\+n)?"
"""What may stand between two characters of a secret in a text whose lines were wrapped."""

_PERCENT = f"%{_BREAK}(?:2{_BREAK}5{_BREAK})*"
_LETTERS = {"\n": "n", "\r": "r", "\t": "t"}
_MIN_BASE64 = 5
_END_OF_BASE64 = r"(?:[\w+/-]?={1,2}|[\w+/-]?(?:%3[dD]){1,2})?"
_MIN_AT_END = 6
"""So much of a secret has to stand at the end of a text that may have been cut without a sign."""

_CUT = re.compile(r"…|\.\.\.|\Z")


def redact(text: str, secrets: Iterable[str]) -> str:
    """Take secret values out of a text; of a URL the host stays."""
    for secret in _longest_first(frozenset(secrets)):
        shown = _shown(secret)
        for pattern in _patterns(secret):
            text = pattern.sub(shown, text)
        text = _without_cut_parts(text, secret)
    return text


def redact_all(value: Any, secrets: Iterable[str], also: Callable[[str], str] = str) -> Any:
    """Do so in every text of a value, however deep it stands; `also` is done to each of them afterwards."""
    if isinstance(value, str):
        return also(redact(value, secrets))
    if isinstance(value, dict):
        return {redact_all(key, secrets, also): redact_all(inner, secrets, also) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact_all(inner, secrets, also) for inner in value]
    return value


@lru_cache(maxsize=64)
def _longest_first(secrets: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted((secret for secret in secrets if secret), key=lambda secret: (-len(secret), secret)))


def _shown(secret: str) -> Callable[[re.Match[str]], str]:
    url = URL.fullmatch(secret)
    shown = f"{url[1]}{url[2]}{url[3] or ''}/{HIDDEN}" if url else HIDDEN
    return lambda match: shown if match[0] == secret else HIDDEN


@lru_cache(maxsize=256)
def _patterns(secret: str) -> tuple[re.Pattern[str], ...]:
    raw = secret.encode(errors="surrogatepass")
    spelled = [_BREAK.join(_spellings(character) for character in secret)]
    spelled.append(_BREAK.join(_hex(f"{byte:02x}") for byte in raw))
    spelled += [_BREAK.join(map(_base64_character, text)) + _END_OF_BASE64 for text in _in_base64(raw)]
    return tuple(re.compile(pattern) for pattern in spelled)


def _spellings(character: str) -> str:
    """Return a pattern of the ways to write a character; each begins with a character of its own, which is quick."""
    code, raw = ord(character), character.encode(errors="surrogatepass")
    ways = [re.escape(character), _BREAK.join(f"{_PERCENT}{_hex(f'{byte:02x}')}" for byte in raw)]
    units = character.encode("utf-16-be", errors="surrogatepass").hex()
    ways.append("".join(rf"\\\\*u{_hex(units[at : at + 4])}" for at in range(0, len(units), 4)))
    ways.append("".join(rf"\\\\*x{_hex(f'{byte:02x}')}" for byte in raw))
    ways += [rf"\\\\*U(?i:{code:08x})", rf"\\\\*x(?i:{code:02x})"] if code > 0x7F else []
    names = [f"#0*{code}", f"#(?i:x0*{code:x})", codepoint2name.get(code, ""), "apos" if character == "'" else ""]
    ways += [f"&(?:amp;)*{name};" for name in names if name]
    ways.append(f"#{code};")
    if character == " ":
        ways.append(r"\+")
    if character in _LETTERS:
        ways.append(rf"\\\\*{_LETTERS[character]}")
    if not character.isalnum() and code < 0x80:
        ways.append(rf"\\\\*{re.escape(character)}" if character != "\\" else r"\\\\+")
    if character in "'\"":
        ways.insert(0, character * 2)
    return f"(?:{'|'.join(ways)})"


def _hex(digits: str) -> str:
    """Return a pattern of hexadecimal digits, small or large, over the end of a line."""
    return _BREAK.join(digit if digit.isdigit() else f"[{digit}{digit.upper()}]" for digit in digits)


def _in_base64(raw: bytes) -> Iterator[str]:
    """Yield what base64 makes of some bytes wherever they stand among others: the characters that they alone decide."""
    for before in range(3):
        text = base64.b64encode(bytes(before) + raw).decode()
        decided = text[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]
        if len(decided) >= _MIN_BASE64:
            yield decided


def _base64_character(character: str) -> str:
    if character == "+":
        return r"(?:\+|-|%(?i:2b)|\\\\*u002[bB])"
    return r"(?:/|_|%(?i:2f)|\\\\*/)" if character == "/" else character


def _without_cut_parts(text: str, secret: str) -> str:
    """Take out the beginning of a secret before a cut, and its end behind one."""
    if "…" not in text and "..." not in text and not _ends_in_part(text, secret):
        return text
    kept: list[str] = []
    last = 0
    for cut in _CUT.finditer(text):
        before = text[last : cut.start()]
        if kept and (length := _longest(before, secret, MIN_SECRET_LENGTH, at_end=False)):
            before = HIDDEN + before[length:]
        if length := _longest(before, secret, MIN_SECRET_LENGTH if cut[0] else _MIN_AT_END, at_end=True):
            before = before[:-length] + HIDDEN
        kept += [before, cut[0]]
        last = cut.end()
    return "".join(kept)


def _ends_in_part(text: str, secret: str) -> bool:
    return _longest(text, secret, _MIN_AT_END, at_end=True) > 0


def _longest(text: str, secret: str, least: int, *, at_end: bool) -> int:
    """Return how long a part of a secret is, in its usual spellings, that a text ends in, or begins with."""
    url = URL.fullmatch(secret)
    told = len(secret) - len(url[4] or "") + 1 if url and at_end else 0
    for spelling in _usual_spellings(secret):
        for length in range(min(len(spelling) - 1, len(text)), max(told, least - 1), -1):
            if text.endswith(spelling[:length]) if at_end else text.startswith(spelling[-length:]):
                return length
    return 0


@lru_cache(maxsize=256)
def _usual_spellings(secret: str) -> tuple[str, ...]:
    plain = secret.encode(errors="replace").decode()
    written = json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]
    return tuple(dict.fromkeys((secret, quote(plain, safe=""), quote(plain), escape(secret), *written)))
