"""The leading comment of a SQL model: `/* headwater … */` holds YAML and is cut off before any parser sees it."""

from __future__ import annotations

import re

_OPENING = re.compile(r"\A(?P<before>[ \t\r\n\ufeff]*)/\*[ \t]*headwater\b[ \t]*(?P<rest>[^\r\n]*)\r?\n?")


def split_header(text: str) -> tuple[str, int, str]:
    """Split a model's file into its header and its query.

    The header ends at the first line that is only `*/`.

    Returns:
        The YAML between the comment's lines, the line (from 1) its first line stands on, and the text with the header
        blanked, so that line numbers stay. Without a header: "", 0 and the text.

    Raises:
        ValueError: The comment is opened and no line ends it.
    """
    match = _OPENING.match(text)
    if not match:
        return "", 0, text.removeprefix("\ufeff")
    start = match.end()
    end = re.compile(r"^[ \t]*\*/[ \t]*\r?$", re.MULTILINE).search(text, start)
    if end is None:
        single = re.match(r"(.*?)\*/[ \t]*$", match["rest"])
        if not single:
            raise ValueError("the comment /* headwater is not ended; end it with a line that is only */")
        line = text[: match.start("rest")].count("\n") + 1
        return single[1], line, "\n" * text[:start].count("\n") + text[start:]
    first_line = text[:start].count("\n") + 1
    return text[start : end.start()], first_line, "\n" * text[: end.end()].count("\n") + text[end.end() :]
