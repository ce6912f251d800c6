"""The rows of a table on their way: read once from DuckDB, judged, and kept in a file until they are copied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.consumption.postgres.columns import PublishedColumn, list_values, read_columns
from headwater.core.fragments import quote_identifier, quote_identifiers, quote_text
from headwater.core.near import suggest
from headwater.errors import StepError
from headwater.postgres import find_scanner

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from headwater.core.fragments import SelectSql


@dataclass(frozen=True, slots=True)
class StagedTable:
    """A table that is ready to be published.

    Attributes:
        name: Its name in PostgreSQL.
        columns: Its columns.
        key: The columns that tell its rows apart; none when all of them are replaced.
        grants: The roles that may read it.
        file: Its rows.
        rows: How many they are.
        binary: Whether the file is in the format of binary COPY; else it is CSV.
    """

    name: str
    columns: tuple[PublishedColumn, ...]
    key: tuple[str, ...]
    grants: tuple[str, ...]
    file: Path
    rows: int
    binary: bool = False


def stage_rows(
    connection: DuckDBPyConnection, query: SelectSql, columns: Sequence[PublishedColumn], file: Path
) -> tuple[int, bool]:
    """Write the rows of a query in the form that PostgreSQL copies fastest; return how many, and whether it is binary.

    Where a column has no binary form, a value does not fit it, or DuckDB's extension is not there, it is CSV, with NULL
    as nothing and texts in quotes.

    Raises:
        StepError: A value has no place in PostgreSQL; table and column are named.
    """
    import duckdb

    try:
        if all(column.binary for column in columns) and _load_extension(connection):
            try:
                return _write(
                    connection, query, list_values(columns, binary=True), file, "FORMAT postgres_binary"
                ), True
            except duckdb.ConversionException:  # a number of more than 18 digits
                pass
        texts = quote_identifiers(column.name for column in columns if column.quoted)
        forced = f", FORCE_QUOTE ({texts})" if texts else ""
        options = f"FORMAT csv, HEADER false, DELIMITER ',', QUOTE '\"', ESCAPE '\"', NULLSTR ''{forced}"
        return _write(connection, query, list_values(columns, binary=False), file, options), False
    except duckdb.Error as error:
        for column in columns:
            if column.refusal and column.refusal in str(error):
                raise StepError(column.refusal, fix="change it in a model, and publish that") from None
        raise


def _write(connection: DuckDBPyConnection, query: SelectSql, values: str, file: Path, options: str) -> int:
    sql = f"COPY (SELECT {values} FROM ({query})) TO {quote_text(str(file))} ({options})"
    written = connection.execute(sql).fetchone()
    assert written is not None
    return int(written[0])


def _load_extension(connection: DuckDBPyConnection) -> bool:
    """Load DuckDB's extension for PostgreSQL, which writes its binary format; False where it is not there."""
    file, _ = find_scanner()
    if file is not None:
        connection.execute(f"LOAD {quote_text(str(file))}")
    return file is not None


def stage_table(
    connection: DuckDBPyConnection, query: SelectSql, name: str, file: Path, key: Sequence[str],
    grants: Sequence[str], schema: str,
) -> StagedTable:  # fmt: skip
    """Make a table ready; `schema` is where it will stand, for messages.

    Raises:
        StepError: A column or a value has no place in PostgreSQL, or the key is no key.
    """
    columns = read_columns(connection, query, f"{schema}.{name}")
    known = [column.name for column in columns]
    spelled = {column.casefold(): column for column in known}
    for word in key:
        if word.casefold() not in spelled:
            raise StepError(f"{name}: the key names {word}, which is no column", fix=suggest(word, known))
    named = tuple(spelled[word.casefold()] for word in key)
    if named:
        _check_key(connection, query, name, named)
    rows, binary = stage_rows(connection, query, columns, file)
    return StagedTable(name, columns, named, tuple(grants), file, rows, binary)


def _check_key(connection: DuckDBPyConnection, query: SelectSql, table: str, key: tuple[str, ...]) -> None:
    """Refuse keys that are NULL or that two rows have; the values are not told, they may be anybody's."""
    said = ", ".join(key)
    empty = " OR ".join(f"{quote_identifier(column)} IS NULL" for column in key)
    names = quote_identifiers(key)
    found = connection.execute(
        f"SELECT count(*), count(*) FILTER (number > 1), count(*) FILTER (missing) FROM (SELECT count(*) AS number, "
        f"{empty} AS missing FROM ({query}) GROUP BY {names})"
    ).fetchone()
    assert found is not None
    _, doubled, missing = found
    if missing:
        raise StepError(f"{table}: the key ({said}) is NULL in some rows", fix="leave them out, or name another key")
    if doubled:
        what = f"{table}: {doubled:,} values of the key ({said}) have more than one row"
        raise StepError(what, fix="name the columns that tell rows apart, or leave key out")
