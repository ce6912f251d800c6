"""Typed columns out of JSON objects, beside the raw text: what files and APIs of JSON have in common.

Keys match the declared columns exactly. Nested parts land as JSON text. A key that is not declared stays in the raw
text (`schema: evolve`, `discard_value`), rejects its row (`discard_row`) or stops the load (`freeze`). A value that
does not fit its column rejects its row, but for `discard_value`, where it is NULL. So does a key that is there twice,
and a column's key in another case where the column's own is not there.

Values are typed out of their text (see `sql/exact.py`). DuckDB reads numbers with a fraction or an exponent through a
double: a row where that can show (`_at_risk`) is read again with every digit, by `json_texts`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from headwater.core.fragments import SelectSql, quote_identifier, quote_text
from headwater.core.policies import SchemaPolicy
from headwater.core.types import normalize_type
from headwater.sources.common.json_texts import UNREAD, texts_sql
from headwater.sql.exact import EPOCHS, INTEGERS, nested_cast_sql, text_cast_sql
from headwater.sql.nested import is_nested, json_twin

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from duckdb import DuckDBPyConnection

    from headwater.core.commit import Column
    from headwater.core.specs import IngestSpec

_TEXT = ("VARCHAR", "JSON")
_LENIENT = (SchemaPolicy.EVOLVE, SchemaPolicy.DISCARD_VALUE)
"""Policies to which a key that is not declared is nothing special."""
_BEGINS = "regexp_matches({}, '^\\s*\\{{')"
_MANY_DIGITS = "[0-9][0-9.]{15,}"
"""Fewer digits than this pass through a double unchanged."""
_REAL = r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_REAL_INSIDE = r"[\[:,]-?[0-9]+[.eE]"
_SAMPLE_KEYS = 20
SAMPLE_ROWS = 100
"""How many documents are looked at for the keys that rows usually have."""


class KeysError(ValueError):
    """Documents have none of the declared columns, or have one in another case only; the text says which."""


@dataclass(frozen=True, slots=True)
class JsonProjection:
    """Makes the SELECT over documents.

    Attributes:
        columns: The declared columns.
        policy: What happens to a key that is not declared.
        place: SQL of where a document stands, for messages; over the columns of the scan.
        connection: Where the SELECT runs.
        usual: Lists of keys that need no second look (see `usual_keys`).
    """

    columns: tuple[Column, ...]
    policy: SchemaPolicy
    place: str
    connection: DuckDBPyConnection
    usual: tuple[tuple[str, ...], ...] = ()

    def select(self, scan: str, more: Sequence[str]) -> SelectSql:
        """Return a SELECT of the columns, `more`, `_rule` and `_reason`.

        Args:
            scan: A SELECT of `json` (of type JSON) and whatever `more` and `place` need.
            more: Expressions over the scan's columns, each with its name.
        """
        strict = self.policy in (SchemaPolicy.FREEZE, SchemaPolicy.DISCARD_ROW)
        typed = exact_values(scan, self.columns, self.connection, also=f"{self._keys()} AS _hw_keys", strict=strict)
        columns = [f"_hw_t{index} AS {quote_identifier(c.name)}" for index, c in enumerate(self.columns)]
        judged = (
            f"SELECT *, {self._casts()} AS _hw_casts, {self._odd_keys()} AS _hw_odd, {self._unknown()} AS _hw_new "
            f"FROM ({typed})"
        )
        rules = [
            ("NOT _hw_object", "json", "'not a JSON object'"),
            ("_hw_odd IS NOT NULL", "json", "_hw_odd"),
            ("_hw_unread", "json", "'a number cannot be read with all its digits: the row is not strict JSON'"),
            ("_hw_casts IS NOT NULL", "cast", "_hw_casts"),
            ("_hw_new IS NOT NULL", "unknown_column", "concat('keys that are not declared: ', _hw_new)"),
        ]
        rule = " ".join(f"WHEN {test} THEN {quote_text(name)}" for test, name, _ in rules)
        reason = " ".join(f"WHEN {test} THEN {told}" for test, _, told in rules)
        return SelectSql(
            f"SELECT {', '.join([*columns, *more])}, CASE {rule} END AS _rule, CASE {reason} END AS _reason "
            f"FROM ({judged})"
        )

    def _casts(self) -> str:
        """SQL of which values do not fit their column, or NULL."""
        if self.policy == SchemaPolicy.DISCARD_VALUE:
            return "NULL::VARCHAR"
        tests, told = [], []
        for index, column in enumerate(self.columns):
            if column.type not in _TEXT:
                test = f"(_hw_x{index} IS NOT NULL AND _hw_t{index} IS NULL)"
                reason = quote_text(f"column {quote_identifier(column.name)} is not a {column.type}")
                tests.append(test)
                told.append(f"CASE WHEN {test} THEN {reason} END")
        if not tests:
            return "NULL::VARCHAR"
        return f"CASE WHEN {' OR '.join(tests)} THEN concat_ws('; ', {', '.join(told)}) END"

    def _keys(self) -> str:
        """SQL of a document's keys, or NULL when they are usual ones, in order and not in the way of the policy."""
        declared = {column.name for column in self.columns}
        usual = [keys for keys in self.usual if self.policy in _LENIENT or declared.issuperset(keys)]
        unusual = " AND ".join(f"json_keys(json) <> {_list(keys)}" for keys in usual)
        return f"CASE WHEN {unusual} THEN json_keys(json) END" if usual else "json_keys(json)"

    def _odd_keys(self) -> str:
        """SQL of what is wrong with the keys themselves, or NULL: one is there twice, or in another case only."""
        names = _list([column.name for column in self.columns])
        lowered = "list_transform(_hw_keys, lambda k: lower(k))"
        cased = f"list_filter({names}, lambda c: NOT list_contains(_hw_keys, c) AND list_contains({lowered}, lower(c)))"
        joined = "array_to_string(_hw_keys, ' ')"
        small = all(column.name == column.name.lower() for column in self.columns)
        one_case = f"WHEN {joined} = lower({joined}) THEN NULL " if small else ""
        return (
            "CASE WHEN _hw_keys IS NULL THEN NULL "
            "WHEN list_unique(_hw_keys) <> len(_hw_keys) THEN concat('a key is there twice: ', array_to_string("
            "list_distinct(list_filter(_hw_keys, lambda k, i: list_position(_hw_keys, k) <> i)), ', ')) "
            f"{one_case}WHEN len({cased}) > 0 THEN concat('keys in another case than declared: ', "
            f"array_to_string({cased}, ', ')) END"
        )

    def _unknown(self) -> str:
        """SQL of the names of undeclared keys that have a value, or NULL."""
        if self.policy in _LENIENT:
            return "NULL::VARCHAR"
        known = _list([column.name for column in self.columns])
        undeclared = "list_filter({}, lambda k: NOT list_contains(" + known + ", k))"
        valued = undeclared.format("json_keys(json_merge_patch('{}', json))")
        some = f"_hw_object AND len({undeclared.format('_hw_keys')}) > 0"
        names = f"CASE WHEN {some} THEN nullif(array_to_string({valued}, ', '), '') END"
        if self.policy == SchemaPolicy.DISCARD_ROW:
            return names
        told = f"concat({self.place}, ': keys that are not declared: ', {names}, '; schema is freeze: declare them')"
        return f"CASE WHEN {names} IS NOT NULL THEN error({told}) END"


