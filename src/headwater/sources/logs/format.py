"""Formats of log lines: a pattern with named groups, and how each group becomes a column.

Sources: Apache HTTP Server, "Log Files" (common and combined); nginx, ngx_http_log_module (combined); RFC 3164,
sections 4.1 and 5; RFC 5424, section 6.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.core.commit import Column
from headwater.core.fragments import quote_identifier, quote_text
from headwater.errors import ProjectError
from headwater.sql.exact import EPOCHS, exact_cast_sql, formatted_cast_sql

if TYPE_CHECKING:
    from collections.abc import Mapping

_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_INSTANT = "TIMESTAMP WITH TIME ZONE"
_ACCESS_TIME = (
    "CASE WHEN {0} LIKE '__/___/____:__:__:__ _____' AND right({0}, 4) <= '1559' AND right({0}, 2) < '60' "
    "THEN try_strptime({0}, '%d/%b/%Y:%H:%M:%S %z') END"
)
"""Of itself, strptime takes years of two digits, and offsets of days."""

_TWO = "[0-9][0-9]"
_RFC3339 = (
    rf"{_TWO}{_TWO}-{_TWO}-{_TWO}T{_TWO}:{_TWO}:{_TWO}(?:\.[0-9][0-9]?[0-9]?[0-9]?[0-9]?[0-9]?0*)?"
    r"(?:Z|[+-](?:0[0-9]|1[0-5]):[0-5][0-9])"
)
_DASH = "nullif({}, '-')"


@dataclass(frozen=True, slots=True)
class LogFormat:
    """One format.

    Attributes:
        pattern: RE2, one group per entry of `groups`; a line that it does not match is a reject.
        groups: Names of the groups.
        columns: What a line becomes.
        never_empty: A group that a match never leaves empty; without one a line is matched twice.
        values: SQL of each column over the groups, which stand as `s."name"`, the file's last change as `$written`.
    """

    pattern: str
    groups: tuple[str, ...]
    columns: tuple[Column, ...]
    values: tuple[str, ...]
    never_empty: str = ""

    @property
    def matched(self) -> str:
        """SQL of the struct of groups of `line`."""
        names = ", ".join(map(quote_text, self.groups))
        return f"regexp_extract(line, {quote_text(self.pattern)}, [{names}])"

    @property
    def test(self) -> str:
        """SQL of whether `line` matches, given its groups `s`."""
        if self.never_empty:
            return f"s.{quote_identifier(self.never_empty)} <> ''"
        return f"regexp_matches(line, {quote_text(self.pattern)})"

    def failed(self, column: Column, value: str) -> str:
        """Return SQL of whether a line gives a column that its `value` could not take; "" when it takes anything."""
        for own, sql in zip(self.columns, self.values, strict=True):
            groups = re.findall(r's\."\w+"', sql)
            if own.name.lower() == column.name.lower() and column.type != "VARCHAR" and groups:
                return f"({value} IS NULL AND {groups[0]} NOT IN ('', '-'))"
        return ""

    def value(self, column: Column, written: str) -> str:
        """Return SQL of a column as it is asked for; NULL when the format has none of that name.

        `written` is SQL of the file's last change.
        """
        for own, sql in zip(self.columns, self.values, strict=True):
            if own.name.lower() == column.name.lower():
                sql = sql.replace("$written", written)
                return sql if own.type == column.type else _exact(f"({sql})", own.type, column.type)
        return f"CAST(NULL AS {column.type})"


def _group(name: str) -> str:
    return f"s.{quote_identifier(name)}"


def _format(pattern: str, *columns: tuple[str, str, str]) -> LogFormat:
    """Make a format whose columns are (name, type, SQL of the group or groups)."""
    groups = tuple(dict.fromkeys(re.findall(r"\{(\w+)\}", " ".join(column[2] for column in columns))))
    values = tuple(sql.format(**{name: _group(name) for name in groups}) for _, _, sql in columns)
    return LogFormat(pattern, groups, tuple(Column(n, type_text) for n, type_text, _ in columns), values, "host")


_REQUEST = r"'^(\S+) (.*?)(?: (HTTP/[0-9.]+))?$'"
_COMMON = (
    ("remote_host", "VARCHAR", "{host}"),
    ("remote_logname", "VARCHAR", _DASH.format("{logname}")),
    ("remote_user", "VARCHAR", _DASH.format("{user}")),
    ("time", _INSTANT, _ACCESS_TIME.format("{time}")),
    ("method", "VARCHAR", f"nullif(regexp_extract({{request}}, {_REQUEST}, 1), '')"),
    (
        "path",
        "VARCHAR",
        f"coalesce(nullif(regexp_extract({{request}}, {_REQUEST}, 2), ''), {_DASH.format('{request}')})",
    ),
    ("protocol", "VARCHAR", f"nullif(regexp_extract({{request}}, {_REQUEST}, 3), '')"),
    ("status", "INTEGER", "TRY_CAST({status} AS INTEGER)"),
    ("bytes", "BIGINT", f"TRY_CAST({_DASH.format('{size}')} AS BIGINT)"),
)
_COMMON_PATTERN = rf"^(\S+) (\S+) (\S+) \[([^\]]+)\] {_QUOTED} (\d{{3}}) (\d+|-)"
_SEVERITY = "list_extract(['emerg','alert','crit','err','warning','notice','info','debug'], ({pri} % 8) + 1)"
_PRI = "TRY_CAST({priority} AS INTEGER)"
_NIL = "nullif({{{}}}, '-')"

_BSD_TIME = "try_strptime(concat(year($written) - {}, ' ', regexp_replace({{stamp}}, ' +', ' ')), '%Y %b %d %H:%M:%S')"
"""RFC 3164 has no year: the newest that is not after the file's last change."""

