"""A real Chromium, driven by playwright: the system's own, never a downloaded one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LABELS = """() => [...document.querySelectorAll('#world g:not([hidden]) text')]
  .filter((text) => text.getClientRects().length)
  .map((text) => [text.textContent, text.getBoundingClientRect()])
  .map(([text, box]) => [text, box.x, box.y, box.width, box.height])"""


def find_chromium() -> str:
    """Path of the browser; without one the test is skipped, or fails when services are required."""
    found = next((path for name in NAMES if (path := shutil.which(name))), "")
    if not found:
        reason = "no Chromium on this machine (apt-get install chromium)"
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A browser for the tests of a module."""
    path = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@dataclass
class Visit:
    """A page that is open, and all that went wrong or was asked for on the way."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


def visit(browser: Browser, file: Path, fragment: str = "", **options: Any) -> Visit:
    """Open a file in a new page."""
    page = browser.new_page(**{"viewport": {"width": 1400, "height": 900}, **options})
    found = Visit(page)
    page.on("console", lambda message: found.complaints.append(message.text))
    page.on("pageerror", lambda error: found.complaints.append(str(error)))
    page.on("request", lambda request: found.requests.append(request.url))
    page.goto(file.as_uri() + fragment)
    return found


def overlapping_labels(page: Page) -> list[tuple[str, str]]:
    """Pairs of labels of the level on show whose boxes share an area in the browser."""
    labels = page.evaluate(LABELS)
    assert len(labels) > 5
    labels.sort(key=lambda label: label[2])
    found = []
    for place, (text, x, y, width, height) in enumerate(labels):
        for other, ox, oy, owidth, oheight in labels[place + 1 :]:
            if oy >= y + height:
                break
            apart = ox >= x + width or x >= ox + owidth or y >= oy + oheight
            # Lines of one box may touch: a line's box is higher than its letters.
            if not apart and oy < y + height * 0.8:
                found.append((text, other))
    return found
