"""What a load changes: one row per key, rows equal to the table's left out, keys that vanished, and a digest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.core.fragments import NO_PREDICATE, PredicateSql, SelectSql, quote_identifier, quote_text

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from headwater.core.commit import Column


@dataclass(frozen=True, slots=True)
class MergeQueries:
    """The queries of a merge. Materialize `classified` once (`CREATE TEMP TABLE m AS …`), then ask the others of it.

    Attributes:
        classified: Every incoming row with `_outcome`: new, changed, unchanged, superseded or duplicate.
    """

    classified: SelectSql
    _names: tuple[str, ...]
    _columns: tuple[Column, ...]
    _located: bool

    def rows(self, table: str) -> SelectSql:
        """Return the rows to write: new and changed ones, one per key."""
        return SelectSql(f"SELECT {', '.join(self._names)} FROM {table} WHERE _outcome IN ('new', 'changed')")

    def rejects(self, table: str) -> SelectSql:
        """Return the `duplicate_key` rejects (`REJECT_COLUMNS`): without a cursor the first row of a key wins."""
        place = "_file, _line" if self._located else "NULL::VARCHAR AS _file, NULL::BIGINT AS _line"
        located = "coalesce(_file, ''), chr(31), coalesce(CAST(_line AS VARCHAR), ''), chr(31), "
        raw = raw_row_sql(self._columns)
        return SelectSql(
            f"SELECT sha256(concat({located if self._located else ''}{raw})) AS _reject_key, _batch, _loaded_at, "
            f"{place}, 'duplicate_key' AS rule, 'another row of the load has the same key and came first' AS reason, "
            f"{raw} AS raw FROM {table} WHERE _outcome = 'duplicate'"
        )

    def counts(self, table: str) -> SelectSql:
        """Return a SELECT of one row: `new`, `changed`, `unchanged`, `superseded`, `duplicate`."""
        outcomes = ("new", "changed", "unchanged", "superseded", "duplicate")
        counted = ", ".join(f"count(*) FILTER (_outcome = '{o}') AS {quote_identifier(o)}" for o in outcomes)
        return SelectSql(f"SELECT {counted} FROM {table}")


def compile_merge(
    rows: SelectSql,
    current: SelectSql | None,
    columns: Sequence[Column],
    key: Sequence[str],
    cursor: str = "",
    *,
    system_columns: Sequence[Column] = (),
    current_columns: Collection[str] | None = None,
    located: bool = False,
    leaving: PredicateSql = NO_PREDICATE,
) -> MergeQueries:
    """Compile a merge (or a full load with a key, when `current` is None).

    The highest cursor of a key wins and the others are superseded; without a cursor the first in (file, line) order
    wins and the others are rejects. Equal cursors are decided by (file, line), then by content, so that the result
    does not depend on how the load was cut. A winner whose cursor is below that of the table's row is superseded, too,
    unless that row is one of those that `leaving` selects. A winner that equals the table's row in every column but the
    system columns, NULL for NULL, is unchanged; but a row that now stands in another file is not, or it would go with
    the file it stood in before.

    Args:
        rows: SELECT of the good rows: `columns`, `system_columns`, and `_line` when located.
        current: SELECT of the table as it is, or None.
        columns: The table's columns without system columns.
        key: Key columns, never NULL in `rows`.
        cursor: Cursor column as prepared, or "".
        system_columns: System columns to pass on.
        current_columns: Names of the columns `current` has, when the load adds some.
        located: Rows have `_file` and `_line`.
        leaving: Predicate on the table's rows that the load takes away (their file has changed), or "".
    """
    quoted = [quote_identifier(column.name) for column in columns]
    keys = [quote_identifier(name) for name in key]
    order = [f"{quote_identifier(cursor)} DESC NULLS LAST"] if cursor else []
    order += ["_file", "_line"] if located else []
    order += quoted
    rank = f"row_number() OVER (PARTITION BY {', '.join(keys)} ORDER BY {', '.join(order)}) AS _rank"
    loser = "superseded" if cursor else "duplicate"
    ranked = f"SELECT *, {rank} FROM ({rows})"
    if current is None:
        outcome = f"CASE WHEN _rank > 1 THEN '{loser}' ELSE 'new' END"
        classified = SelectSql(f"SELECT * EXCLUDE (_rank), {outcome} AS _outcome FROM ({ranked})")
    else:
        placed = [quote_identifier(column.name) for column in system_columns if column.name == "_file"]
        left = f"coalesce({leaving}, FALSE)" if leaving else "FALSE"
        known = SelectSql(f"SELECT *, {left} AS _leaving FROM ({current})")
        classified = _compared(ranked, known, [*quoted, *placed], keys, loser, current_columns, cursor)
    names = (*quoted, *(quote_identifier(column.name) for column in system_columns))
    return MergeQueries(classified, names, tuple(columns), located)


def _compared(
    ranked: str,
    current: SelectSql,
    quoted: list[str],
    keys: Sequence[str],
    loser: str,
    current_columns: Collection[str] | None,
    cursor: str,
) -> SelectSql:
    """Classify the winners by comparing them with the table's rows."""
    there = None if current_columns is None else {quote_identifier(name.lower()) for name in current_columns}
    old = [name if there is None or name.lower() in there else f"NULL AS {name}" for name in quoted]
    known = f"SELECT {', '.join(old)}, _leaving, TRUE AS _found FROM ({current})"
    joined = " AND ".join(f"n.{name} = c.{name}" for name in keys)
    others = [name for name in quoted if name not in keys]
    differs = " OR ".join(f"n.{name} IS DISTINCT FROM c.{name}" for name in others) or "FALSE"
    name = quote_identifier(cursor)
    older = f"WHEN NOT c._leaving AND n.{name} < c.{name} THEN 'superseded' " if cursor else ""
    outcome = (
        f"CASE WHEN _rank > 1 THEN '{loser}' WHEN c._found IS NULL THEN 'new' {older}"
        f"WHEN {differs} THEN 'changed' ELSE 'unchanged' END"
    )
    return SelectSql(
        f"SELECT n.* EXCLUDE (_rank), {outcome} AS _outcome FROM ({ranked}) AS n LEFT JOIN ({known}) AS c ON {joined}"
    )


