"""How pages follow each other: the next request out of the last answer, several at once where their numbers are known.

A walk never guesses that it is at its end: a page that is shorter than asked for is not the last one. It ends at an
empty page, at the total, where `stop_when` is true, or where no next page is named. Pages that go round in circles are
an error.
"""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headwater.sources.rest_client import PassingError, RestError, next_url
from headwater.sources.rest_paths import find_records, find_text, find_value, parse_condition, parse_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from headwater.sources.rest_client import Answer, Client
    from headwater.sources.rest_spec import RestTable

_TURN = "check paginate: what it sends may not be what the API reads"


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: plain values, so that a resumed read can repeat it. `number` counts pages from 0."""

    url: str
    params: dict[str, list[str]] = field(default_factory=dict)
    number: int = 0

    def pack(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {"url": self.url, "params": self.params, "number": self.number}


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


def parse_page(answer: Answer, records: str, client: Client) -> Page:
    """Cut the records out of an answer.

    Raises:
        PassingError: The body begins as JSON and is cut off.
        RestError: The answer is not JSON, or the records are not where they should be.
    """
    import msgspec

    if answer.status == 204:
        return Page(answer.url, b"{}", [], answer.next_link)
    body = answer.body.removeprefix(b"\xef\xbb\xbf")
    shown = client.show(answer.url)
    try:
        body.decode()
        msgspec.json.decode(body, type=msgspec.Raw)
        found = find_records(body, parse_path(records))
    except UnicodeDecodeError:
        raise RestError(f"{shown}: the answer is not UTF-8", fix="ask the API for UTF-8, by a header") from None
    except msgspec.DecodeError as error:
        kind = answer.headers.get("content-type", "no content type")
        if body.lstrip()[:1] in (b"{", b"["):
            raise PassingError(f"{answer.status}, broken JSON ({error})") from None
        raise RestError(
            f"{shown}: {answer.status}, but not JSON ({kind}): {client.show_body(body)}",
            fix="check connection and path: this looks like a page for people, not like an answer of the API",
        ) from None
    if found is None:
        raise RestError(f"{shown}: there is no {records} in the answer: {client.show_body(body)}", fix="check records")
    return Page(answer.url, body, found, answer.next_link)


class Pager:
    """Makes the requests of one sequence of pages.

    Args:
        table: How pages follow each other.
        first: The first request, without what paging adds.
    """

    def __init__(self, table: RestTable, first: Ask) -> None:
        self._spec = table.paginate
        self._first = first
        self._stop = parse_condition(self._spec.stop_when) if self._spec.stop_when else None
        self.max_pages = table.max_pages

    @property
    def numbered(self) -> bool:
        """Whether any page can be asked for without the one before it."""
        return self._spec.kind in ("page", "offset")

    @property
    def size(self) -> int | None:
        """Rows of a full page where skipped rows would go unseen: offsets count rows."""
        return self._spec.size if self._spec.kind == "offset" else None

    def first(self) -> Ask:
        """Return the first request."""
        return self.at(0) if self.numbered else self._sized(self._first)

    def at(self, number: int) -> Ask:
        """Return the request of a numbered page, counted from 0."""
        size = self._spec.size or 1
        value = self._spec.start + number if self._spec.kind == "page" else number * size
        params = {**self._first.params, self._spec.as_: [str(value)]}
        return self._sized(Ask(self._first.url, params, number))

    def after(self, ask: Ask, page: Page) -> Ask | None:
        """Return the request that follows an answer, None at the end."""
        if self._stop is not None and self._stop.holds(page.body):
            return None
        if self.numbered:
            last = self.last(page)
            ended = not page.records or (last is not None and ask.number >= last)
            return None if ended else self.at(ask.number + 1)
        return self._named(ask, page)

    def last(self, page: Page) -> int | None:
        """Return the number of the last page as an answer tells it, None when it does not."""
        path = self._spec.total or self._spec.total_pages
        total = find_value(page.body, parse_path(path)) if path else None
        if path and (not isinstance(total, int) or isinstance(total, bool)):
            raise RestError(f"{path} is not a whole number in an answer", fix="mend total, or leave it out")
        if total is None:
            return None
        pages = total if self._spec.total_pages else -(-total // (self._spec.size or 1))
        return max(int(pages) - 1, 0)

    def _named(self, ask: Ask, page: Page) -> Ask | None:
        """Return the next request as the answer names it."""
        kind, number = self._spec.kind, ask.number + 1
        if kind == "none":
            return None
        if kind == "link":
            return Ask(next_url(page.url, page.next_link), {}, number) if page.next_link else None
        found = find_text(page.body, parse_path(self._spec.from_ or "$"))
        if found is None:
            return None
        if kind == "next_url":
            return Ask(next_url(page.url, found), {}, number)
        return Ask(ask.url, {**ask.params, self._spec.as_: [found]}, number)

    def _sized(self, ask: Ask) -> Ask:
        if not self._spec.size_as:
            return ask
        return Ask(ask.url, {**ask.params, self._spec.size_as: [str(self._spec.size)]}, ask.number)


@dataclass(slots=True)
class Guard:
    """Sees pages that go round in circles, and rows that are skipped.

    Attributes:
        show: Makes a URL fit for people.
        digest: That of the last page with records.
    """

    pager: Pager
    show: Callable[[str], str]
    digest: str = ""
    _seen: set[str] = field(default_factory=set)
    _short: int = -1

    def check(self, ask: Ask, page: Page) -> None:
        """Look at the next page.

        Raises:
            RestError: It was seen before, comes after too many, or follows a page that was not full.
        """
        where = self.show(page.url)
        request = repr((ask.url, sorted(ask.params.items())))
        if request in self._seen:
            raise RestError(f"{where}: the pages go in a circle, this one is asked for the second time", fix=_TURN)
        self._seen.add(request)
        if ask.number >= self.pager.max_pages:
            raise RestError(
                f"{where}: more than {self.pager.max_pages} pages, which looks endless", fix="if not, raise max_pages"
            )
        if not page.records:
            return
        digest = page.digest
        if digest == self.digest:
            raise RestError(f"{where}: the same {len(page.records)} rows as on the page before", fix=_TURN)
        if self._short >= 0:
            raise RestError(
                f"{where}: the page before has {self._short} rows, not {self.pager.size}: rows were skipped",
                fix=f"the API gives smaller pages than asked for: set size: {self._short}",
            )
        self.digest = digest
        if self.pager.size is not None and len(page.records) < self.pager.size:
            self._short = len(page.records)


def walk(
    guard: Guard,
    submit: Callable[[Ask], Future[Page]],
    start: Ask,
    in_flight: int,
    first: Future[Page] | None = None,
) -> Iterator[tuple[Page, Ask | None]]:
    """Yield (page, the request that follows it) in order.

    Numbered pages are asked for ahead: one more for every page there was, as many as there are when the total is known.

    Args:
        guard: Checks every page.
        submit: Begins a request.
        start: The first request.
        in_flight: How many requests may be under way.
        first: The first request, when it is under way already.
    """
    pager = guard.pager
    pending: deque[tuple[Ask, Future[Page]]] = deque([(start, first or submit(start))])
    width = 1
    try:
        while pending:
            ask, future = pending.popleft()
            page = future.result()
            guard.check(ask, page)
            following = pager.after(ask, page)
            if following is None:
                yield page, None
                return
            last = pager.last(page) if pager.numbered else None
            width = in_flight if last is not None else min(2 * width, in_flight)
            upcoming: Ask | None = following if not pending else None
            while len(pending) < (width if pager.numbered else 1):
                upcoming = upcoming or pager.at(pending[-1][0].number + 1)
                if last is not None and upcoming.number > last:
                    break
                pending.append((upcoming, submit(upcoming)))
                upcoming = None
            yield page, following
    finally:
        for _, future in pending:
            future.cancel()
