"""Cursors of SQLite: whether its own order of the cells is the order of what lands, and bounds of what lands if not.

SQLite orders cells by storage class first, and texts by their characters: `2024-10-27T02:10:00+01:00` is before
`2024-10-27T02:30:00+02:00`, which is 40 minutes earlier, `9` is after `10`, and every text is after every number. So
its order decides what is new only where it is known to be the order of the landed values: numbers alone, or texts of
one spelling. Otherwise every row is read and its landed value is compared.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from headwater.core.cursor import subtract_lag
from headwater.core.fragments import SelectSql, quote_identifier, quote_text
from headwater.sources.sqlite.catalogue import DbTable
from headwater.sources.sqlite.types import moment
from headwater.sql.exact import EPOCHS, FLOATS, INTEGERS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from headwater.core.commit import Column
    from headwater.sources.sqlite.rows import RowLoader

TEXTS = ("VARCHAR", "JSON")
_SPELLED = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?)?)( ?(?:Z|[+-][0-9:]+))?"
)
_DAY = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
_CLOCK = "[0-9][0-9]:[0-9][0-9]:[0-9][0-9]"
_HEX = "[0-9a-f]"
_UUID = "-".join(_HEX * digits for digits in (8, 4, 4, 4, 12))


@dataclass(frozen=True, slots=True)
class CursorCells:
    """The cells of a cursor column in one transaction.

    Attributes:
        database: The transaction.
        table: The table.
        column: The cursor, with the type in which it lands.
        loader: Loads this column alone, as its rows will land.
    """

    database: sqlite3.Connection
    table: DbTable
    column: Column
    loader: RowLoader

    @property
    def name(self) -> str:
        """SQL of a cell, compared by bytes whatever the column's collation."""
        return binary(self.column.name)

    def are_ordered(self, highest: Any, last: Any) -> bool:
        """Whether SQLite's order of the cells, and of the last position, is the order of what lands.

        Args:
            highest: The highest cell in SQLite's order.
            last: The cursor of the position, None at first.
        """
        kind = self.column.type
        if highest is None:
            return True
        if kind in TEXTS:
            return self._texts_are_ordered(highest, last)
        if kind == "BLOB":
            return self._all("typeof({}) = 'text'", last)
        if self._landed(highest) is None:
            return False
        if kind in INTEGERS or kind in EPOCHS or kind == "DOUBLE" or kind.startswith("DECIMAL"):
            return self._all("typeof({}) IN ('integer', 'real')", last)
        if kind == "UUID":
            return self._all("{} GLOB ?", last, _UUID)
        if isinstance(highest, int):
            return self._all("typeof({}) = 'integer'", last)
        if not isinstance(highest, str) or not _SPELLED.fullmatch(highest):
            return False
        return self._all("typeof({0}) = 'text' AND {0} GLOB ?", last, _pattern(highest))

    def bounds(self, last: Any, lag: timedelta | None) -> tuple[str | None, str | None, int | float | str | None]:
        """Return the landed values from which and up to which to read, as text, and the position's next cursor.

        Raises:
            ValueError: The last cursor is not of the column's type.
            sqlite3.Error: SQLite cannot read the column.
        """
        lower = before = None
        if last is not None:
            before = self._landed(last)
            lower = self._landed(last, lag)
            if before is None or lower is None:
                raise ValueError(last)
        highest = f"max({quote_identifier(self.column.name)})"
        if before is not None:
            highest = f"greatest({highest}, {typed(before, self.column.type)})"
        query = self.loader.load(self.database, self.table, "", [], "cursor")
        found = self.loader.connection.execute(f"SELECT CAST({highest} AS VARCHAR) FROM ({query})").fetchall()[0][0]
        self.loader.drop("cursor")
        return lower, found, None if found is None else self._position(str(found))

    def _position(self, highest: str) -> int | float | str:
        """Return a landed value as a position holds it: in a form that a cell could have."""
        kind = self.column.type
        if kind in EPOCHS or kind in FLOATS:
            return float(highest)
        if kind == "BIGINT":
            return int(highest)
        return f"{highest.removesuffix('+00')}Z" if kind == "TIMESTAMP WITH TIME ZONE" else highest

    def _landed(self, cell: Any, lag: timedelta | None = None) -> str | None:
        """Return what a cell lands as, less a lag, as text; None when it does not fit."""
        name = quote_identifier(self.column.name)
        alone = DbTable(f"(SELECT ? AS {name})", (self.column,), (), ())
        query = self.loader.load(self.database, alone, "", [cell], "cell")
        value = f"CAST(date_trunc('second', {name} - {_interval(lag)}) AS {self.column.type})" if lag else name
        found = self.loader.connection.execute(f"SELECT CAST({value} AS VARCHAR) FROM ({query})").fetchall()[0][0]
        self.loader.drop("cell")
        return None if found is None else str(found)

    def _all(self, condition: str, last: Any, *parameters: Any) -> bool:
        """Whether all cells are such, and the position's cursor is."""
        wrong = f"SELECT 1 FROM {self.table.sql} WHERE {self.name} IS NOT NULL AND NOT ({condition.format(self.name)})"
        if self.database.execute(f"{wrong} LIMIT 1", parameters).fetchone():
            return False
        alone = f"SELECT v IS NULL OR ({condition.format('v')}) FROM (SELECT ? AS v)"
        numbered = alone.replace("GLOB ?", "GLOB ?1").replace("SELECT ? AS", f"SELECT ?{len(parameters) + 1} AS")
        return bool(self.database.execute(numbered, [*parameters, last]).fetchone()[0])

    def _texts_are_ordered(self, highest: Any, last: Any) -> bool:
        """Texts are in their own order unless they are times or numbers in several spellings."""
        if isinstance(highest, int):
            same = f"typeof({{0}}) = 'integer' AND length({{0}}) = {len(str(highest))} AND {{0}} >= 0"
            return self._all(same, last)
        if not isinstance(highest, str) or not self._all("typeof({}) = 'text'", last):
            return False
        if not highest.startswith(("-", "+")) and self._all("{} GLOB ?", last, _pattern(highest)):
            return True
        if self._all("{0} NOT GLOB ? AND ({0} GLOB '*[^0-9.+-]*' OR {0} = '')", last, f"{_DAY}*"):
            return True
        finer = "{0} GLOB ? AND substr({0}, 20) NOT GLOB '*[^0-9.]*' AND substr({0}, 20, 1) IN ('', '.')"
        return any(self._all(finer, last, f"{_DAY}{between}{_CLOCK}*") for between in "T ")


