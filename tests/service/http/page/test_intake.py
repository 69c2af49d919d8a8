"""The ways in which images come to the page."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.service.conftest import Service
from tests.service.http.page.conftest import Open
from tests.service.http.page.visit import Visit, file, picture
from tests.service.images import encoded, noise, plain

LINK = "That was a link, not a file. This page fetches nothing from the web"
# A data transfer as a browser makes it, of a file or of texts.
TRANSFER = """({name, content, texts}) => {
  const transfer = new DataTransfer();
  for (const [type, text] of Object.entries(texts ?? {})) transfer.setData(type, text);
  if (name) {
    const octets = Uint8Array.from(atob(content), (one) => one.charCodeAt(0));
    transfer.items.add(new File([octets], name, {type: "image/png"}));
  }
  return transfer;
}"""
PASTE = """transfer => document.body.dispatchEvent(
  new ClipboardEvent("paste", {clipboardData: transfer, bubbles: true}))"""


def transfer(page: Page, name: str = "", color: str = "red", **texts: str) -> Any:
    content = base64.b64encode(plain(color)).decode()
    named = {kind.replace("_", "/").replace("uri/", "uri-"): text for kind, text in texts.items()}
    return page.evaluate_handle(TRANSFER, {"name": name, "content": content, "texts": named})


@pytest.fixture
def visit(service: Service, open_page: Open) -> Visit:
    return open_page(service.app).open()


def test_files_are_dropped_anywhere(visit: Visit) -> None:
    page = visit.page
    page.dispatch_event("footer", "dragover", {"dataTransfer": transfer(page, "a.png")})
    expect(page.locator("body")).to_have_class("over")
    page.dispatch_event("footer", "drop", {"dataTransfer": transfer(page, "a.png", "blue")})
    expect(page.locator("body")).not_to_have_class("over")
    expect(visit.card("a.png").locator(".winner .label")).to_have_text("blue")


@pytest.mark.parametrize(
    "texts",
    [
        {"text_uri_list": "https://example.org/cat.jpg"},
        {"text_plain": "https://example.org/cat.jpg"},
    ],
)
def test_a_dropped_link_is_answered_and_not_fetched(visit: Visit, texts: dict[str, str]) -> None:
    page = visit.page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.dispatch_event("body", "drop", {"dataTransfer": transfer(page, **texts)})
    expect(visit.notice).to_contain_text(LINK)
    expect(page.get_by_role("status").last).to_contain_text("link")
    assert not [url for url in asked if "example.org" in url]
    visit.choose(picture("red"))
    expect(visit.notice).to_be_hidden()


def test_dropped_text_is_answered(visit: Visit) -> None:
    given = transfer(visit.page, text_plain="some words")
    visit.page.dispatch_event("body", "drop", {"dataTransfer": given})
    expect(visit.notice).to_contain_text("There is no image in that, only text.")


def test_images_are_pasted_and_numbered(visit: Visit) -> None:
    for color in ("red", "blue"):
        visit.page.evaluate(PASTE, transfer(visit.page, "image.png", color))
    expect(visit.card("pasted 1.png").locator(".winner .label")).to_have_text("red")
    expect(visit.card("pasted 2.png").locator(".winner .label")).to_have_text("blue")


def test_a_pasted_link_is_answered(visit: Visit) -> None:
    visit.page.evaluate(PASTE, transfer(visit.page, text_plain="https://example.org/cat.jpg"))
    expect(visit.notice).to_contain_text(LINK)


def test_a_phone_has_its_camera(service: Service, open_page: Open) -> None:
    desk = open_page(service.app).open()
    expect(desk.button("Take a photo")).to_be_hidden()
    phone = open_page(
        service.app, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    # The browser hands choosers over from here on: later, the tap might come first.
    phone.page.on("filechooser", lambda _: None)
    phone.open()
    assert phone.page.locator("#camera").get_attribute("capture") == "environment"
    with phone.page.expect_file_chooser() as chooser:
        phone.button("Take a photo").tap()
    chooser.value.set_files(picture("green", "photo.png"))
    expect(phone.card("photo.png").locator(".winner .label")).to_have_text("green")


def test_an_example_is_classified(visit: Visit) -> None:
    examples = visit.page.get_by_role("group", name="No image at hand? Try one of these:")
    expect(examples.get_by_role("button")).to_have_count(3)
    examples.get_by_role("button", name="A cat").click()
    expect(visit.card("cat.jpg").locator(".winner")).to_be_visible()
    expect(examples).to_be_hidden()
    visit.button("Clear").click()
    expect(examples).to_be_visible()


def test_an_example_that_does_not_come_is_answered(visit: Visit) -> None:
    expect(visit.button("Choose images")).to_be_visible()
    visit.page.route("**/page/coffee.jpg", lambda route: route.fulfill(status=500))
    visit.button("A cup of coffee").click()
    expect(visit.notice).to_contain_text("The server did not send that example.")
    expect(visit.cards).to_have_count(0)


def huge(folder: Path, name: str) -> Path:
    path = folder / name
    noise(2100, 1700).save(path)
    return path


OFFER = "huge.bmp has 10.7 MB and 2100 × 1700 pixels. The model looks at 32 × 32 pixels. "


@pytest.fixture
def asked(service: Service, open_page: Open, tmp_path: Path) -> Visit:
    """A page that asks what to do with a huge image and has sent the other."""
    visit = open_page(service.app).open()
    red = tmp_path / "red.png"
    red.write_bytes(plain("red"))
    visit.choose_paths(huge(tmp_path, "huge.bmp"), red)
    expect(visit.offer).to_contain_text(
        OFFER + "A copy of 2048 × 1658 pixels is much smaller to send."
    )
    expect(visit.card("red.png").locator(".winner")).to_be_visible()
    expect(visit.card("huge.bmp").locator(".step")).to_have_text("Waiting for your choice")
    assert len(visit.sent) == 1
    return visit


def test_a_huge_image_is_made_smaller_where_the_user_says_so(asked: Visit) -> None:
    asked.offer.get_by_role("button", name="Send a smaller copy").click()
    expect(asked.overall).to_have_text("2 images classified")
    expect(asked.offer).to_be_hidden()
    about = asked.card("huge.bmp").locator(".about")
    expect(about).to_contain_text("10.7 MB · 2100 × 1700")
    expect(about).to_have_text(re.compile(r"Sent as a copy: [\d.]+ MB · 2048 × 1658"))


def test_a_huge_image_is_sent_as_it_is_where_the_user_says_so(asked: Visit) -> None:
    asked.offer.get_by_role("button", name="Send it as it is").click()
    expect(asked.overall).to_have_text("2 images classified")
    expect(asked.card("huge.bmp").locator(".about")).not_to_contain_text("copy")


def test_several_huge_images_are_one_question(
    service: Service, open_page: Open, tmp_path: Path
) -> None:
    visit = open_page(service.app).open()
    visit.choose_paths(huge(tmp_path, "huge.bmp"), huge(tmp_path, "second.bmp"))
    expect(visit.offer).to_contain_text("2 images have more than 10.0 MB each, 21.4 MB together.")
    visit.offer.get_by_role("button", name="Send smaller copies").click()
    expect(visit.overall).to_have_text("2 images classified")
    expect(visit.cards.get_by_text("Sent as a copy")).to_have_count(2)


def test_the_progress_of_an_upload_is_shown(service: Service, open_page: Open) -> None:
    visit = open_page(service.app).open()
    visit.page.context.new_cdp_session(visit.page).send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 4e5},
    )
    visit.choose(file("slow.bmp", encoded(noise(1000, 1000), "BMP"), "image/bmp"))
    step = visit.card("slow.bmp").locator(".step")
    expect(step).to_have_text(re.compile(r"Sending, [1-9]\d* %"))
    bar = visit.page.get_by_role("progressbar", name="Sending slow.bmp")
    assert 0 < float(bar.get_attribute("value") or 0) < 1
