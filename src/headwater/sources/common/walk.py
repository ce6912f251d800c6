"""Finding the files that a pattern names: what cannot be looked at is an error, never fewer files.

Python's own `glob` passes over folders that it may not read, and follows links in circles.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import re
import stat
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from headwater.sources.common.listing import File, FileFormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

_KINDS = ((stat.S_ISFIFO, "pipe"), (stat.S_ISSOCK, "socket"), (stat.S_ISBLK, "device"), (stat.S_ISCHR, "device"))


def list_files(base: str, pattern: str) -> list[File]:
    """List the regular files that match, in the order of their paths; none at all is not an error.

    `**` matches any depth; hidden files are left out, and so are folders that a wildcard matches. A folder that links
    lead to is read once, by its own path where the pattern has it; and a link in a circle is not followed again.

    Raises:
        FileFormatError: A folder or file cannot be looked at, a link leads nowhere, two links lead to one folder that
            has no path of its own here, a match is a pipe or a device, or a name is not UTF-8.
    """
    found = _Walk(base, PurePosixPath(pattern).parts or (".",)).files()
    for path in found:
        _check_name(path)
    return [
        File(path, status.st_size, status.st_mtime_ns) for path, status in sorted(found.items(), key=lambda one: one[0])
    ]


def list_to_read(base: str, pattern: str) -> list[File]:
    """List files as `list_files` does, for a read: a place that is not there is no list of nothing.

    Raises:
        FileFormatError: The file that a path without wildcards names is not there or a folder, or the folder before
            the first wildcard does not exist.
    """
    files = list_files(base, pattern)
    if not files and (missing_folder(base, pattern) or not glob.has_magic(pattern)):
        raise FileFormatError(missing_files(base, pattern), fix="mend the path, or put what it names there")
    return files


def missing_folder(base: str, pattern: str) -> str:
    """Return the folder before the first wildcard when it does not exist, else ""."""
    fixed = fixed_folder(pattern)
    return "" if os.path.isdir(os.path.join(base, fixed)) else fixed or base


def missing_files(base: str, pattern: str) -> str:
    """Say why no file matches."""
    if folder := missing_folder(base, pattern):
        return f"the folder {folder} does not exist"
    if os.path.isdir(os.path.join(base, pattern)):
        return f"{pattern} is a folder, not a file: write {pattern}/* for what is in it"
    return f"no file matches {pattern}"


def fixed_folder(pattern: str) -> str:
    """Return the folder before the first wildcard, "" when there is none."""
    fixed = []
    for part in Path(pattern).parts[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return os.path.join(*fixed) if fixed else ""


def _check_name(path: str) -> None:
    try:
        path.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode("utf-8", "backslashreplace")
        raise FileFormatError(f"{shown}: the name is not UTF-8, so no row can say that it came from there") from None


@dataclass(slots=True)
class _Walk:
    """One walk; folders that a link leads to wait until all others are read, and none is read twice."""

    base: str
    parts: tuple[str, ...]
    _found: dict[str, os.stat_result] = field(default_factory=dict)
    _entered: dict[tuple[int, int, int], str] = field(default_factory=dict)
    """Folder and part of the pattern: by which link, "" for none."""

    def files(self) -> dict[str, os.stat_result]:
        waiting, linked = deque([("", 0, "")]), deque[tuple[str, int, str]]()
        while waiting or linked:
            path, at, link = waiting.popleft() if waiting else linked.popleft()
            for place, further, by_link in self._enter(path, at, link):
                (linked if by_link else waiting).append((place, further, link or (place if by_link else "")))
        return self._found

    def _enter(self, path: str, at: int, link: str) -> Iterator[tuple[str, int, bool]]:
        """Match one part of the pattern in a folder; yield what to go on with: folder, part, whether by a link."""
        if not self._is_new(path, at, link):
            return
        part, last = self.parts[at], at + 1 == len(self.parts)
        if not glob.has_magic(part):
            if last:
                self._take(os.path.join(path, part))
            else:
                yield os.path.join(path, part), at + 1, False
            return
        deep = part == "**"
        if deep and not last:
            yield path, at + 1, False
        fits = re.compile(fnmatch.translate(part)).match
        for entry in self._list(path):
            if (entry.name.startswith(".") and not part.startswith(".")) or not (deep or fits(entry.name)):
                continue
            place = os.path.join(path, entry.name)
            if self._is_folder(entry, place, wanted=deep or not last):
                if deep or not last:
                    yield place, at if deep else at + 1, entry.is_symlink()
            elif last:
                self._take(place)

    def _is_new(self, path: str, at: int, link: str) -> bool:
        """Whether a folder is there, and was not read yet for this part of the pattern.

        Of two links to a folder elsewhere, either could be its path; were another one taken tomorrow, because it sorts
        before, all of its files would be new.
        """
        with _explained(path or self.base):
            try:
                about = os.stat(os.path.join(self.base, path))
            except (FileNotFoundError, NotADirectoryError):
                return False
        if not stat.S_ISDIR(about.st_mode):
            return False
        mark = (at, about.st_dev, about.st_ino)
        known = self._entered.get(mark)
        if known is None:
            self._entered[mark] = link
        elif known and known != link:
            what = f"{known} and {link} are links to the same files: those of {os.path.join(self.base, path)}"
            raise FileFormatError(what, fix="keep one of the links", path=link)
        return known is None

    def _list(self, path: str) -> list[os.DirEntry[str]]:
        with _explained(path or self.base):
            try:
                with os.scandir(os.path.join(self.base, path)) as entries:
                    return sorted(entries, key=lambda entry: entry.name)  # the system has no order
            except FileNotFoundError:
                return []

    def _is_folder(self, entry: os.DirEntry[str], place: str, *, wanted: bool) -> bool:
        """Whether an entry is a folder; a link that leads nowhere could have been one that is wanted."""
        with _explained(place):
            folder = entry.is_dir()
        if wanted and not folder and entry.is_symlink():
            self._check_link(place)
        return folder

    def _take(self, place: str) -> None:
        """Take what the last part of the pattern matches, when it is a file."""
        with _explained(place):
            try:
                about = os.stat(os.path.join(self.base, place))
            except (FileNotFoundError, NotADirectoryError):
                self._check_link(place)
                return
        kind = next((name for test, name in _KINDS if test(about.st_mode)), "")
        if kind:
            raise FileFormatError(
                f"{place} is a {kind}, not a file", fix="take it out of the folder, or name files only", path=place
            )
        if stat.S_ISREG(about.st_mode):
            self._found[place] = about

    def _check_link(self, place: str) -> None:
        """Refuse a link that leads nowhere: what it stood for would be missing, and nobody told."""
        whole = os.path.join(self.base, place)
        if os.path.islink(whole) and not os.path.exists(whole):
            raise FileFormatError(
                f"{place} is a link to {os.readlink(whole)}, which is not there",
                fix="mend the link, or take it out of the folder",
                path=place,
            )


@contextmanager
def _explained(place: str) -> Iterator[None]:
    """Say of what the system refuses to show that it is not known what is there."""
    try:
        yield
    except OSError as error:
        raise FileFormatError(
            f"{place} cannot be read: {error.strerror}",
            fix="let the user of the run read it, or take it out of the folder",
            path=place,
        ) from None
