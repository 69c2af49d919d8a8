"""The page on a real server with real photos; its pictures in docs with `pytest --screenshots`."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.chromium import chromium, collect_complaints
from tests.e2e.conftest import Server

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# They come with the code.
PHOTOS = ROOT / "model_builder" / "build" / "calibration_photos"
NAMES = ("coffee", "cat", "alps", "lily", "airplane", "rocket", "officer", "astronaut")
OTHER_CAT = ROOT / "tests" / "photos" / "chelsea_cat.jpg"
WAIT_SECONDS = 60.0
PHONE = {"viewport": {"width": 390, "height": 780}, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium(WAIT_SECONDS) as started:
        yield started


def opened(browser: Browser, server: Server, *photos: Path, **options: Any) -> Page:
    """The page with the photos classified; closes the one before."""
    for context in browser.contexts:
        context.close()
    page = browser.new_context(**{"viewport": {"width": 1120, "height": 945}, **options}).new_page()
    page.goto(server.url)
    page.set_input_files("#files", [str(photo) for photo in photos])
    expect(page.locator("#overall-words")).to_have_text(f"{len(photos)} images classified")
    return page


def with_heat_maps(page: Page) -> Page:
    page.get_by_role("button", name="Heat maps").click()
    for overlay in page.locator(".overlay").all():
        expect(overlay).to_be_visible()
    # Without a ring around the button that was clicked.
    page.mouse.move(0, 0)
    return page


def test_photos(browser: Browser, float32_server: Server) -> None:
    photos = [*(PHOTOS / f"{name}.jpg" for name in NAMES), OTHER_CAT]
    complaints: list[str] = []
    page = opened(browser, float32_server, *photos)
    collect_complaints(page, complaints)

    def card(name: str) -> Any:
        return page.get_by_role("article", name=name, exact=True)

    assert page.locator("#cards h2").all_text_contents() == [photo.name for photo in photos]
    expect(card("coffee.jpg").locator(".winner .label")).to_have_text("espresso")
    # Of nine images the other cat is the most alike.
    expect(card("cat.jpg").locator(".alike .name").first).to_have_text("chelsea_cat.jpg")
    with_heat_maps(page)
    # The overlay fits the image as the browser shows it.
    shapes = page.evaluate(
        """[...document.querySelectorAll('.picture')].map((one) => [...one.children].map(
          ({naturalWidth, naturalHeight}) => naturalWidth / naturalHeight))"""
    )
    assert len(shapes) == len(photos)
    for image, overlay in shapes:
        assert overlay == pytest.approx(image, rel=0.02)
    assert not complaints


def save(shot: bytes, name: str) -> None:
    """As a JPEG, since most of it are photos."""
    image = Image.open(io.BytesIO(shot)).convert("RGB")
    image.save(DOCS / name, quality=88, subsampling=0, optimize=True)


def test_pictures_of_the_documentation(
    browser: Browser, float32_server: Server, request: pytest.FixtureRequest
) -> None:
    if not request.config.getoption("--screenshots"):
        pytest.skip("they are made with pytest --screenshots")
    four = [PHOTOS / f"{name}.jpg" for name in NAMES[:3]]
    light = opened(browser, float32_server, *four, color_scheme="light")
    save(light.screenshot(), "page.jpg")
    save(with_heat_maps(light).screenshot(), "page-heat-map.jpg")
    eight = [PHOTOS / f"{name}.jpg" for name in NAMES]
    dark = opened(browser, float32_server, *eight, color_scheme="dark")
    save(dark.screenshot(), "page-dark.jpg")
    phone = opened(browser, float32_server, *four, device_scale_factor=2, **PHONE)
    save(phone.screenshot(), "page-phone.jpg")
