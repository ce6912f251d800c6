"""Ctrl-C: every command ends soon after the first one, and at once after the second.

What a command is doing cannot always be broken off: a library works in C, a thread waits for a server. So a thread
hears of the signal, and when the command has not ended by itself it ends the process. That is no more than a kill,
which loses nothing: what is committed stays, what is staged is taken up by the next run.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

GRACE_S = 1.5
"""How long a command may take to end by itself."""


@contextmanager
def watching() -> Iterator[None]:
    """Have the first Ctrl-C (or SIGTERM) end the process within `GRACE_S`, and the second at once."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    threading.Thread(target=_listen, args=(reading,), name="interrupt", daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writing)


def _listen(reading: int) -> None:
    """Count the signals; the one that has begun the end goes on when nobody listens any more."""
    pressed = 0
    while numbers := os.read(reading, 64):
        stops = sum(number in (signal.SIGINT, signal.SIGTERM) for number in numbers)
        if stops and pressed + stops > 1:
            leave()
        if stops:
            ending = threading.Timer(GRACE_S, leave)
            ending.daemon = True
            ending.start()
        pressed += stops
    os.close(reading)


def leave() -> None:
    """End the process now, whatever it is doing."""
    for stream, text in (
        (1, b"\x1b[?25h" if os.isatty(1) else b""),
        (2, b"stopped\n"),
    ):  # a live display hides the cursor
        if text and select.select([], [stream], [], 0)[1]:
            os.write(stream, text)
    os._exit(130)
