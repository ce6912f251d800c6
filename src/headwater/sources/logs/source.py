"""Logs: lines of a known format, or of a pattern of one's own, followed through rotation."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from headwater.contracts import Chunk, ChunkEnd, Reading, Source, TableDescription
from headwater.core.commit import Column
from headwater.core.fragments import SelectSql, quote_identifier, quote_text
from headwater.core.layers import Family
from headwater.core.specs import Spec
from headwater.errors import ProjectError
from headwater.sources.common.listing import File, listing_version
from headwater.sources.common.packed import check_unpacked
from headwater.sources.common.walk import list_files, list_to_read, missing_files
from headwater.sources.logs.follow import Following, Part, follow, next_logs
from headwater.sources.logs.format import FORMATS, LogFormat, own_format
from headwater.sources.logs.lines import LineReader
from headwater.sources.logs.look import Log, read_logs
from headwater.sources.logs.spec import LogsConnection, LogsTable
from headwater.sources.logs.text import LogText

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from headwater.contracts import ReadRequest
READER = 2
"""Counts up when what a killed read left behind is no longer understood: it then begins anew."""


class Logs(Source):
    """Log files.

    Emits: the format's columns (`describe`), or the pattern's, `_file` and, for JSON, `_raw`. A line that does not fit
    is a reject `unparsed`, one with a value that is not of its column's type a reject `cast`, each with its number; an
    empty line is passed over.
    Units and time zone: times with an offset become instants in UTC; those of RFC 3164, which have neither year nor
    zone, are taken in UTC and in the newest year that is not after the file's last change.
    State: `logs`: per log its file, how far it was read and a digest of that, so that a renamed, restored or packed
    file goes on where it stood, and logs that begin alike stay apart. A full load says `complete`.
    Delivery: every line once. The end of a file without a line end waits until it has one, or for a minute. A log whose
    file was truncated or moved out of sight is a reject `truncated`: what was written last may not have been read.
    Raises: ConnectorError for files that cannot be read, and for a path without wildcards that names no file;
    ChangedFileError (retryable) when a file vanishes or is truncated while it is read.
    Source: the folder below `path` of the connection, or the project's.
    """

    kind: ClassVar[str] = "logs"
    family: ClassVar[Family] = Family.FILES
    connection_spec: ClassVar[type[Spec]] = LogsConnection
    table_spec: ClassVar[type[Spec]] = LogsTable
    lists_keys: ClassVar[bool] = False

    def __init__(self, spec: LogsConnection, root: str) -> None:
        self._base = os.path.abspath(os.path.join(root, spec.path))

    def lineage_name(self, table: str, options: LogsTable) -> tuple[str, str]:
        """Return the path, as for every file."""
        return "file", str(Path(self._base, options.path))

    def describe(self, tables: Mapping[str, LogsTable]) -> dict[str, TableDescription]:
        """Describe tables: the columns of their formats; the version changes when any file does."""
        return {name: self._describe(options) for name, options in tables.items()}

    def _describe(self, options: LogsTable) -> TableDescription:
        files = list_files(self._base, options.path)
        notes = [] if files else [missing_files(self._base, options.path)]
        found = format_of(options)
        version = f"{READER}:{listing_version(files)}"
        return TableDescription(found.columns if found else (), (), None, version, notes=tuple(notes))

    def read(self, table: str, request: ReadRequest) -> Reading:
        """Begin a read: the sizes of the plain files, as they are now, are its bounds."""
        options: LogsTable = request.options
        known = read_logs(request.position.get("logs", [])) if request.incremental else []
        if request.manifest is None:
            following = follow(self._base, list_to_read(self._base, options.path), known)
            manifest = {
                "parts": [_pack(part) for part in following.parts],
                "gone": [log.to_json() for log in following.gone],
                "lost": [log.to_json() for log in following.lost],
            }
        else:
            manifest = dict(request.manifest)
        columns = request.columns or self._describe(options).columns
        if not columns:
            raise ProjectError(f"table {table!r} has no columns", fix="declare columns")
        read = _LogRead(self._base, request, manifest, columns, tuple(known))
        return Reading(manifest, read.chunks(), read.extra, columns=columns)


def format_of(options: LogsTable) -> LogFormat | None:
    """Return the format of a table's lines; None for JSON."""
    if options.pattern:
        return own_format(options.pattern, options.types, options.time_format)
    if options.format == "json":
        return None
    return FORMATS["rfc5424" if options.format == "syslog" else str(options.format)]


