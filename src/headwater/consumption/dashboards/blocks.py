"""The blocks of a dashboard as people write them: YAML within fences, validated key by key."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from headwater.consumption.dashboards.markdown import NO_IMAGES, has_images, names_in, parse_sentence
from headwater.core.graph import Location
from headwater.core.metrics import MetricRequest
from headwater.core.near import suggest
from headwater.core.specs.base import Spec
from headwater.core.values import Words, resolve_scalar
from headwater.documents import Document, parse_document
from headwater.errors import ProjectError
from headwater.validate import validate

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from markdown_it.token import Token

    from headwater.consumption.dashboards.markdown import Fence
    from headwater.consumption.dashboards.parameters import Parameters

MOST_COLOURS = 10
"""How many colours of a chart can be told apart."""

_FORMAT = re.compile(r"[^{}]*\{(?::,?(?:\.[0-9]{1,2})?[f%]?)?\}[^{}]*")


def is_format(text: str) -> bool:
    """Whether a text is a format of one value."""
    return _FORMAT.fullmatch(text) is not None


def _check_format(text: str) -> str:
    if not is_format(text):
        raise ValueError(f"{text!r} is no format: write text around one of {{}}, {{:,.2f}}, {{:.0f}}, {{:.1%}}")
    return text


NumberFormat = Annotated[str, AfterValidator(_check_format)]
"""How a number is written: text around `{}` (all its digits), `{:,.2f}` (rounded, grouped) or `{:.1%}`."""

Name = Annotated[str, Field(min_length=1)]


class Aggregate(StrEnum):
    """What is made of a column of several rows."""

    SUM = "sum"
    AVG = "avg"
    MIN = "min"
    MAX = "max"
    COUNT = "count"
    FIRST = "first"
    LAST = "last"


class Mark(StrEnum):
    """What a chart draws for a row."""

    LINE = "line"
    AREA = "area"
    BAR = "bar"
    POINT = "point"
    RECT = "rect"


class BlockSpec(Spec):
    """What every block says: the query that it shows, or metrics, what they are grouped by and the rows they count."""

    query: str = ""
    metric: Words = Field(default_factory=list)
    by: Words = Field(default_factory=list)
    where: str = ""

    @model_validator(mode="after")
    def _one_question(self) -> BlockSpec:
        if bool(self.query) == bool(self.metric):
            raise ValueError("a block shows a query or metrics: write one of query and metric")
        if self.query and (self.by or self.where):
            raise ValueError("by and where are of metrics: write them into the query")
        return self

    @property
    def request(self) -> MetricRequest:
        """What it asks of metrics."""
        return MetricRequest(tuple(self.metric), tuple(self.by), self.where)


class BigNumberSpec(BlockSpec):
    """One number. Without `agg` the query gives one row; `compare` is a column that it is compared with.

    `value` may be left out where one metric is shown.
    """

    value: str = ""
    agg: Aggregate | None = None
    label: str = ""
    format: NumberFormat | None = None
    compare: Name | None = None
    compare_label: str = ""

    @model_validator(mode="after")
    def _says_what(self) -> BigNumberSpec:
        if not self.value and len(self.metric) != 1:
            raise ValueError("value is missing: name the column that is shown")
        if self.metric and self.agg in (Aggregate.SUM, Aggregate.AVG):
            raise ValueError(f"the {self.agg} of a metric's groups is another number: leave out agg and by")
        return self


class TableSpec(BlockSpec):
    """The first rows of a query."""

    title: str = ""
    columns: Words | None = None
    rows: Annotated[int, Field(ge=1, le=10_000)] = 20
    labels: dict[str, str] = Field(default_factory=dict)
    formats: dict[str, NumberFormat] = Field(default_factory=dict)


class TextSpec(BlockSpec):
    """A sentence with values of the query's one row: `{column}`. `empty` is what stands there without a row."""

    text: Name
    empty: str | None = None


