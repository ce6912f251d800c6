"""How text files are written: dialect, header, and opening them whatever their packing and encoding."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import os
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from headwater.core.fragments import quote_text
from headwater.sources.common.encodings import codec_of
from headwater.sources.common.listing import FileFormatError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headwater.sources.common.listing import File


RAW_CHARACTERS = 100_000
"""How much of a rejected row is kept."""


PACKED = (".gz", ".zst")
"""What the name of a packed file ends with; what is before tells its format."""


_WINDOWS = bytes(range(0x80, 0xA0)).decode("cp1252", "replace")
_FROM_LATIN = "".join(map(chr, range(0x80, 0xA0)))
_UNDEFINED = "".join(latin for latin, windows in zip(_FROM_LATIN, _WINDOWS, strict=True) if windows == "\ufffd")

_LONE = "headwater.lone"
codecs.register_error(_LONE, lambda error: ("\udc80", cast("UnicodeDecodeError", error).end))
"""What `surrogateescape` is for UTF-16, where Python has none: half a character becomes one that no text has."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the files of a table are written.

    DuckDB does not know `windows-1252` by itself: it reads such a file as Latin-1, which differs in 32 characters.
    """

    delimiter: str = ","
    quote: str = '"'
    header: bool = True
    encoding: str = "utf-8"
    null_values: tuple[str, ...] = ("",)
    timestamp_format: str = ""
    date_format: str = ""

    @property
    def read_encoding(self) -> str:
        """The encoding that DuckDB reads the files in."""
        return "latin-1" if self.encoding == "windows-1252" else self.encoding

    def decoded(self, text: str) -> str:
        """Return SQL of a text that DuckDB read, in the declared encoding."""
        if self.encoding != "windows-1252":
            return text
        foreign = f"regexp_matches({text}, '[\\x{{80}}-\\x{{9f}}]')"
        windows = f"translate({text}, {quote_text(_FROM_LATIN)}, {quote_text(_WINDOWS)})"
        return f"CASE WHEN {foreign} THEN {windows} ELSE {text} END"

    def undecodable(self, text: str) -> str:
        """Return a predicate of a text that DuckDB took and that the declared encoding does not have, "" for none."""
        if self.encoding != "windows-1252":
            return ""
        undefined = "".join(rf"\x{{{ord(character):x}}}" for character in _UNDEFINED)
        return f"regexp_matches({text}, '[{undefined}]')"


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a file in its own order, the blank lines before its header, and the lines up to its end."""

    names: tuple[str, ...]
    skip: int = 0
    lines: int = 0


def read_layout(base: str, path: str, dialect: Dialect, declared: Sequence[str]) -> Layout | None:
    """Read the header of a file; None when the file holds no row at all.

    Raises:
        FileFormatError: The header names a column twice, none of the declared columns, or is not in the encoding.
        OSError: The file cannot be opened.
    """
    if not dialect.header:
        return Layout(tuple(declared))
    with open_text(base, path, dialect.encoding, errors="surrogateescape") as text:
        reader = csv.reader(text, **csv_options(dialect))
        skip = 0
        for record in reader:
            if record:
                break
            skip = reader.line_num
        else:
            return None
    names = [name.strip() if name.strip() else f"column{index}" for index, name in enumerate(record)]
    known = {name.lower() for name in declared}
    seen: set[str] = set()
    for name in names:
        if not is_text(name):
            raise FileFormatError(
                f"{path}: its header is not {dialect.encoding}: {name.encode('utf-8', 'replace').decode()!r}",
                fix="set encoding (latin-1, windows-1252, utf-16), or mend the header",
                path=path,
            )
        if name.lower() in seen:
            raise FileFormatError(
                f"{path}: its header has column {name!r} twice", fix="rename one of them in the file", path=path
            )
        seen.add(name.lower())
    if known and not known & seen:
        raise FileFormatError(
            f"{path}: its header ({', '.join(names)[:200]}) has none of the declared columns ({', '.join(declared)})",
            fix="set delimiter or encoding, or header: false for files without one",
            path=path,
        )
    return Layout(tuple(names), skip, reader.line_num)


def is_text(read: str) -> bool:
    """Whether a text that was read with `surrogateescape` is all of its encoding."""
    return not any("\ud800" <= character <= "\udfff" for character in read)


def open_text(base: str, path: str, encoding: str, errors: str) -> io.TextIOWrapper:
    """Open a file as text, line ends as they are; it is unpacked and a byte order mark is passed over."""
    codec, data = "utf-8-sig" if encoding == "utf-8" else encoding, open_bytes(base, path)
    if encoding == "utf-16":
        beginning = data.read(2)
        codec, errors = codec_of(encoding, beginning), _LONE if errors == "surrogateescape" else errors
        if beginning not in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            data.close()
            data = open_bytes(base, path)
    return io.TextIOWrapper(data, encoding=codec, errors=errors, newline="")


def is_exact_in_duckdb(base: str, path: str, encoding: str) -> bool:
    """Whether DuckDB reads the text as it is: UTF-16 only of little-endian order and without half a character."""
    if encoding != "utf-16":
        return True
    with open_text(base, path, encoding, "strict") as text:
        try:
            while text.read(1 << 22):
                pass
        except UnicodeDecodeError:
            return False
        return text.encoding == "utf-16-le"


def open_bytes(base: str, path: str) -> BinaryIO:
    """Open a file as bytes; `.gz` and `.zst` are unpacked."""
    whole = os.path.join(base, path)
    if path.endswith(".zst"):
        import pyarrow as pa

        return io.BufferedReader(cast("io.RawIOBase", pa.input_stream(whole, compression="zstd")))
    return cast("BinaryIO", gzip.open(whole, "rb") if path.endswith(".gz") else open(whole, "rb"))


def find_damaged_packed(base: str, files: Sequence[File]) -> Iterator[File]:
    """Yield the packed files that cannot be unpacked to their end."""
    for file in files:
        try:
            with open_bytes(base, file.path) as data:
                while file.path.endswith(PACKED) and data.read(1 << 20):
                    pass
        except (OSError, EOFError, zlib.error):
            yield file


def unpacking(packed: BinaryIO, path: str) -> BinaryIO:
    """Return what an open packed file holds; its own place tells how much of it was read."""
    if path.endswith(".zst"):
        import pyarrow as pa

        return cast("BinaryIO", pa.CompressedInputStream(pa.PythonFile(packed, mode="r"), "zstd"))
    return cast("BinaryIO", gzip.GzipFile(fileobj=packed, mode="rb"))


def csv_options(dialect: Dialect) -> dict[str, Any]:
    """Return the dialect as Python's csv module takes it."""
    if dialect.quote:
        return {"delimiter": dialect.delimiter, "quotechar": dialect.quote}
    return {"delimiter": dialect.delimiter, "quoting": csv.QUOTE_NONE}
