"""What PostgreSQL's types become, and SQL that turns the server's text form into the landed value.

Exact in DuckDB's own type: boolean, smallint, integer, bigint, real, double precision, text, varchar, bytea, date,
time, timestamp, timestamptz, numeric(p,s) up to 38 digits. Infinity and years before Christ are kept. A NaN in such a
numeric, and a timestamp after 294247-01-10 (DuckDB's last), make their row a reject `type`.

Text exactly as `::text` writes it (UTC, ISO dates, interval style postgres): numeric without precision or beyond 38
digits, timetz, interval, money (as the server's lc_monetary prints it), uuid, json, jsonb, xml, enums, network
addresses, ranges, geometry, bit strings, tsvector, hstore, citext, oid, name, composites and whatever an extension
adds. `char(n)` has no trailing blanks, as `::text` says. A domain is what its base type is.

Arrays of one dimension are lists, of text where the element is text; their lower bound is not kept. A column declared
with more dimensions is text; an array of more dimensions in another column makes its row a reject, because the
catalogue does not know (declare the column as varchar to have its text).

Source: PostgreSQL, "Data Types"; https://www.postgresql.org/docs/current/datatype.html
"""

from __future__ import annotations

from dataclasses import dataclass

from headwater.core.commit import Column
from headwater.sql.exact import EPOCHS, INTEGERS, text_cast_sql

_PLAIN = {
    "bool": "BOOLEAN", "int2": "SMALLINT", "int4": "INTEGER", "int8": "BIGINT", "float4": "FLOAT", "float8": "DOUBLE",
    "text": "VARCHAR", "varchar": "VARCHAR", "bytea": "BLOB", "date": "DATE", "time": "TIME", "timestamp": "TIMESTAMP",
    "timestamptz": "TIMESTAMP WITH TIME ZONE",
}  # fmt: skip
_RAW_TEXT = ("text", "varchar", "uuid", "json", "jsonb")
"""Types that arrive as their exact text without a cast on the server."""

_LAST_TIMESTAMP = "294247-01-10 04:00:54.775806"
_TIMES = ("date", "timestamp", "timestamptz")


@dataclass(frozen=True, slots=True)
class ServerType:
    """A type as the catalogue has it, domains resolved.

    Attributes:
        name: `typname` of the base type, of the element for an array; empty when the type is not the server's own.
        precision: Digits of a numeric, or 0 when it has none.
        scale: Its places after the point.
        array: It is an array.
        dimensions: Declared dimensions of an array, 1 when unknown.
        nested: The type, or an array's element, is a composite.
    """

    name: str
    precision: int = 0
    scale: int = 0
    array: bool = False
    dimensions: int = 1
    nested: bool = False

    @classmethod
    def of_typmod(cls, name: str, typmod: int, *, array: bool, dimensions: int = 1, nested: bool = False) -> ServerType:
        """Read precision and scale from a `typmod` (a numeric's scale is a signed number of 11 bits)."""
        if name != "numeric" or typmod < 4:
            return cls(name, 0, 0, array, dimensions, nested)
        scale = (typmod - 4) & 0x7FF
        return cls(name, (typmod - 4) >> 16, scale - 2048 if scale > 1023 else scale, array, dimensions, nested)

    @property
    def element(self) -> ServerType:
        """An array's element."""
        return ServerType(self.name, self.precision, self.scale, nested=self.nested)


@dataclass(frozen=True, slots=True)
class ServerColumn:
    """A column of the source: its name, its type, and the type as `format_type` writes it."""

    name: str
    type: ServerType
    declared: str

    @property
    def column(self) -> Column:
        """The column as the contract has it."""
        return Column(self.name, landed_type(self.type), self.declared)

    @property
    def note(self) -> str:
        """What people should know of how it lands, or ""."""
        if self.type.name == "numeric" and not self.type.array and landed_type(self.type) == "VARCHAR":
            return (
                f"column {self.name!r} is {self.declared}: text of the exact digits; declare decimal(p,s) to have it so"
            )
        return ""


def landed_type(found: ServerType) -> str:
    """Return the DuckDB type of a server's type."""
    if found.array:
        element = landed_type(found.element)
        return "VARCHAR" if found.dimensions > 1 or found.nested or element in ("BLOB", "TIME") else f"{element}[]"
    if found.name == "numeric" and 1 <= found.precision <= 38 and 0 <= found.scale <= found.precision:
        return f"DECIMAL({found.precision},{found.scale})"
    return _PLAIN.get(found.name, "VARCHAR")


def server_sql(found: ServerType, name: str) -> str:
    """Return the expression that the server sends for the fast path: the value itself, or its text.

    A value that `unfit_sql` finds may arrive as any other: it is not to be used.
    """
    target = landed_type(found)
    if target.endswith("[]"):
        one = f"CASE WHEN array_ndims({name}) > 1 THEN NULL ELSE {name} END"
        if target == "VARCHAR[]":
            return f"({one})::text[]"
        if target.startswith("DECIMAL"):
            sane = f"CASE WHEN array_ndims({name}) > 1 OR 'NaN'::numeric = ANY({name}) THEN NULL ELSE {name} END"
            return f"({sane})::numeric({found.precision},{found.scale})[]"
        return one
    return name if target != "VARCHAR" or (found.name in _RAW_TEXT and not found.array) else f"{name}::text"