class ChartSpec(BlockSpec):
    """A chart: `mark`, `x` and `y`, or a Vega-Lite `spec`, to which the query's rows are given."""

    title: str = ""
    mark: Mark | None = None
    x: Name | None = None
    y: (
        Annotated[list[Name], Field(min_length=1, max_length=MOST_COLOURS), BeforeValidator(lambda v: _words(v))] | None
    ) = None
    color: Name | None = None
    x_label: str = ""
    y_label: str = ""
    stack: bool = True
    height: Annotated[int, Field(ge=60, le=2000)] = 210
    spec: Annotated[dict[str, Any], BeforeValidator(resolve_scalar)] | None = None

    @model_validator(mode="after")
    def _one_form(self) -> ChartSpec:
        short = {"mark": self.mark, "x": self.x, "y": self.y}
        if self.metric and self.mark and self.by:
            short = {}
        if self.spec is not None:
            if said := self.model_fields_set - {*BlockSpec.model_fields, "title", "spec"}:
                raise ValueError(f"beside spec stands {', '.join(sorted(said))}: say it in the spec")
            return self
        if missing := [word for word, value in short.items() if value is None]:
            raise ValueError(f"a chart needs mark, x and y, or a Vega-Lite spec; {', '.join(missing)} is missing")
        if self.color and len(self.y or ()) > 1:
            raise ValueError("several columns as y have a colour each: leave color out")
        if self.mark is Mark.RECT and not self.color:
            raise ValueError("rect needs color: the column of numbers that colours the cells")
        return self


