"""The system's Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# Containers give a browser neither a sandbox nor much of /dev/shm.
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
# Chromium's own lines about answers that are not 200; the page has words of its own for those.
STATUS_LINE = "Failed to load resource"


@contextmanager
def chromium(timeout_seconds: float) -> Iterator[Browser]:
    """A headless browser; skips the test where there is none.

    While it lives, its event loop keeps `asyncio.run` from working in this thread.
    timeout_seconds: of every expectation.
    """
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    expect.set_options(timeout=1000 * timeout_seconds)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


def collect_complaints(page: Page, complaints: list[str]) -> None:
    """Collects exceptions in the page, and what its content security policy refuses."""
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda line: (
            complaints.append(line.text)
            if line.type in ("error", "warning") and STATUS_LINE not in line.text
            else None
        ),
    )