def binary(name: str) -> str:
    """Return SQL of a cursor, compared by bytes whatever the column's collation: as what lands is."""
    return f"{quote_identifier(name)} COLLATE BINARY"


def typed(value: str, type_text: str) -> str:
    """Return SQL of a landed value that was written as text."""
    return f"CAST({quote_text(value)} AS {'DOUBLE' if type_text in EPOCHS else type_text})"


def landed_filter(query: SelectSql, manifest: Mapping[str, Any], cursor: Column) -> SelectSql:
    """Keep of the rows those within the bounds, and those without a cursor or with one that does not fit."""
    name = quote_identifier(cursor.name)
    within = [
        f"{name} {sign} {typed(manifest[bound], cursor.type)}"
        for bound, sign in (("lower", ">="), ("upper", "<="))
        if manifest[bound] is not None
    ]
    return SelectSql(f"SELECT * FROM ({query}) WHERE {name} IS NULL OR ({' AND '.join(within) or 'TRUE'})")


def step_back(last: int | float | str, type_text: str, lag: timedelta) -> int | float | str:
    """Take a lag from a cursor value in the form SQLite stores it.

    A text is cut to seconds: it is then before every text of that second, whatever its fraction or offset.
    """
    if isinstance(last, int):
        return last + int(-lag // timedelta(seconds=1))
    if isinstance(last, float):
        return last - lag / timedelta(days=1)
    days = len(last) == 10
    found = moment(last) if days else datetime.fromisoformat(last.strip())
    back = subtract_lag(found.date() if days else found, lag)
    if isinstance(back, datetime):
        return back.replace(tzinfo=None).isoformat(sep=last[10], timespec="seconds")
    return str(back)


def _pattern(text: str) -> str:
    """Return the GLOB pattern of the texts that are spelled alike: other digits, but the same offset."""
    spelled = _SPELLED.fullmatch(text)
    digits, zone = (spelled[1], spelled[2] or "") if spelled else (text, "")
    return "".join("[0-9]" if "0" <= sign <= "9" else f"[{sign}]" if sign in "[*?" else sign for sign in digits) + zone


def _interval(lag: timedelta) -> str:
    return f"to_microseconds({lag.days * 86_400_000_000 + lag.seconds * 1_000_000 + lag.microseconds})"
