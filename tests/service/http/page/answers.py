"""The server's answers replaced on their way by what a test can't make a real server say."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page, Route

PREDICTIONS = "**/predict*"


def refused(page: Page, status: int, body: str | dict[str, Any], **headers: str) -> list[str]:
    """Answers every request for a prediction with this; their URLs, as they come."""
    urls: list[str] = []
    given = {name.replace("_", "-"): value for name, value in headers.items()}

    def answer(route: Route) -> None:
        urls.append(route.request.url)
        if isinstance(body, str):
            html = {"Content-Type": "text/html", **given}
            route.fulfill(status=status, body=body, headers=html)
        else:
            route.fulfill(status=status, json=body, headers=given)

    page.route(PREDICTIONS, answer)
    return urls
