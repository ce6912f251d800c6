"""What a user writes of an API: where it is, who asks, how often, and per table the path and how pages follow."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, WithJsonSchema, model_validator

from headwater.core.specs import Spec
from headwater.core.values import Duration, Words
from headwater.sources.rest.paths import parse_condition, parse_path

if TYPE_CHECKING:
    from collections.abc import Iterable

_PLACEHOLDER = re.compile(r"\{parent\.([^{}]+)\}")
_SECRET: dict[str, JsonValue] = {"secret": True}
_AUTH_KEYS: dict[str, tuple[set[str], set[str]]] = {
    "none": (set(), set()),
    "basic": ({"user", "password"}, set()),
    "bearer": ({"token"}, set()),
    "api_key": ({"name", "value"}, {"in"}),
    "oauth2": ({"token_url", "client_id", "client_secret"}, {"scope", "send_as"}),
}
_PAGE_KEYS: dict[str, tuple[set[str], set[str]]] = {
    "none": (set(), {"end_on"}),
    "page": ({"as"}, {"start", "size", "size_as", "total", "total_pages", "stop_when", "end_on"}),
    "offset": ({"as", "size"}, {"size_as", "total", "stop_when", "end_on"}),
    "cursor": ({"from", "as"}, {"stop_when", "end_on"}),
    "link": (set(), {"stop_when", "end_on"}),
    "next_url": ({"from"}, {"stop_when", "end_on"}),
}
"""Per kind the keys it needs and those it may have."""


def _path(text: str) -> str:
    parse_path(text)
    return text


def _condition(text: str) -> str:
    parse_condition(text)
    return text


def _texts(value: Any) -> Any:
    """Read scalars of every type as the text that is sent."""
    values = value if isinstance(value, list) else [value]
    return [str(item).lower() if isinstance(item, bool) else str(item) for item in values]


def _ending(value: Any) -> Any:
    """Read the status as the number it is: scalars of a document arrive as text."""
    return 404 if value == "404" else value


JsonPath = Annotated[str, AfterValidator(_path)]
"""A path into a body: $, $.a.b, $['a b'], [n] from the start, [-1] from the end."""

ConditionText = Annotated[str, AfterValidator(_condition)]
"""A path alone (true unless null, false, 0 or empty), or compared with a JSON literal by == != < <= > >=."""

_SCALAR = {"type": ["string", "number", "boolean"]}
Texts = Annotated[
    list[str], BeforeValidator(_texts), WithJsonSchema({"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR}]})
]
"""A value, or several, of a parameter."""


def _check_keys(what: str, kind: str, given: Iterable[str], keys: tuple[set[str], set[str]]) -> None:
    needed, allowed = keys
    names = {name.rstrip("_") for name in given} - {"kind"}
    if missing := sorted(needed - names):
        raise ValueError(f"{what} of kind {kind} needs {', '.join(missing)}")
    if strange := sorted(names - needed - allowed):
        known = ", ".join(sorted(needed | allowed)) or "no other key"
        raise ValueError(f"{what} of kind {kind} has no {', '.join(strange)}; it takes {known}")


class AuthSpec(Spec):
    """Who asks: `kind` and the keys that belong to it. Give secrets by reference."""

    kind: Literal["none", "basic", "bearer", "api_key", "oauth2"]
    user: str = ""
    password: str = Field("", json_schema_extra=_SECRET)
    token: str = Field("", json_schema_extra=_SECRET)
    name: str = ""
    value: str = Field("", json_schema_extra=_SECRET)
    in_: Literal["header", "query"] = Field("header", alias="in")
    token_url: str = ""
    client_id: str = ""
    client_secret: str = Field("", json_schema_extra=_SECRET)
    scope: str = ""
    send_as: Literal["basic", "body"] = "basic"

    @model_validator(mode="after")
    def _keys_of_kind(self) -> AuthSpec:
        _check_keys("auth", self.kind, self.model_fields_set, _AUTH_KEYS[self.kind])
        if self.kind == "oauth2":
            _check_url(self.token_url, "token_url")
        return self


class RateSpec(Spec):
    """At most `requests` in any stretch of time as long as `per`."""

    requests: int = Field(ge=1, le=1_000_000)
    per: Duration


def _check_url(url: str, what: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{what} is not a URL; write it like https://api.example.com/v1")
    if parts.username or parts.password:
        raise ValueError(f"{what} holds a user; use auth: {{kind: basic, user: …, password: …}}")


class RestConnection(Spec):
    """An API.

    `connection` is the URL that paths are appended to. `hosts` are further hosts (`name` or `name:port`) that a next
    page or a redirect may lead to; they get the credentials, too. `timeout` is how long an answer may be silent (all of
    it may take ten times that), `retries` how often a request is repeated that failed for a reason that may pass.
    """

    connection: str
    auth: AuthSpec | None = None
    rate: RateSpec | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    hosts: Words = Field(default_factory=list)
    timeout: Duration = Field("30s", validate_default=True)
    retries: int = Field(5, ge=0, le=20)

    @model_validator(mode="after")
    def _is_url(self) -> RestConnection:
        _check_url(self.connection, "connection")
        return self


class PaginateSpec(Spec):
    """How pages follow each other: `kind` and the keys that belong to it.

    `page` and `offset` send a number as `as` (and `size` as `size_as`); `cursor` sends what it finds at `from`; `link`
    follows the header Link, `next_url` the URL at `from`. `total` is the path of the number of rows, `total_pages` of
    pages. `stop_when` ends the pages after the one where it is true. `end_on` lists how else an API says that there is
    nothing more: `404` at a page after the first, `missing_records` where `records` is left out.
    """

    kind: Literal["none", "page", "offset", "cursor", "link", "next_url"]
    as_: str = Field("", alias="as")
    from_: JsonPath | None = Field(None, alias="from")
    start: int = 1
    size: int | None = Field(None, ge=1)
    size_as: str = ""
    total: JsonPath | None = None
    total_pages: JsonPath | None = None
    stop_when: ConditionText | None = None
    end_on: list[Annotated[Literal[404, "missing_records"], BeforeValidator(_ending)]] = Field(default_factory=list)

    @model_validator(mode="after")
    def _keys_of_kind(self) -> PaginateSpec:
        _check_keys("paginate", self.kind, self.model_fields_set, _PAGE_KEYS[self.kind])
        if self.total and not self.size:
            raise ValueError("total counts rows and needs size, the rows of a page")
        if self.size_as and not self.size:
            raise ValueError("size_as needs size, the rows of a page")
        return self


class SendCursorSpec(Spec):
    """How to ask for what is new.

    `as` names the parameter that takes the lowest cursor value (inclusive), `until` the one that takes the load's
    time, `start` is sent as long as nothing was loaded. `format` comes from the cursor's type when left out.
    """

    as_: str = Field(alias="as", min_length=1)
    until: str = ""
    start: str | None = None
    format: Literal["iso", "epoch_s", "epoch_ms", "date", "raw"] | None = None


class ParentSpec(Spec):
    """The table whose rows make this table's requests, and fields of its rows to take over: column to path."""

    table: str
    take: dict[str, str] = Field(default_factory=dict)