def exact_values(
    scan: str, columns: Sequence[Column], connection: DuckDBPyConnection, *, also: str = "", strict: bool = False
) -> str:
    """Return a SELECT of the scan's columns, and of each declared column its text and its value.

    `_hw_x<n>` is the text of the n-th column (NULL when the document has none), `_hw_t<n>` its value, NULL where the
    text does not fit; `_hw_object` whether the document is an object, `_hw_unread` whether its digits could not be had.

    Args:
        scan: A SELECT of `json` (of type JSON) and more.
        columns: The declared columns.
        connection: Where the SELECT runs.
        also: One more expression over the scan.
        strict: Whether a key that a declared STRUCT does not have makes its value unfit.
    """
    structure = json.dumps({c.name: "JSON" if c.type == "JSON" else "VARCHAR" for c in columns}, ensure_ascii=False)
    more = f", {also}" if also else ""
    read = (
        f"SELECT *, json_transform(json, {quote_text(structure)}) AS _hw_s, CAST(json AS VARCHAR) AS _hw_text{more} "
        f"FROM ({scan})"
    )
    other = f"coalesce({_BEGINS.format('_hw_text')}, FALSE)"
    begins = f"CASE WHEN _hw_text >= '{{' AND _hw_text < '|' THEN TRUE ELSE {other} END"
    given = [f"CAST(_hw_s.{quote_identifier(c.name)} AS VARCHAR)" for c in columns]
    risks = [_at_risk(text, c.type) for text, c in zip(given, columns, strict=True)]
    risk = " OR ".join(test for test in risks if test)
    read = f"SELECT *, {begins} AS _hw_object FROM ({read})"
    if risk:
        again = texts_sql(connection, "_hw_text", [(c.name, c.type) for c in columns], strict=strict)
        read = f"SELECT *, CASE WHEN {risk} THEN {again} END AS _hw_again FROM ({read})"
        read = f"SELECT *, coalesce(_hw_again[1] = {quote_text(UNREAD)}, FALSE) AS _hw_unread FROM ({read})"
    else:
        read = f"SELECT *, FALSE AS _hw_unread FROM ({read})"
    texts, tried, values = [], [], []
    for index, (column, text, test) in enumerate(zip(columns, given, risks, strict=True)):
        if test:
            text = f"CASE WHEN _hw_again IS NOT NULL THEN _hw_again[{index + 2}] ELSE {text} END"
        texts.append(f"{text} AS _hw_x{index}")
        wanted = read_type(column.type)
        if wanted not in _TEXT and not is_nested(wanted):
            tried.append(f", TRY_CAST(_hw_x{index} AS {wanted}) AS _hw_p{index}")
        values.append(f"{_value(f'_hw_x{index}', column.type, f'_hw_p{index}')} AS _hw_t{index}")
    read = f"SELECT *, {', '.join(texts)} FROM ({read})"
    return f"SELECT *, {', '.join(values)} FROM (SELECT *{''.join(tried)} FROM ({read}))"


