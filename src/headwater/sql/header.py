"""The leading comment of a SQL model: `/* headwater … */` holds YAML and is cut off before any parser sees it."""

from __future__ import annotations

import re

_OPENING = re.compile(r"\A[ \t\r\n\ufeff]*/\*[ \t]*headwater\b(?P<rest>[^\r\n]*)(?:\r?\n|\Z)")
_ENDING = re.compile(r"^[ \t]*\*/[ \t]*\r?$", re.MULTILINE)


def split_header(text: str) -> tuple[str, int, str]:
    """Split a model's file into its header and its query.

    The header ends at the first line that is only `*/`; one that begins and ends in its first line is read as well.

    Returns:
        The YAML between the comment's lines, the line (from 1) its first line stands on, and the text with the header
        blanked, so that line numbers stay. Without a header: "", 0 and the text.

    Raises:
        ValueError: No line ends the comment, or YAML stands beside its opening.
    """
    match = _OPENING.match(text)
    if not match:
        return "", 0, text.removeprefix("\ufeff")
    opening_line = text[: match.start("rest")].count("\n") + 1
    rest = match["rest"].strip()
    if rest.endswith("*/"):
        return rest.removesuffix("*/").strip(), opening_line, _blank(text, match.end("rest"))
    if rest:
        raise ValueError("YAML beside /* headwater; begin it on the next line")
    end = _ENDING.search(text, match.end())
    if end is None:
        raise ValueError("the comment /* headwater is not ended; end it with a line that is only */")
    return text[match.end() : end.start()], opening_line + 1, _blank(text, end.end())


def _blank(text: str, end: int) -> str:
    return "\n" * text[:end].count("\n") + text[end:]
