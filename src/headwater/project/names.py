"""Names of environments, sources, tables and models: they become names of folders and files, and are never paths."""

from __future__ import annotations

import unicodedata

from headwater.core.texts import is_hidden, visible
from headwater.storage.common.folders import encode_name

MAX_BYTES = 200
"""Longest name, as stores spell it: file systems hold 255 bytes, and what is kept beside a table is named after it."""

_SEPARATORS = {"/": "a slash", "\\": "a backslash"}


def name_problem(name: str) -> str:
    """Return what is wrong with a name that is to be a folder's or a file's, "" for nothing."""
    hidden = next((character for character in name if is_hidden(character)), "")
    if hidden:
        return f"holds {visible(hidden, one_line=True)}, which nobody sees"
    for character, called in _SEPARATORS.items():
        if character in name:
            return f"holds {called}, and is no path"
    if not name or name[0] == "." or name != name.strip() or name[-1] == ".":
        return "is empty, or begins or ends with a dot or a blank"
    if unicodedata.normalize("NFC", name) != name:
        return "has letters that are put together of parts (not Unicode's form NFC)"
    try:
        size_bytes = len(encode_name(name))
    except UnicodeEncodeError:
        return "holds half a character"
    return f"is too long: {size_bytes} bytes on disk, and {MAX_BYTES} fit" if size_bytes > MAX_BYTES else ""


def folded(name: str) -> str:
    """Return what two names have in common that some file system or the engine takes for one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
