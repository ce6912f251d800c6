"""Text cut at its line ends, LF or CRLF and nothing else, whatever its encoding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_SEPARATOR = b"\x01"
"""Splits fields in Arrow's CSV reader, which is here to find lines: text that holds it is cut in Python."""

_MARK = b"\xef\xbb\xbf"
_TWO_BYTES = ("utf-16-le", "utf-16-be")


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines as an Arrow array of strings; those with the numbers in `damaged` (from 0) are not in their encoding."""

    text: Any
    damaged: frozenset[int] = frozenset()


def last_line_end(data: bytes, codec: str) -> int:
    """Return where the last whole line ends, 0 when there is none; the data begins at a whole character."""
    if codec not in _TWO_BYTES:
        return data.rfind(b"\n") + 1
    line_end = "\n".encode(codec)
    at = data.rfind(line_end)
    while at > 0 and at % 2:
        at = data.rfind(line_end, 0, at + 1)
    return at + 2 if at >= 0 and not at % 2 else 0


def split_lines(data: bytes, codec: str, *, first: bool) -> Lines:
    """Cut whole lines apart; at the first of a file, a byte order mark is passed over."""
    import pyarrow as pa

    try:
        text = data if codec == "utf-8" else data.decode(codec).encode()
    except UnicodeDecodeError:
        return _cut_damaged(data, codec, first=first)
    if first:
        text = text.removeprefix(_MARK)
    found = None if _SEPARATOR in text or text.count(b"\r") != text.count(b"\r\n") else _cut_fast(text)
    if found is not None:
        return Lines(found)
    try:
        return Lines(pa.array([line.decode() for line in _cut(text)], pa.string()))
    except UnicodeDecodeError:
        return _cut_damaged(data, codec, first=first)


def _cut_fast(text: bytes) -> Any:
    """Cut text without carriage returns but before line feeds; None where it is not UTF-8, or a line is very long."""
    import pyarrow as pa
    from pyarrow import csv

    if not text.strip(b"\r\n"):
        return None
    reading = csv.ReadOptions(column_names=["line"], block_size=1 << 24)
    parsing = csv.ParseOptions(
        delimiter=_SEPARATOR.decode(), quote_char=False, escape_char=False, ignore_empty_lines=False
    )
    converting = csv.ConvertOptions(column_types={"line": pa.string()}, strings_can_be_null=False, check_utf8=True)
    try:
        return csv.read_csv(pa.py_buffer(text), reading, parsing, converting).column("line")
    except pa.ArrowInvalid:
        return None


def _cut(text: bytes) -> list[bytes]:
    return [line.removesuffix(b"\r") for line in text.removesuffix(b"\n").split(b"\n")]


def _cut_damaged(data: bytes, codec: str, *, first: bool) -> Lines:
    """Cut text of which some is not in its encoding, and tell those lines; what cannot be read of them is U+FFFD."""
    import pyarrow as pa

    lines, damaged = [], set()
    for index, line in enumerate(_cut_wide(data, codec) if codec in _TWO_BYTES else _cut(data)):
        try:
            lines.append(line.decode(codec))
        except UnicodeDecodeError:
            lines.append(line.decode(codec, "replace"))
            damaged.add(index)
    if first:
        lines[0] = lines[0].removeprefix("\ufeff")
    return Lines(pa.array(lines, pa.string()), frozenset(damaged))


def _cut_wide(data: bytes, codec: str) -> list[bytes]:
    """Cut text of two bytes per unit, in which a line feed's bytes may also stand across two of them."""
    text = data[: len(data) // 2 * 2].decode(codec, "surrogatepass").removesuffix("\n")
    lines = [line.removesuffix("\r").encode(codec, "surrogatepass") for line in text.split("\n")]
    if len(data) % 2:
        lines[-1] += data[-1:]
    return lines