def unfit_sql(found: ServerType, name: str = "") -> list[tuple[str, str]]:
    """Return (predicate on the server, what it finds) of the values that the landed type cannot hold."""
    target = landed_type(found)
    if target.endswith("[]"):
        tests = [(f"array_ndims({name}) > 1", "an array of more than one dimension")]
        if target.startswith("DECIMAL"):
            tests.append((f"'NaN'::numeric = ANY({name})", "NaN"))
        if target.startswith("TIMESTAMP"):
            after = f"'{_LAST_TIMESTAMP}'::{found.name} < ANY(array_remove({name}, 'infinity'))"
            tests.append((after, f"a time after {_LAST_TIMESTAMP}"))
        return tests
    if target.startswith("DECIMAL"):
        return [(f"{name} = 'NaN'::numeric", "NaN")]
    if target.startswith("TIMESTAMP"):
        return [(_too_late(found, name), f"a time after {_LAST_TIMESTAMP}")]
    return []


def _too_late(found: ServerType, name: str) -> str:
    return f"{name} > '{_LAST_TIMESTAMP}'::{found.name} AND {name} <> 'infinity'"


def from_text(target: str, value: str, source: ServerType | None = None) -> str:
    """Return DuckDB SQL that reads the server's text form as a value of a type; NULL when it does not fit exactly.

    Texts are those of a session with `TimeZone` UTC, `DateStyle` ISO, `bytea_output` hex and `IntervalStyle` postgres,
    as COPY, pgoutput and `::text` write them.

    Args:
        target: A DuckDB type; that of `landed_type` for the column, or another one that was asked for.
        value: SQL of the text, evaluated more than once.
        source: The server's type where it is known: text and char are taken as they are, and what people wrote into
            them is read in the notations of `sql/exact.py` only.
    """
    if target in ("VARCHAR", "JSON"):
        return value if source is None or source.array else _shown(value, source)
    if target.endswith("[]"):
        return _list_sql(target[:-2], value, source.element if source else None)
    if target == "BLOB":
        return f"TRY(unhex(substr({value}, 3)))" if source is None or source.name == "bytea" else f"encode({value})"
    if (source is None or source.name in _TIMES) and target in ("DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE"):
        return _server_time(target, value)
    if target == "TIME" and (source is None or source.name == "time"):
        return f"TRY_CAST({value} AS TIME)"
    typed = text_cast_sql(value, "DOUBLE" if target in EPOCHS else target)
    if source is not None and source.name in ("float4", "float8"):
        return typed
    return f"CASE WHEN NOT contains(lower({value}), 'e') THEN {typed} END" if _is_exact_number(target) else typed


def _shown(value: str, source: ServerType) -> str:
    """Write a value as `::text` does, where COPY and pgoutput write it otherwise."""
    if source.name == "bpchar":
        return f"rtrim({value}, ' ')"
    if source.name == "bool":
        return f"CASE {value} WHEN 't' THEN 'true' WHEN 'f' THEN 'false' ELSE {value} END"
    if source.name == "inet":
        bits = f"CASE WHEN contains({value}, ':') THEN '/128' ELSE '/32' END"
        return f"CASE WHEN contains({value}, '/') THEN {value} ELSE {value} || {bits} END"
    return value


def _is_exact_number(target: str) -> bool:
    return target in INTEGERS or target.startswith("DECIMAL(")


def _server_time(target: str, value: str) -> str:
    """Read a date or a time that the server wrote, of any year; a date only from what is midnight."""
    if target != "DATE":
        return f"TRY_CAST({_era(value)} AS {target})"
    day = f"regexp_replace({value}, ' 00:00:00(\\+00)?( BC)?$', '\\2')"
    return f"CASE WHEN NOT contains({day}, ':') THEN TRY_CAST({_era(day)} AS DATE) END"


def _era(value: str) -> str:
    """PostgreSQL writes the era at the end, DuckDB behind the date in brackets."""
    return (
        f"CASE WHEN ends_with({value}, ' BC') "
        f"THEN regexp_replace({value}, '^(\\S+)(.*) BC$', '\\1 (BC)\\2') ELSE {value} END"
    )


def _list_sql(element: str, value: str, source: ServerType | None) -> str:
    """Read `{1,NULL,"a, b"}`; an array of more than one dimension does not fit."""
    body = f"regexp_replace({value}, '^(\\[[^=]*\\]=)?\\{{(.*)\\}}$', '\\2', 's')"
    parts = f"regexp_extract_all({body}, '\"(?:[^\"\\\\]|\\\\.)*\"|[^,]+', 0, 's')"
    unquoted = "regexp_replace(p[2:-2], '\\\\(.)', '\\1', 'gs')"
    text = f"CASE WHEN starts_with(p, '\"') THEN {unquoted} WHEN p <> 'NULL' THEN p END"
    found = f"list_transform({parts}, lambda p: {text})"
    if element == "VARCHAR" and source is not None and _shown("e", source) != "e":
        found = f"list_transform({found}, lambda e: {_shown('e', source)})"
    if element != "VARCHAR":
        found = f"list_transform({found}, lambda e: {from_text(element, 'e', source)})"
        lost = f"len(list_filter({found}, lambda e: e IS NOT NULL)) <> "
        lost += f"len(list_filter({parts}, lambda p: p <> 'NULL'))"
        found = f"CASE WHEN {lost} THEN NULL ELSE {found} END"
    nested = f"regexp_matches({value}, '^(\\[[^=]*\\]=)?\\{{\\{{')"
    return f"CASE WHEN {value} IS NULL OR {nested} THEN NULL ELSE {found} END"
