"""Typed columns out of JSON objects, beside the raw text: what files and APIs of JSON have in common.

Keys match the declared columns exactly. Nested parts land as JSON text. A key that is not declared stays in the raw
text (`schema: evolve`, `discard_value`), rejects its row (`discard_row`) or stops the load (`freeze`). A value that
does not fit its column rejects its row, but for `discard_value`, where it is NULL. A number passes through a double, as
JSON readers do: write more than 15 digits as text.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.core.types import normalize_type
from headwater.sql.placeholders import quote_identifier, quote_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headwater.core.commit import Column

_READ_AS = {"EPOCH_S": "DOUBLE", "EPOCH_MS": "DOUBLE"}
_TEXT = ("VARCHAR", "JSON")
_IS_OBJECT = "coalesce(left(ltrim(CAST(json AS VARCHAR), e' \\t\\r\\n'), 1) = '{', FALSE)"


@dataclass(frozen=True, slots=True)
class JsonProjection:
    """Makes the SELECT over documents.

    Attributes:
        columns: The declared columns.
        policy: What happens to a key that is not declared.
        place: SQL of where a document stands, for messages; over the columns of the scan.
    """

    columns: tuple[Column, ...]
    policy: str
    place: str

    def select(self, scan: str, more: Sequence[str]) -> str:
        """Return a SELECT of the columns, `more`, `_rule` and `_reason`.

        Args:
            scan: A SELECT of `json` (of type JSON) and whatever `more` and `place` need.
            more: Expressions over the scan's columns, each with its name.
        """
        read = f"SELECT *, {json_values(self.columns)} AS s FROM ({scan})"
        columns = [f"s.{quote_identifier(c.name)} AS {quote_identifier(c.name)}" for c in self.columns]
        rule, reason, checked = self._checks(read)
        return f"SELECT {', '.join([*columns, *more])}, {rule} AS _rule, {reason} AS _reason FROM ({checked})"

    def _checks(self, read: str) -> tuple[str, str, str]:
        """Tell apart what is NULL in the document from what does not fit; only rows with a NULL are looked at twice."""
        strict = [c for c in self.columns if c.type not in _TEXT and self.policy != "discard_value"]
        fails = []
        for column in strict:
            name = quote_identifier(column.name)
            reason = quote_text(f"column {name} is not a {column.type}")
            fails.append(f"CASE WHEN s.{name} IS NULL AND t.{name} IS NOT NULL THEN {reason} END")
        missing = " OR ".join(f"s.{quote_identifier(c.name)} IS NULL" for c in strict) or "FALSE"
        again = f"json_transform(json, {quote_text(_structure(self.columns, typed=False))})"
        casts = f"nullif(concat_ws('; ', {', '.join(fails)}), '')" if fails else "NULL::VARCHAR"
        checked = f"SELECT *, CASE WHEN {missing} THEN {again} END AS t FROM ({read})"
        checked = (
            f"SELECT *, CASE WHEN {missing} THEN {casts} END AS casts, {self._unknown()} AS unknown FROM ({checked})"
        )
        rule = (
            f"CASE WHEN NOT ({_IS_OBJECT}) THEN 'json' WHEN casts IS NOT NULL THEN 'cast' "
            "WHEN unknown IS NOT NULL THEN 'unknown_column' END"
        )
        reason = (
            f"CASE WHEN NOT ({_IS_OBJECT}) THEN 'not a JSON object' WHEN casts IS NOT NULL THEN casts "
            "WHEN unknown IS NOT NULL THEN concat('keys that are not declared: ', unknown) END"
        )
        return rule, reason, checked

    def _unknown(self) -> str:
        """SQL of the names of undeclared keys that have a value, or NULL."""
        if self.policy in ("evolve", "discard_value"):
            return "NULL::VARCHAR"
        known = "[" + ", ".join(quote_text(c.name) for c in self.columns) + "]"
        undeclared = "list_filter(json_keys({}), lambda k: NOT list_contains(" + known + ", k))"
        valued = undeclared.format("json_merge_patch('{}', json)")
        some = f"{_IS_OBJECT} AND len({undeclared.format('json')}) > 0"
        names = f"CASE WHEN {some} THEN nullif(array_to_string({valued}, ', '), '') END"
        if self.policy == "discard_row":
            return names
        told = f"concat({self.place}, ': keys that are not declared: ', {names}, '; schema is freeze: declare them')"
        return f"CASE WHEN {names} IS NOT NULL THEN error({told}) END"


def json_values(columns: Sequence[Column]) -> str:
    """Return SQL of a struct of the columns' values in `json`, each typed, NULL where it does not fit."""
    return f"json_transform(json, {quote_text(_structure(columns, typed=True))})"


def proposed_type(type_text: str) -> str:
    """Prefer the wide type, and text for nested parts: a sample never shows all there is."""
    if type_text.endswith("]") or type_text.startswith(("STRUCT", "MAP")):
        return "JSON"
    return "BIGINT" if type_text in ("INTEGER", "SMALLINT", "TINYINT") else normalize_type(type_text)


def _structure(columns: Sequence[Column], *, typed: bool) -> str:
    return json.dumps(
        {c.name: _READ_AS.get(c.type, c.type) if typed else "VARCHAR" for c in columns}, ensure_ascii=False
    )
