"""How pages follow each other: the next request out of the last answer, several at once where their numbers are known.

A walk never guesses that it is at its end: a page that is shorter than asked for is not the last one. It ends at an
empty page, at the total, where `stop_when` is true, or where no next page is named. Pages that go round in circles are
an error.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus, urlsplit

from headwater.sources.rest.client import RestError, RestNotFoundError, next_url
from headwater.sources.rest.paths import find_text, parse_condition, parse_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from concurrent.futures import Future

    from headwater.sources.rest.bodies import Page
    from headwater.sources.rest.client import Client
    from headwater.sources.rest.spec import RestTable

_TURN = "check paginate: what it sends may not be what the API reads"
_COUNTS = "run again, it goes on here; if the API counts rows that it does not give, leave total out"
_WHOLE = re.compile(r"([0-9]{1,18})(?:\.0+)?")
_REPEATED = f"{_TURN}; if the API repeats its last page for ever, say total, total_pages or stop_when"


@dataclass(frozen=True, slots=True)
class Ask:
    """One request; `Pager.pack` makes it plain values, so that a resumed read can repeat it.

    `number` counts pages from 0, `rows` the rows on numbered pages before it.
    """

    url: str
    params: dict[str, list[str]] = field(default_factory=dict)
    number: int = 0
    rows: int = 0


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
        self._declared = self._spec.total or self._spec.total_pages
        self._most, self._doubted = 0, False
        self.max_pages = table.max_pages

    def ends_at(self, ask: Ask, error: RestNotFoundError) -> bool:
        """Whether nothing at the address of a page means that there are no more: as declared, or as a total told."""
        return ask.number > 0 and (error.status in self._spec.end_on or self._doubted)

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

    def at(self, number: int, rows: int = 0) -> Ask:
        """Return the request of a numbered page, counted from 0."""
        if self._spec.kind == "offset":
            params = self._at_row(number * (self._spec.size or 1))
        else:
            params = {**self._first.params, self._spec.as_: [str(self._spec.start + number)]}
        return self._sized(Ask(self._first.url, params, number, rows))

    def _at_row(self, row: int) -> dict[str, list[str]]:
        return {**self._first.params, self._spec.as_: [str(row)]}

    def after(self, ask: Ask, page: Page) -> Ask | None:
        """Return the request that follows an answer, None at the end.

        A total ends the pages when so many rows have come, however large the pages are.
        """
        if self._stop is not None and self._stop.holds(page.body):
            return None
        if not self.numbered:
            return self._named(ask, page)
        rows = ask.rows + len(page.records)
        if not page.records or self._has_all(ask, page, rows):
            return None
        if self.size and not self._spec.total and len(page.records) < self.size:
            return self._sized(replace(self.at(ask.number + 1, rows), params=self._at_row(rows)))
        return self.at(ask.number + 1, rows)

    def _has_all(self, ask: Ask, page: Page, rows: int) -> bool:
        """Whether so many rows have come as the total says, or so many pages.

        A total that is smaller than the rows that came is wrong, and so may be one that was larger before: then the
        pages go on until one is empty.
        """
        if not self._declared:
            return False
        told, most = self._total(page), self._most
        self._most = max(told, most)
        have = rows if self._spec.total else ask.number + 1
        ended = have == told >= most if self._spec.total else have >= max(told, most)
        self._doubted = have >= told and not ended
        return ended

    def lacks_rows(self, ask: Ask, page: Page | None) -> int:
        """Return how many rows or pages are missing of what was told when the pages end before a request.

        Args:
            ask: The request whose answer has no rows.
            page: The answer; None when there was none at this address.
        """
        if not self._declared:
            return 0
        told = self._told(page) if page is not None else None
        told = self._most if told is None else told
        return told - (ask.rows if self._spec.total else ask.number)

    def lacks(self, ask: Ask, page: Page) -> int:
        """Return how many rows an answer has less than its own total says."""
        if not (self._spec.total and self._spec.size):
            return 0
        left = self._total(page) - ask.number * self._spec.size
        return max(min(left, self._spec.size) - len(page.records), 0)

    def last(self, page: Page) -> int | None:
        """Return the number of the last page as an answer tells it, None when it does not."""
        if not self._declared:
            return None
        told = self._told(page)
        told = self._most if told is None else told
        pages = told if self._spec.total_pages else -(-told // (self._spec.size or 1))
        return max(pages - 1, 0)

    def pack(self, ask: Ask, client: Client) -> dict[str, Any]:
        """Return a request as plain JSON: only what answers have told, nothing that the project keeps secret."""
        told: dict[str, Any] = {"number": ask.number, "rows": ask.rows}
        if self._spec.kind == "cursor":
            return {**told, "value": ask.params[self._spec.as_][0]}
        if self.numbered:
            return {**told, "most": self._most} if self._declared else told
        url = urlsplit(client.without_credentials(ask.url))
        parts = {part: tuple(map(unquote_plus, part.partition("=")[::2])) for part in url.query.split("&")}
        same = [name for name, value in parts.values() if self._first.params.get(name) == [value]]
        query = "&".join(part for part, (name, _) in parts.items() if name not in same)
        return {**told, "url": url._replace(query=query).geturl(), "same": same}

    def unpack(self, told: Mapping[str, Any]) -> Ask:
        """Return the request that was packed."""
        number, rows = told["number"], told["rows"]
        if self.numbered:
            self._most = int(told.get("most", 0))
            return self.at(number, rows)
        if "value" in told:
            first = self.first()
            return Ask(first.url, {**first.params, self._spec.as_: [told["value"]]}, number, rows)
        own, url = urlsplit(self._first.url), urlsplit(told["url"])
        host = own.netloc if own.netloc.rpartition("@")[2] == url.netloc else url.netloc
        params = {name: self._first.params[name] for name in told["same"] if name in self._first.params}
        return Ask(url._replace(netloc=host).geturl(), params, number, rows)

    def _total(self, page: Page) -> int:
        told = self._told(page)
        if told is None:
            raise RestError(f"{self._declared} is not a whole number in an answer", fix="mend total, or leave it out")
        return told

    def _told(self, page: Page) -> int | None:
        """Return the number of rows or pages as an answer tells it; a number in quotes is one."""
        match = _WHOLE.fullmatch(find_text(page.body, parse_path(self._declared or "$")) or "")
        return int(match[1]) if match else None

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
        return Ask(ask.url, {**ask.params, self._spec.size_as: [str(self._spec.size)]}, ask.number, ask.rows)


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
            self._check_empty(ask, page, where)
            return
        digest = page.digest
        if digest == self.digest:
            raise RestError(f"{where}: the same {len(page.records)} rows as on the page before", fix=_REPEATED)
        self.digest = digest
        self._check_skipped(ask, page, where)

    def _check_empty(self, ask: Ask, page: Page, where: str) -> None:
        """An empty page ends numbered ones: not before the last one that its own answer tells of."""
        if not self.pager.numbered or self.pager.lacks_rows(ask, page) <= 0:
            return
        last = self.pager.last(page) or 0
        more = f"{last - ask.number} more should follow" if ask.number < last else "fewer rows have come than the total"
        raise RestError(f"{where}: an empty page, and {more}", fix=_COUNTS)

    def check_gone(self, ask: Ask) -> None:
        """Look at the end, which is that there is no next page.

        Raises:
            RestError: Fewer rows have come than the total said.
        """
        if self.pager.numbered and (missing := self.pager.lacks_rows(ask, None)) > 0:
            what = f"there is no such page, and the total says that {missing} more should come"
            raise RestError(f"{self.show(ask.url)}: {what}", fix=_COUNTS)

    def _check_skipped(self, ask: Ask, page: Page, where: str) -> None:
        """Offsets count rows: where a page is smaller than they say, rows are skipped."""
        size, found = self.pager.size, len(page.records)
        if self._short >= 0:
            raise RestError(
                f"{where}: the page before has {self._short} rows, not {size}: rows were skipped",
                fix=f"the API gives smaller pages than asked for: set size: {self._short}",
            )
        if size is not None and (lacking := self.pager.lacks(ask, page)):
            raise RestError(
                f"{where}: the page has {found} rows, {lacking} less than the total says",
                fix=f"if the API gives smaller pages than asked for, set size: {found}; {_COUNTS}",
            )
        if size is not None and found < size:
            self._short = found


def _take(guard: Guard, ask: Ask, answer: Future[Page]) -> Page | None:
    """Return the next page, None when there is no such page and that is the end."""
    try:
        page = answer.result()
    except RestNotFoundError as error:
        if not guard.pager.ends_at(ask, error):
            raise
        guard.check_gone(ask)
        return None
    guard.check(ask, page)
    return page


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
    ask, width = start, 1
    try:
        while pending:
            page = _take(guard, ask, pending.popleft()[1])
            if page is None:
                return
            following = pager.after(ask, page)
            if following is None:
                yield page, None
                return
            last = pager.last(page) if pager.numbered else None
            width = in_flight if last is not None else min(2 * width, in_flight)
            if pending and pending[0][0].params != following.params:
                for _, future in pending:
                    future.cancel()
                pending.clear()
            if not pending:
                pending.append((following, submit(following)))
            while len(pending) < (width if pager.numbered else 1):
                upcoming = pager.at(pending[-1][0].number + 1)
                if last is not None and upcoming.number > last:
                    break
                pending.append((upcoming, submit(upcoming)))
            yield page, following
            ask = following
    finally:
        for _, future in pending:
            future.cancel()
