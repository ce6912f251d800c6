"""Zip archives: their members, unpacked aside for as long as a read lasts."""

from __future__ import annotations

import lzma
import os
import struct
import zipfile
import zlib
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from headwater.errors import ProjectError
from headwater.sources.common.listing import File, FileFormatError, check_unchanged
from headwater.sources.common.packed import allowed_bytes, too_large
from headwater.temporary import temporary_folder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self


_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(RuntimeError, OSError, EOFError, ValueError, IndexError),
)
"""What zipfile raises of a damaged archive; what it cannot unpack at all is a RuntimeError as well, and a member
without a name an IndexError."""


@dataclass(slots=True)
class Unpacked:
    """The files of a read, with the members of archives in place of the archives.

    A member of `in/a.zip` is the file `in/a.zip/<member>`. Without an archive, nothing is copied.

    Attributes:
        base: The folder that the paths of `members` are relative to.
    """

    base: str
    _members: dict[str, list[File]] = field(default_factory=dict)
    _folder: str = ""
    _max_unpacked: int | None = None
    _opened: ExitStack = field(default_factory=ExitStack)

    @classmethod
    def of(cls, root: str, base: str, files: Sequence[File], max_unpacked: int | None = None) -> Self:
        """Unpack the archives among some files; `max_unpacked`: see `packed`.

        Raises:
            FileFormatError: An archive is damaged or encrypted, holds no file, or more than it may.
            ProjectError: An archive was listed by an absolute path.
        """
        archives = [file for file in files if is_archive(file.path)]
        if not archives:
            return cls(base)
        if any(os.path.isabs(file.path) for file in archives):
            raise ProjectError(
                f"{archives[0].path} is an archive in a table with an absolute path",
                fix="make the folder the source's path, and the table's path relative to it",
            )
        unpacked = cls(base, _max_unpacked=max_unpacked)
        with ExitStack() as opened:
            unpacked._folder = str(opened.enter_context(temporary_folder(root)))
            for file in files:
                unpacked._members[file.path] = unpacked._take(file)
            unpacked._opened = opened.pop_all()
        unpacked.base = unpacked._folder
        return unpacked

    def members(self, files: Sequence[File]) -> list[File]:
        """Return files with the members of archives in place of the archives."""
        return [member for file in files for member in self._members.get(file.path, [file])]

    def close(self) -> None:
        """Remove what was unpacked."""
        self._opened.close()

    def _take(self, file: File) -> list[File]:
        target = Path(self._folder, file.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not is_archive(file.path):
            target.symlink_to(os.path.join(self.base, file.path))
            return [file]
        try:
            with zipfile.ZipFile(os.path.join(self.base, file.path)) as archive:
                wanted = [member for member in archive.infolist() if _counts(member)]
                if sum(member.file_size for member in wanted) > allowed_bytes(file.size_bytes, self._max_unpacked):
                    raise too_large(file.path, self._max_unpacked)
                members = [self._extract(archive, member, file) for member in wanted]
        except _DAMAGE as error:
            check_unchanged(self.base, [file])
            raise FileFormatError(
                f"{file.path} cannot be unpacked: {error}", fix="pack it anew, without a password", path=file.path
            ) from error
        if not members:
            raise FileFormatError(f"{file.path} holds no file", fix="take it out of the folder", path=file.path)
        _refuse_twins(file, members)
        return sorted(members, key=lambda member: member.path)

    def _extract(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo, file: File) -> File:
        """Unpack a member under its own name; of a name that leads out of the archive, what does not."""
        place = archive.extract(member, os.path.join(self._folder, file.path))
        status = os.stat(place)
        name = PurePosixPath(Path(place).relative_to(self._folder).as_posix())
        return File(str(name), status.st_size, status.st_mtime_ns)


def is_archive(path: str) -> bool:
    """Whether a file holds other files."""
    return path.lower().endswith(".zip")


def _refuse_twins(file: File, members: Sequence[File]) -> None:
    """Refuse members of one name: the later one would stand in the place of the other.

    Raises:
        FileFormatError: Two members have one name, or one is left of theirs without what leads out of the archive.
    """
    seen: set[str] = set()
    for member in members:
        if member.path in seen:
            raise FileFormatError(
                f"{file.path} holds two files named {member.path.removeprefix(file.path + '/')}",
                fix="pack it anew, each file under a name of its own, without / or .. at its beginning",
                path=file.path,
            )
        seen.add(member.path)


def _counts(member: zipfile.ZipInfo) -> bool:
    """Leave out folders, hidden files and what macOS adds."""
    parts = [part for part in PurePosixPath(member.filename).parts if part != ".."]
    return not member.is_dir() and not any(part.startswith(".") or part == "__MACOSX" for part in parts)
