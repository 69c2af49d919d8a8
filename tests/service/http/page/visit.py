"""One visit to the page, in the words of its user."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import FilePayload, Locator, Page, Request

from tests.service.images import plain


@dataclass
class Visit:
    """The page at an address, opened by `open`. sent: the requests for predictions so far."""

    page: Page
    url: str
    sent: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on(
            "request", lambda one: self.sent.append(one) if "/predict" in one.url else None
        )

    def open(self) -> Visit:
        self.page.goto(self.url)
        return self

    def choose(self, *files: FilePayload) -> None:
        self.page.set_input_files("#files", files)

    def choose_paths(self, *paths: Path) -> None:
        """Files too large to go to the browser through Playwright's own connection."""
        self.page.set_input_files("#files", paths)

    @property
    def cards(self) -> Locator:
        return self.page.locator("#cards > li")

    def card(self, name: str) -> Locator:
        return self.page.get_by_role("article", name=name, exact=True)

    @property
    def overall(self) -> Locator:
        return self.page.locator("#overall-words")

    @property
    def notice(self) -> Locator:
        return self.page.get_by_role("region", name="Note")

    @property
    def offer(self) -> Locator:
        return self.page.get_by_role("region", name="Large images")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)


def picture(color: str, name: str = "", size: tuple[int, int] = (40, 40)) -> FilePayload:
    """A file of one color. name: by default the color's."""
    return file(name or f"{color}.png", plain(color, size))


def file(name: str, content: bytes, media_type: str = "image/png") -> FilePayload:
    return {"name": name, "mimeType": media_type, "buffer": content}
