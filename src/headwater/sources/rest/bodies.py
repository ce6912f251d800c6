"""Answers as bytes: their records as the text they came as, and what an answer is that is not JSON.

Only a body that was cut off may come whole the next time; whatever else is wrong with it is final, and is told at once.
"""

from __future__ import annotations

import codecs
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.sources.rest.client import PassingError, RestError
from headwater.sources.rest.paths import find_records, parse_path

if TYPE_CHECKING:
    from headwater.sources.rest.client import ApiAnswer, Client

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_WHOLE_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NO_NUMBER = re.compile(rb"-?\b(?:NaN|Infinity|nan|inf|infinity)\b")
_JSON_LINES = (
    "ask the API for one JSON document (by a header or parameter), or save the answer and read it by kind: files"
)
_NAN = "JSON has no such number: ask the API for null in its place, by a header or a parameter, or leave the field out"


@dataclass(frozen=True, slots=True)
class Page:
    """One answer: its records as the text they came as, the whole body for what stands beside them."""

    url: str
    body: bytes
    records: list[bytes]
    next_link: str = ""

    @property
    def digest(self) -> str:
        """What tells pages apart."""
        return hashlib.blake2b(b"\n".join(self.records), digest_size=16).hexdigest()


def parse_page(answer: ApiAnswer, records: str, client: Client, *, may_lack: bool = False) -> Page:
    """Cut the records out of an answer.

    Args:
        answer: The answer.
        records: The path of the records.
        client: Makes texts fit for people.
        may_lack: An answer without anything at that path has no records.

    Raises:
        PassingError: The body is empty, or was cut off.
        RestError: The answer is not JSON, or the records are not where they should be.
    """
    import msgspec

    if answer.status == 204:
        return Page(answer.url, b"{}", [], answer.next_link)
    body = answer.body.removeprefix(b"\xef\xbb\xbf")
    if not body.strip():
        raise PassingError(f"{answer.status}, with an empty body")
    _check_text(answer, body, client)
    try:
        msgspec.json.decode(body, type=msgspec.Raw)
        found = find_records(body, parse_path(records))
    except msgspec.DecodeError as error:
        raise _explain(answer, body, client, str(error)) from None
    except RecursionError:
        what = f"{client.show(answer.url)}: the answer is nested too deeply"
        raise RestError(what, fix="ask for less in one answer, or write to those who make the API") from None
    if found is None and not may_lack:
        raise RestError(
            f"{client.show(answer.url)}: there is no {records} in the answer: {client.show_body(body)}",
            fix="check records; where the API leaves it out when there is nothing more, end_on: [missing_records]",
        )
    return Page(answer.url, body, found or [], answer.next_link)


def _check_text(answer: ApiAnswer, body: bytes, client: Client) -> None:
    """Refuse what is not UTF-8."""
    if body[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in body[:4]:
        what, fix = "UTF-16 or UTF-32, not UTF-8", "ask the API for UTF-8, by a header"
        raise RestError(f"{client.show(answer.url)}: the answer is {what}", fix=fix)
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(body)
    except UnicodeDecodeError as error:
        what, fix = f"not UTF-8 (at byte {error.start:,})", "ask the API for UTF-8, by a header"
        raise RestError(f"{client.show(answer.url)}: the answer is {what}", fix=fix) from None
    if decoder.getstate()[0]:
        raise PassingError(f"{answer.status}, cut off within a character")


def _explain(answer: ApiAnswer, body: bytes, client: Client, problem: str) -> Exception:
    """Return the error that says what a body is which is no JSON document."""
    shown, kind = client.show(answer.url), answer.headers.get("content-type", "no content type")
    if body.lstrip()[:1] not in (b"{", b"["):
        return RestError(
            f"{shown}: {answer.status}, but not JSON ({kind}): {client.show_body(body)}",
            fix="check connection and path: this looks like a page for people, not like an answer of the API",
        )
    if _is_lines(body):
        return RestError(f"{shown}: the answer is JSON Lines, one document per line ({kind})", fix=_JSON_LINES)
    bare = _STRING.sub(b'""', body)
    if number := _NO_NUMBER.search(bare):
        return RestError(f"{shown}: the answer has {number[0].decode()}, which is not JSON", fix=_NAN)
    if _is_cut_off(body):
        return PassingError(f"{answer.status}, broken JSON ({problem})")
    return RestError(
        f"{shown}: the answer is not JSON: {problem}: {client.show_body(body)}", fix="write to those who make the API"
    )


def _is_lines(body: bytes) -> bool:
    """Whether the first line is a document and another one begins in a line after it."""
    import msgspec

    lines = [line for line in body.splitlines() if line.strip()][:2]
    if len(lines) < 2 or lines[1].lstrip()[:1] not in (b"{", b"["):
        return False
    try:
        msgspec.json.decode(lines[0], type=msgspec.Raw)
    except msgspec.DecodeError:
        return False
    return True


def _is_cut_off(body: bytes) -> bool:
    """Whether it ends before what it began with: within a text, or with brackets open."""
    depth, at = 0, 0
    for match in _STRING.finditer(body):
        depth += _opened(body[at : match.start()])
        at = match.end()
        if at == len(body) and not _WHOLE_STRING.fullmatch(match[0]):
            return True
    return depth + _opened(body[at:]) > 0


def _opened(part: bytes) -> int:
    return part.count(b"{") + part.count(b"[") - part.count(b"}") - part.count(b"]")