def _words(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


SPECS: dict[str, type[BlockSpec]] = {
    "big_number": BigNumberSpec,
    "chart": ChartSpec,
    "table": TableSpec,
    "text": TextSpec,
}


def with_columns_of_metrics(spec: BlockSpec) -> BlockSpec:
    """Return a block that shows metrics with what follows from them where it does not say it: query, columns."""
    said: dict[str, Any] = {"query": " ".join(["metric", *spec.metric, *(["by", *spec.by] if spec.by else [])])}
    if spec.where:
        said["query"] += f" where {spec.where}"
    columns = spec.request.columns
    if isinstance(spec, BigNumberSpec) and not spec.value:
        said["value"] = columns[-1]
    if isinstance(spec, ChartSpec) and spec.spec is None:
        said |= {"x": spec.x or columns[0], "y": spec.y or spec.metric}
        if len(spec.metric) == 1 and len(spec.by) > 1 and spec.mark is not Mark.RECT:
            said["color"] = spec.color or columns[1]
    return spec.model_copy(update=said)


@dataclass(frozen=True, slots=True)
class SqlBlock:
    """A query of the page: its text, and where its first line stands; the metrics that it is written from."""

    name: str
    sql: str
    location: Location
    metrics: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ShownBlock:
    """A block that shows a query: its words, and where its fence stands.

    Attributes:
        word: Which block it is.
        spec: Its keys.
        location: Where its fence stands.
        sentence: The Markdown of a `text` block; empty for the others.
        empty: Its Markdown where there is no row.
    """

    word: str
    spec: BlockSpec
    location: Location
    sentence: Sequence[Token] = field(default=(), repr=False)
    empty: Sequence[Token] = field(default=(), repr=False)


def read_sql(fence: Fence, path: str, errors: list[ProjectError]) -> SqlBlock | None:
    """Read a block of SQL: ```` ```sql NAME ````."""
    place = Location(path, fence.line)
    if not re.fullmatch(r"[^\W\d]\w*", fence.rest):
        found = f"{fence.rest!r} is no name of a query" if fence.rest else "the query has no name"
        fix = "write ```sql NAME, with letters, digits and _; SQL that is only to be seen is ```sqlcode"
        errors.append(ProjectError.at(place, found, fix))
        return None
    if not fence.text.strip():
        errors.append(ProjectError.at(place, f"the query {fence.rest} is empty", "write a SELECT"))
        return None
    return SqlBlock(fence.rest, fence.text, Location(path, fence.first_line))


def read_block(fence: Fence, path: str, params: Parameters, errors: list[ProjectError]) -> ShownBlock | None:
    """Read a block of YAML; what is wrong in it is added to `errors`."""
    place = Location(path, fence.line)
    if fence.rest:
        what = f"nothing stands behind {fence.word}, and here it is {fence.rest!r}"
        errors.append(ProjectError.at(place, what, "say it by keys in the block"))
    try:
        document = parse_document(fence.text, path, fence.first_line)
    except ProjectError as error:
        errors.append(error)
        return None
    spec = validate(SPECS[fence.word], document.data, document, (), errors)
    if spec is None:
        return None
    filled = _fill_texts(with_columns_of_metrics(spec) if spec.metric else spec, document, params, errors)
    if isinstance(filled, ChartSpec) and filled.color and len(filled.y or ()) > 1:
        errors.append(ProjectError.at(place, "several columns as y have a colour each", "leave color out"))
    if isinstance(filled, ChartSpec) and filled.spec is not None:
        from headwater.consumption.dashboards.vega import find_refused_keys, find_unknown_words

        for key, what, fix in (*find_refused_keys(filled.spec), *find_unknown_words(filled.spec)):
            errors.append(ProjectError.at(document.place(("spec", *key)), what, fix))
    if isinstance(filled, TextSpec):
        sentence = _read_sentence(filled.text, document.place(("text",)), params, errors)
        empty = _read_sentence(filled.empty or "", document.place(("empty",)), params, errors)
        if names_in(empty, "value"):
            what = "empty stands where there is no row, and so no value"
            errors.append(ProjectError.at(document.place(("empty",)), what, "leave the {…} out"))
        return ShownBlock(fence.word, filled, place, sentence, empty)
    return ShownBlock(fence.word, filled, place)


def _read_sentence(text: str, place: Location, params: Parameters, errors: list[ProjectError]) -> list[Token]:
    tokens = parse_sentence(text)
    errors += [params.unknown(name, place) for name in names_in(tokens, "param") if name not in params.texts]
    if has_images(tokens):
        errors.append(ProjectError.at(place, *NO_IMAGES))
    return tokens


_TEXT_KEYS = ("title", "label", "compare_label", "x_label", "y_label", "format")


def _fill_texts(spec: BlockSpec, document: Document, params: Parameters, errors: list[ProjectError]) -> BlockSpec:
    """Fill parameters into the texts that people read; names of columns stay as they are."""
    filled: dict[str, Any] = {}
    for key in _TEXT_KEYS:
        if text := getattr(spec, key, None):
            filled[key] = _fill(text, key == "format", document.place((key,)), params, errors)
    if isinstance(spec, TableSpec):
        for key in ("labels", "formats"):
            filled[key] = {
                name: _fill(text, key == "formats", document.place((key, name)), params, errors)
                for name, text in getattr(spec, key).items()
            }
    return spec.model_copy(update=filled)


def _fill(text: str, is_format: bool, place: Location, params: Parameters, errors: list[ProjectError]) -> str:
    """Fill parameters in; braces of a value are no braces of a format."""
    if not is_format:
        return params.fill_text(text, place, errors)
    before, brace, rest = text.partition("{")
    inner, end, after = rest.partition("}")
    ends = (params.fill_text(part, place, errors) for part in (before, after))
    before, after = (part.replace("{", "{{").replace("}", "}}") for part in ends)
    return f"{before}{brace}{inner}{end}{after}"


def check_queries(
    blocks: Collection[ShownBlock], queries: Sequence[SqlBlock], errors: list[ProjectError]
) -> Iterator[SqlBlock]:
    """Yield the queries, one of each name; blocks of unknown queries and doubled names are added to `errors`."""
    first: dict[str, SqlBlock] = {}
    for query in queries:
        other = first.setdefault(query.name if query.metrics else query.name.casefold(), query)
        if other is query:
            yield query
        else:
            lines = f"line {other.location.line - 1}"
            what = f"two queries are named {query.name}: the other is in {lines}"
            place = Location(query.location.path, query.location.line - 1)
            errors.append(ProjectError.at(place, what, "name one of them anew"))
    names = [query.name for query in queries if not query.metrics]
    otherwise = "" if names else "write a block ```sql NAME"
    for block in blocks:
        if not block.spec.metric and block.spec.query not in names:
            what = f"{block.word}: no query of this page is named {block.spec.query!r}"
            errors.append(ProjectError.at(block.location, what, suggest(block.spec.query, names, otherwise)))