FORMATS = {
    "common": _format(_COMMON_PATTERN + r"\s*$", *_COMMON),
    "combined": _format(
        rf"{_COMMON_PATTERN} {_QUOTED} {_QUOTED}\s*$",
        *_COMMON,
        ("referer", "VARCHAR", _DASH.format("{referer}")),
        ("user_agent", "VARCHAR", _DASH.format("{agent}")),
    ),
    "rfc3164": _format(
        r"^(?:<(\d{1,3})>)?([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d) (\S+) ([^\s:\[]+)(?:\[([^\]]*)\])?: ?(.*)$",
        ("facility", "INTEGER", f"({_PRI} // 8)"),
        ("severity", "VARCHAR", _SEVERITY.format(pri=_PRI)),
        (
            "time",
            _INSTANT,
            f"CAST(CASE WHEN {_BSD_TIME.format(0)} <= $written + INTERVAL 1 DAY THEN {_BSD_TIME.format(0)} "
            f"ELSE {_BSD_TIME.format(1)} END AS {_INSTANT})",
        ),
        ("host", "VARCHAR", "{host}"),
        ("app", "VARCHAR", "{app}"),
        ("pid", "VARCHAR", "nullif({pid}, '')"),
        ("message", "VARCHAR", "{message}"),
    ),
    "rfc5424": _format(
        r"^<(\d{1,3})>(\d{1,2}) (\S+) (\S+) (\S+) (\S+) (\S+) "
        r'(-|(?:\[(?:[^\]"\\]|"(?:[^"\\]|\\.)*"|\\.)*\])+)(?: (.*))?$',
        ("facility", "INTEGER", f"({_PRI} // 8)"),
        ("severity", "VARCHAR", _SEVERITY.format(pri=_PRI)),
        ("version", "INTEGER", "TRY_CAST({version} AS INTEGER)"),
        (
            "time",
            _INSTANT,
            f"CASE WHEN regexp_full_match({{time}}, '{_RFC3339}') THEN TRY_CAST({{time}} AS {_INSTANT}) END",
        ),
        ("host", "VARCHAR", _NIL.format("host")),
        ("app", "VARCHAR", _NIL.format("app")),
        ("pid", "VARCHAR", _NIL.format("pid")),
        ("message_id", "VARCHAR", _NIL.format("msgid")),
        ("structured_data", "VARCHAR", _NIL.format("data")),
        ("message", "VARCHAR", "ltrim({message}, chr(65279))"),
    ),
}
"""The formats that have a name; `syslog` takes either of the two."""


def own_format(pattern: str, declared: Mapping[str, str], time_format: str) -> LogFormat:
    """Make a format of a user's pattern: each named group is a column, of text where no type is declared.

    Raises:
        ProjectError: The pattern is not valid, or has no named group.
    """
    import duckdb

    names = re.findall(r"\(\?P<(\w+)>", pattern)
    plain = re.sub(r"\(\?P<\w+>", "(", pattern)
    if not names or len(set(names)) < len(names):
        raise ProjectError("the pattern of a log needs named groups, each name once", fix="write (?P<name>…)")
    if unknown := [name for name in declared if name not in names]:
        raise ProjectError(
            f"types of a log: its pattern has no group {unknown[0]!r}", fix=f"groups: {', '.join(names)}"
        )
    try:
        with duckdb.connect() as connection:
            groups = ", ".join(map(quote_text, names))
            connection.execute(f"SELECT regexp_extract('', {quote_text(plain)}, [{groups}])")
    except duckdb.Error as error:
        raise ProjectError(
            f"the pattern of a log is not valid: {str(error).partition(chr(10))[0]}",
            fix="mend it; it is in RE2's language, and only named groups may capture: write (?:…) for others",
        ) from None
    types = {name: declared.get(name, "VARCHAR") for name in names}
    values = [_own_value(name, type_text, time_format) for name, type_text in types.items()]
    return LogFormat(plain, tuple(names), tuple(Column(n, t) for n, t in types.items()), tuple(values))


def _own_value(name: str, type_text: str, time_format: str) -> str:
    value = f"nullif({_group(name)}, '')"
    if time_format and type_text.startswith("TIMESTAMP"):
        return formatted_cast_sql(value, type_text, time_format)
    return _exact(value, "VARCHAR", type_text)


def _exact(value: str, source: str, target: str) -> str:
    """Return SQL of a value as it is yielded: seconds since 1970 are a number."""
    return exact_cast_sql(value, source, EPOCHS[target][0] if target in EPOCHS else target)
