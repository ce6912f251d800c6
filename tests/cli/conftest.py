"""The command line as a shell sees it: arguments in; exit code, standard output and standard error out."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from headwater.cli import main


@dataclass(frozen=True)
class Outcome:
    """What a call gave."""

    code: int
    output: bytes
    error: str

    @property
    def text(self) -> str:
        return self.output.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.output)


Call = Callable[..., Outcome]


@pytest.fixture
def call(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    """Calls `headwater` in a folder of its own, as the console script does."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEADWATER_ENV", raising=False)
    before = [(number, signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]

    def run(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["headwater", *arguments])
        with pytest.raises(SystemExit) as left:
            main()
        for number, handler in before:
            signal.signal(number, handler)
        sys.stdout.flush()
        found = capfdbinary.readouterr()
        return Outcome(int(left.value.code or 0), found.out, found.err.decode())

    return run


@pytest.fixture
def project(call: Call) -> Call:
    """A project made by `init`, in the folder."""
    assert call("init").code == 0
    return call


@pytest.fixture
def done(project: Call) -> Call:
    """The same project after a run."""
    assert project("run", "--now", "2026-01-08").code == 0
    return project