def _pack(part: Part) -> list[Any]:
    file = [part.file.path, part.file.size_bytes, part.file.mtime_ns]
    return [file, part.log.to_json(), part.end, part.before.to_json() if part.before else None]


def _unpack(data: list[Any]) -> Part:
    file, log, end, before = data
    return Part(File(*file), Log(*log), end, Log(*before) if before else None)


@dataclass(frozen=True, slots=True)
class _LogRead:
    """One read of one table."""

    base: str
    request: ReadRequest
    manifest: dict[str, Any]
    columns: tuple[Column, ...]
    known: tuple[Log, ...]

    @property
    def extra(self) -> tuple[str, ...]:
        raw = ("_raw",) if self.request.options.format == "json" else ()
        return ("_file", "_line", *raw, "_rule", "_reason")

    def chunks(self) -> Iterator[Chunk]:
        following = Following(
            tuple(map(_unpack, self.manifest["parts"])),
            tuple(read_logs(self.manifest["gone"])),
            tuple(read_logs(self.manifest["lost"])),
        )
        done: dict[int, Log] = {}
        silent = not following.parts
        if following.lost and "lost" not in self.request.finished:
            yield self._lost(following)
        for number, part in enumerate(following.parts):
            last = number + 1 == len(following.parts)
            text = self._text(part, part.log)
            if not part.log.offset:
                check_unpacked(self.base, [part.file], self.request.options.max_unpacked)
            while True:
                name = f"log-{number:05d}-{text.log.offset}"
                if name in self.request.finished:
                    text = self._text(part, Log(*self.request.ends[name]["log"]))
                    continue
                reader = LineReader(
                    self.request.connection, self.request.options, self.columns,
                    self.request.ingest.schema_policy, uuid.uuid4().hex[:12],
                )  # fmt: skip
                query = reader.take(text)
                if query is None:
                    break
                done[number] = text.log
                end = self._end(reader, text.log, self._position(following, done) if last else {})
                yield Chunk(name, query, end, reader.drop)
            text.settle()
            silent = text.log.offset == part.log.offset
            done[number] = text.log
        if silent and "seen" not in self.request.finished and self._has_moved(following, done):
            position = self._position(following, done)
            yield Chunk("seen", self._nothing(), lambda: ChunkEnd(position))

    def _text(self, part: Part, log: Log) -> LogText:
        options = self.request.options
        return LogText(self.base, options.path, options.encoding, part, log)

    def _has_moved(self, following: Following, done: Mapping[int, Log]) -> bool:
        """Whether the position is another one, though the last log gave nothing."""
        moved = (log.offset and log != following.parts[number].before for number, log in done.items())
        return bool(following.lost) or any(moved)

    def _position(self, following: Following, done: Mapping[int, Log]) -> dict[str, Any]:
        """Return the position after the whole read: only its last chunk has one."""
        logs = next_logs(self.known, following, done)
        position: dict[str, Any] = {"logs": [log.to_json() for log in logs]}
        return position if self.request.incremental else {**position, "complete": True}

    def _end(self, reader: LineReader, log: Log, position: dict[str, Any]) -> Any:
        def end() -> ChunkEnd:
            rejects, rejected = reader.rejects()
            return ChunkEnd(position, rejects, rejected, {"log": log.to_json()})

        return end

    def _lost(self, following: Following) -> Chunk:
        """Tell of logs that cannot be followed any more; no rows."""
        reason = "the file was truncated, or moved to where the table does not look, after it was last read"
        told = [
            f"SELECT {quote_text(log.path)} AS _file, {log.lines}::BIGINT AS _line, 'truncated' AS rule, "
            f"{quote_text(reason)} AS reason, {quote_text(f'after byte {log.offset} of log {log.head}')} AS raw"
            for log in following.lost
        ]
        end = ChunkEnd({}, SelectSql(" UNION ALL ".join(told)), len(told))
        return Chunk("lost", self._nothing(), lambda: end)

    def _nothing(self) -> SelectSql:
        nulls = [f"CAST(NULL AS {column.type}) AS {quote_identifier(column.name)}" for column in self.columns]
        nulls += [f"CAST(NULL AS {'BIGINT' if name == '_line' else 'VARCHAR'}) AS {name}" for name in self.extra]
        return SelectSql(f"SELECT {', '.join(nulls)} WHERE FALSE")
