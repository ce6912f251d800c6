"""Charts are drawn in a process of their own: the library holds the interpreter while it draws, and may die or hang."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.core.texts import visible
from headwater.errors import HeadwaterError

if TYPE_CHECKING:
    from collections.abc import Sequence

LIMIT_S = 30.0
"""How long a process may draw before it counts as hung."""

_TOTAL_S = 120.0
_MAX_CHARACTERS = 3_000_000
_SHOWN = 300
_CHILD = Path(__file__).with_name("draw_child.py")
_KEPT = ("LD_LIBRARY_PATH", "SYSTEMROOT")


@dataclass(frozen=True, slots=True)
class Drawn:
    """A chart as SVG, or why there is none."""

    svg: str = field(default="", repr=False)
    problem: str = ""


def draw_charts(
    specs: Sequence[dict[str, Any]], config: dict[str, Any], *, limit_s: float = LIMIT_S, child: Path = _CHILD
) -> list[Drawn]:
    """Draw Vega-Lite specs, in order, in one process; when it dies or hangs, another draws what is left.

    Args:
        specs: The charts, with their data.
        config: The look of all of them.
        limit_s: Seconds that a process has.
        child: The program that draws.

    Raises:
        HeadwaterError: The extra `charts` is not installed.
    """
    library = _find_library()
    done: list[Drawn] = []
    end = time.monotonic() + _TOTAL_S
    while len(done) < len(specs):
        left = specs[len(done) :]
        if time.monotonic() > end:
            return [*done, *(Drawn(problem=f"not drawn: others have taken {_TOTAL_S:g} s") for _ in left)]
        request = {"library": library, "config": config, "limit": _MAX_CHARACTERS, "specs": left}
        drawn, problem = _run(child, json.dumps(request, allow_nan=False).encode(), limit_s)
        done += drawn[: len(left)]
        if len(drawn) < len(left):
            done.append(Drawn(problem=problem))
    return done


def _find_library() -> str:
    from importlib.util import find_spec

    found = find_spec("vl_convert")
    if found is None or not found.origin:
        raise HeadwaterError("a chart needs the package vl-convert-python", fix="pip install 'headwater[charts]'")
    return str(Path(found.origin).parent.parent)


def _run(child: Path, request: bytes, limit_s: float) -> tuple[list[Drawn], str]:
    """Run a process; return what it has drawn, and why it has drawn no more."""
    command = [sys.executable, "-I", "-S", str(child)]
    environment = {"TZ": "UTC", "LANG": "C.UTF-8", "PATH": os.defpath}
    environment |= {name: os.environ[name] for name in _KEPT if name in os.environ}
    try:
        ended = subprocess.run(
            command, input=request, capture_output=True, timeout=limit_s, check=False, env=environment
        )
    except subprocess.TimeoutExpired as expired:
        return _read(expired.stdout or b"")[0], f"it was not drawn within {limit_s:g} s"
    drawn, problem = _read(ended.stdout)
    return drawn, problem or _why(ended.returncode, ended.stderr)


def _read(output: bytes) -> tuple[list[Drawn], str]:
    """Return the answers of whole lines up to the first that is none, and what is wrong with that."""
    drawn: list[Drawn] = []
    for line in output.split(b"\n")[:-1]:
        try:
            answer = json.loads(line)
            svg, problem = str(answer.get("svg", "")), str(answer.get("problem", ""))
        except (ValueError, AttributeError):
            return drawn, "the process that draws gave no answer that can be read"
        drawn.append(Drawn(svg, _short(problem) if problem or svg else "the drawing is empty"))
    return drawn, ""


def _why(code: int, complaints: bytes) -> str:
    if code < 0:
        return f"the process that draws was ended by signal {-code}"
    lines = complaints.decode(errors="replace").strip().splitlines()
    return f"the process that draws ended: {_short(lines[-1]) if lines else f'exit code {code}'}"


def _short(text: str) -> str:
    line = visible(" ".join(text.split()), one_line=True)
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}…"
