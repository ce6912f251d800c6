"""The words of a declaration that decide: how a table is loaded, what happens to deleted rows, how a model is kept."""

from __future__ import annotations

from enum import StrEnum


class LoadMode(StrEnum):
    """What a load reads: everything, what is new by a cursor or a file's state, or the source's own log of changes."""

    FULL = "full"
    INCREMENTAL = "incremental"
    CDC = "cdc"


class DeletePolicy(StrEnum):
    """What happens to rows that the source no longer has."""

    IGNORE = "ignore"
    COMPARE_KEYS = "compare_keys"
    SOFT_FLAG = "soft_flag"


class SchemaPolicy(StrEnum):
    """What happens when columns or types arrive that the table does not have."""

    EVOLVE = "evolve"
    FREEZE = "freeze"
    DISCARD_ROW = "discard_row"
    DISCARD_VALUE = "discard_value"


class Materialization(StrEnum):
    """How the rows of a model are kept."""

    TABLE = "table"
    VIEW = "view"
    INCREMENTAL = "incremental"
    SNAPSHOT = "snapshot"


class Severity(StrEnum):
    """What a failed check means: nothing is committed, or a warning."""

    ERROR = "error"
    WARNING = "warning"


class Unit(StrEnum):
    """What wrong rows are counted in: their number, or their share of all rows in percent."""

    ROWS = "rows"
    PERCENT = "percent"
