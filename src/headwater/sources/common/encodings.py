"""Encodings of text that a declaration may name."""

from __future__ import annotations

import codecs
from typing import Literal

Encoding = Literal["utf-8", "latin-1", "windows-1252", "utf-16"]
"""What `encoding` may say."""


def codec_of(encoding: str, beginning: bytes) -> str:
    """Return Python's codec for text whose mark, if any, is in the bytes it begins with."""
    if encoding == "utf-16":
        return "utf-16-be" if beginning.startswith(codecs.BOM_UTF16_BE) else "utf-16-le"
    return encoding