def read_type(type_text: str) -> str:
    """The type that the rows have for a declared one: epochs are numbers until they are prepared."""
    return EPOCHS[type_text][0] if type_text in EPOCHS else type_text


def usual_keys(
    documents: Iterable[bytes | str], columns: Sequence[Column], ingest: IngestSpec
) -> tuple[tuple[str, ...], ...]:
    """Return the lists of keys of some documents, those that are in order.

    Raises:
        KeysError: None of the documents has any declared column, or its key or cursor, or one is there only in
            another case.
    """
    found: dict[tuple[str, ...], None] = {}
    for document in islice(documents, 2 * SAMPLE_ROWS):
        try:
            pairs = json.loads(document, object_pairs_hook=_Pairs)
        except (ValueError, RecursionError):
            continue
        if isinstance(pairs, _Pairs):
            found[tuple(key for key, _ in pairs)] = None
    keys = {key for row in found for key in row}
    declared = [column.name for column in columns]
    if keys:
        _check_keys(keys, declared, [name for name in (*ingest.key, ingest.cursor or "") if name in declared])
    return tuple(row for row in islice(found, _SAMPLE_KEYS) if row and _in_order(row, declared))


class _Pairs(list[Any]):
    """An object as the list of its keys and values."""


def _check_keys(keys: set[str], declared: Sequence[str], needed: Sequence[str]) -> None:
    shown = ", ".join(sorted(keys))[:200]
    by_lower = {key.lower(): key for key in sorted(keys)}
    for name in declared:
        if name not in keys and (other := by_lower.get(name.lower())) is not None:
            raise KeysError(f"column {name!r} is declared, and the key is {other!r}: keys match exactly")
    if missing := [name for name in needed if name not in keys]:
        raise KeysError(f"column {missing[0]!r}, by which rows are merged or read, is not among the keys: {shown}")
    if not keys.intersection(declared):
        raise KeysError(f"none of the declared columns ({', '.join(declared)[:200]}) is among the keys: {shown}")


def _in_order(row: tuple[str, ...], declared: Sequence[str]) -> bool:
    lowered = {key.lower() for key in row}
    return len(set(row)) == len(row) and all(name in row or name.lower() not in lowered for name in declared)


def _value(text: str, type_text: str, tried: str) -> str:
    wanted = read_type(type_text)
    if wanted in _TEXT:
        return text
    if is_nested(wanted):
        parts = f"json_transform(TRY_CAST({text} AS JSON), {quote_text(json.dumps(json_twin(wanted)))})"
        return nested_cast_sql(parts, wanted, f"left({text}, 1) IN ('[', '{{')")
    return text_cast_sql(text, wanted, tried)


def _at_risk(text: str, type_text: str) -> str:
    """Return a test whether a text may have lost digits on its way through a double, "" when that cannot show."""
    wanted = read_type(type_text)
    if wanted in INTEGERS or wanted.startswith("DECIMAL("):
        real = f"(contains({text}, '.') OR contains({text}, 'e'))"
        return f"({real} AND regexp_matches(_hw_text, {quote_text(_MANY_DIGITS)}))"
    if is_nested(wanted):
        return f"{text} IS NOT NULL"
    if wanted not in _TEXT:
        return ""
    real = f"(contains({text}, '.') OR contains({text}, 'e'))"
    number = f"{text} >= '-' AND {real} AND regexp_full_match({text}, {quote_text(_REAL)})"
    nested = f"regexp_matches({text}, {quote_text(_REAL_INSIDE)})"
    is_nested_text = f"{text} < '\\' OR ({text} >= '{{' AND {text} < '|')"
    return f"CASE WHEN {text} < ':' THEN {number} WHEN {text} < '[' THEN FALSE WHEN {is_nested_text} THEN {nested} END"


def _list(names: Iterable[str]) -> str:
    return "[" + ", ".join(quote_text(name) for name in names) + "]"


def proposed_type(type_text: str) -> str:
    """Prefer the wide type, and text for nested parts: a sample never shows all there is."""
    if type_text.endswith("]") or type_text.startswith(("STRUCT", "MAP")):
        return "JSON"
    return "BIGINT" if type_text in ("INTEGER", "SMALLINT", "TINYINT") else normalize_type(type_text)
