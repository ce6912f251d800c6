"""Following logs through rotation: a log is known by what was read of it, not by its name.

A position holds, for each log, the file it was read from and a digest of what was read. The file that begins with just
that is the log, whatever it is called now and however it is packed: first of all the one it was read from, then one of
the same name, then one whose name is the log's with what rotation adds. Two files are two logs, even when they hold the
same, but for a packed file beside the one it was made from, and a copy whose original rotation is about to empty.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from headwater.errors import ConnectorError, Terminal
from headwater.sources.common.listing import FileFormatError
from headwater.sources.logs.digest import digest_of
from headwater.sources.logs.look import HEAD_BYTES, Log, Looked, is_packed, look, stem, unpacked_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from headwater.sources.common.listing import File

KEPT_LOGS = 1_000
"""Logs that are no longer there are forgotten when there are more of them: the oldest first."""


class UnknownLogError(ConnectorError, Terminal):
    """What was read of a log cannot be told from what an earlier version kept of it."""


@dataclass(frozen=True, slots=True)
class Part:
    """What is to be read of a file: from `log.offset` to `end` (None: to its end, for a packed file).

    `before` is the log as it was known, or None.
    """

    file: File
    log: Log
    end: int | None
    before: Log | None = None

    @property
    def is_silent(self) -> bool:
        """Whether there is nothing to read: only where the log is has changed."""
        return self.end is not None and self.end <= self.log.offset


@dataclass(frozen=True, slots=True)
class Following:
    """What is to be read, oldest file first, and the known logs that no file holds any more.

    Of the `gone` ones, those are `lost` whose path now holds another log, and of which that was not said yet. What was
    written to them after they were last read is not known: they were truncated, or their file was moved to where the
    table does not look.
    """

    parts: tuple[Part, ...]
    gone: tuple[Log, ...]
    lost: tuple[Log, ...]


def follow(base: str, files: Sequence[File], known: Sequence[Log]) -> Following:
    """Decide what is to be read. A file without a whole line is not looked at yet.

    Raises:
        ChangedFileError: A file vanished meanwhile.
        FileFormatError: A file cannot be unpacked.
        UnknownLogError: An earlier version's position does not tell which file it is of.
    """
    there = [one for one in _look_at(base, files, known) if one.has_a_line]
    match = _Matching(there)
    match.unchanged(known)
    for log in known:
        if log.is_told_by_head:
            match.by_head(log)
    match.by_content(known)
    match.leave_copies()
    parts = [_part(one, match.found.get(index)) for index, one in enumerate(there) if index not in match.copies]
    gone = tuple(log for log in known if log not in match.matched)
    paths = {file.path for file in files}
    lost = tuple(log for log in gone if log.path in paths and not log.told)
    parts.sort(key=lambda part: (not part.is_silent, is_packed(part.file.path), part.file.mtime_ns, part.file.path))
    return Following(tuple(part for part in parts if _has_news(part)), gone, lost)


def _look_at(base: str, files: Sequence[File], known: Sequence[Log]) -> list[Looked]:
    """Look at files, each once whatever links to it, by the path it was last read at where there are several.

    A packed file that ends too early is being written while the file it is made from is still there.
    """
    paths, read_at = {file.path for file in files}, {log.path for log in known}
    found: dict[tuple[int, int], Looked] = {}
    for file in sorted(files, key=lambda f: (f.path not in read_at, f.path)):
        try:
            one = look(base, file)
        except FileFormatError:
            if _is_being_packed(file, paths):
                continue
            raise
        found.setdefault((one.device, one.inode), one)
    return list(found.values())


def _is_being_packed(file: File, paths: Iterable[str]) -> bool:
    return is_packed(file.path) and unpacked_path(file.path) in paths


class _Matching:
    """Which file is which log: `found` has the log of a file's number, `copies` the files that another one stands for.

    What was read of a longer log may begin with what was read of a shorter one, so the longest are looked for first:
    that way as many logs as possible find a file.
    """

    def __init__(self, there: Sequence[Looked]) -> None:
        self._there = there
        self.found: dict[int, Log] = {}
        self.matched: dict[Log, int] = {}
        self.copies: set[int] = set()

    def _free(self) -> list[int]:
        return [i for i in range(len(self._there)) if i not in self.found and i not in self.copies]

    def _match(self, index: int, log: Log) -> None:
        self.found[index] = log
        self.matched[log] = index

    def unchanged(self, known: Sequence[Log]) -> None:
        """Match what was not written to since it was read."""
        by_file: dict[tuple[int, int], list[Log]] = {}
        for log in known:
            by_file.setdefault((log.size_bytes, log.mtime_ns), []).append(log)
        for index, one in enumerate(self._there):
            for log in by_file.get((one.file.size_bytes, one.file.mtime_ns), ()):
                same = one.is_unchanged(log) and (one.packed or log.is_told_by_head or one.ends_as(log))
                if same and one.begins(log) and log not in self.matched:
                    self._match(index, log)
                    break

    def by_content(self, known: Sequence[Log]) -> None:
        """Match what begins with all that was read: files that are kin first."""
        left = [log for log in known if log not in self.matched and not log.is_told_by_head]
        left.sort(key=lambda log: -log.offset)
        places = [log.offset for log in left]
        for kin in (True, False):
            for log in list(left):
                index = self._holder(log, places, kin=kin)
                if index is not None:
                    self._match(index, log)
                    left.remove(log)

    def _holder(self, log: Log, places: Sequence[int], *, kin: bool) -> int | None:
        """Return the file that holds what was read of a log, among those that are kin or not.

        A short beginning says little of a file that is not.
        """
        if not kin and log.offset < HEAD_BYTES:
            return None
        some = [(_kinship(self._there[index], log), index) for index in self._free()]
        wanted = sorted(pair for pair in some if (pair[0] < _STRANGER) == kin)
        return next((index for _, index in wanted if self._holds(index, log, places)), None)

    def _holds(self, index: int, log: Log, places: Sequence[int]) -> bool:
        one = self._there[index]
        try:
            return one.holds(log, places)
        except FileFormatError:
            if not _is_being_packed(one.file, {other.file.path for other in self._there}):
                raise
            self.copies.add(index)
            return False

    def by_head(self, log: Log) -> None:
        """Match a log of an earlier version, which knew it by its first 1,024 bytes: all files alike were one to it.

        Raises:
            UnknownLogError: Files that begin alike hold different things.
        """
        alike = [
            index
            for index, one in enumerate(self._there)
            if one.begins(log) and self.found.get(index, log) == log and index not in self.copies
        ]
        alike.sort(key=lambda index: (index != self.matched.get(log), _kinship(self._there[index], log), index))
        best = next((index for index in alike if self._there[index].could_be(log)), None)
        for index in alike:
            one = self._there[index]
            if index != best and not self._is_known(one, log, None if best is None else self._there[best]):
                raise _unknown(log, [self._there[other].file.path for other in alike])
        if best is not None:
            self._match(best, log)

    @staticmethod
    def _is_known(one: Looked, log: Log, best: Looked | None) -> bool:
        """Whether it is sure that nothing of a file landed, but what also is in the one that is the log."""
        if best is None:
            return one.file.path == log.path  # cut short, and written anew
        return one.is_beginning_of(best) or best.is_beginning_of(one)

    def leave_copies(self) -> None:
        """Find the files whose text another one gives."""
        by_path = {one.file.path: index for index, one in enumerate(self._there)}
        for index in sorted(self._free(), key=lambda index: not self._there[index].packed):
            one = self._there[index]
            for path in _originals(one.file.path):
                other = by_path.get(path)
                if other is not None and other not in self.copies and self._is_copy(one, self._there[other]):
                    self.copies.add(index)

    @staticmethod
    def _is_copy(one: Looked, original: Looked) -> bool:
        if unpacked_path(one.file.path) != unpacked_path(original.file.path) and (
            one.packed or one.file.mtime_ns <= original.file.mtime_ns
        ):
            return False  # a log that was rotated before the other one was begun
        try:
            return one.is_beginning_of(original)
        except FileFormatError:
            if one.packed and not original.packed:
                return True
            raise


_STRANGER = 4


def _kinship(one: Looked, log: Log) -> int:
    """Return how near a file is to the one a log was read from: the nearest first."""
    if one.is_file_of(log):
        return 0 if one.file.path == log.path else 1
    if one.file.path == log.path:
        return 2
    return 3 if stem(one.file.path) == stem(log.path) else _STRANGER


def _unknown(log: Log, paths: Sequence[str]) -> UnknownLogError:
    return UnknownLogError(
        f"{', '.join(paths)} begin with the same {log.head_bytes} bytes, and an earlier version, which knew a log by "
        "those alone, took them for one: which of their lines have landed is not known",
        fix="load the table anew: headwater run --full with its name; lines that are in no file any more have to be "
        "kept elsewhere before",
        path=log.path,
    )


def _originals(path: str) -> list[str]:
    """Return the paths of what a file may be a copy of: its packed or unpacked self, the log it was rotated from."""
    plain = unpacked_path(path)
    packed = [plain] if plain != path else [f"{path}.gz", f"{path}.zst"]
    return [other for other in dict.fromkeys([*packed, stem(path)]) if other != path]


def _part(one: Looked, before: Log | None) -> Part:
    offset, lines = (before.offset, before.lines) if before else (0, 0)
    log = Log(
        len(one.head), digest_of(one.head), offset, lines, one.file.path, one.inode, one.file.size_bytes,
        one.file.mtime_ns, one.device, before.chain if before else "", before.tail if before else "",
    )  # fmt: skip
    return Part(one.file, log, None if one.packed else one.file.size_bytes, before)


def _has_news(part: Part) -> bool:
    """Whether there is something to read, or the log is elsewhere than it was."""
    before, log = part.before, part.log
    if before is None or not before.tail or (part.end is not None and part.end > log.offset):
        return True
    if (log.device, log.inode, log.path) != (before.device, before.inode, before.path):
        return True
    return part.end is None and (log.size_bytes, log.mtime_ns) != (before.size_bytes, before.mtime_ns)


def next_logs(known: Sequence[Log], following: Following, read: Mapping[int, Log]) -> list[Log]:
    """Return what the next position holds: the known logs, each as far as it was read now (by the number of its part).

    Of those that are no longer there the newest are kept: a copy of them may turn up.
    """
    replaced = {part.before for part in following.parts}
    gone = set(following.gone)
    there = [log for log in known if log not in replaced and log not in gone]
    there += [log for log in read.values() if log.offset]
    lost = set(following.lost)
    kept = [replace(log, told=log.told or log in lost) for log in following.gone]
    return [*sorted(kept, key=lambda log: log.mtime_ns)[-KEPT_LOGS:], *there]