def _parent(value: Any) -> Any:
    return {"table": value} if isinstance(value, str) else value


class RestTable(Spec):
    """One resource.

    `path` and `params` may hold `{parent.field}` when there is a `parent`. `records` is the path of the rows in an
    answer: a list, or one object.
    """

    path: str = Field(min_length=1)
    params: dict[str, Texts] = Field(default_factory=dict)
    records: JsonPath = "$"
    paginate: PaginateSpec = Field(default_factory=lambda: PaginateSpec(kind="none"))
    send_cursor: SendCursorSpec | None = None
    parent: Annotated[ParentSpec, BeforeValidator(_parent, json_schema_input_type=str | ParentSpec)] | None = None
    in_flight: int = Field(4, ge=1, le=32)
    max_pages: int = Field(100_000, ge=1)

    @model_validator(mode="after")
    def _fits_together(self) -> RestTable:
        if self.parent_fields and not self.parent:
            raise ValueError("{parent.…} needs parent: the table whose rows make the requests")
        if self.parent and not self.parent_fields:
            raise ValueError("a table with a parent says where its rows go in: write {parent.id} in path or params")
        return self

    @property
    def parent_fields(self) -> tuple[str, ...]:
        """The fields of the parent's rows that make a request, each once, in the order written."""
        texts = [self.path, *(text for values in self.params.values() for text in values)]
        return tuple(dict.fromkeys(name for text in texts for name in _PLACEHOLDER.findall(text)))

    @property
    def single(self) -> bool:
        """Whether the whole table is one answer."""
        return self.paginate.kind == "none" and self.parent is None


def fill_parent(text: str, values: dict[str, str]) -> str:
    """Put the values of a parent's row in the place of `{parent.field}`."""
    return _PLACEHOLDER.sub(lambda match: values[match[1]], text)