def compile_deletes(keys: SelectSql, current: SelectSql, key: Sequence[str]) -> SelectSql:
    """Return the keys of `current` that are not among `keys` (both landed alike): what the source has deleted."""
    names = ", ".join(quote_identifier(name) for name in key)
    return SelectSql(f"SELECT {names} FROM ({current}) ANTI JOIN ({keys}) USING ({names})")


def digest_query(rows: SelectSql, columns: Sequence[Column]) -> SelectSql:
    """Return a SELECT of one text: a digest of rows, whatever their order, over the columns given.

    Equal digests mean equal rows, names and types; system columns do not belong in `columns`. It is compared with
    the last commit's only: another version of the engine may give another digest, which reads as "changed".
    """
    schema = hashlib.sha256(repr([(c.name, c.type) for c in columns]).encode()).hexdigest()[:16]
    names = ", ".join(quote_identifier(column.name) for column in columns)
    row = f"hash(hash({names}))"
    return SelectSql(
        f"SELECT concat('{schema}:', count(*), ':', coalesce(sum(CAST({row} AS HUGEINT)), 0)) AS digest FROM ({rows})"
    )


def raw_row_sql(columns: Sequence[Column]) -> str:
    """Return SQL of a landed row as JSON text."""
    parts = []
    for column in columns:
        name = quote_identifier(column.name)
        plain = column.type in ("BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT")
        nested = column.type.endswith("]") or column.type.startswith(("STRUCT", "MAP", "UNION"))
        parts.append(f"{quote_text(column.name)}, {name if plain or nested else f'CAST({name} AS VARCHAR)'}")
    return f"CAST(json_object({', '.join(parts)}) AS VARCHAR)"
