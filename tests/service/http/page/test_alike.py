"""Which images on the page are alike."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.service.conftest import Service
from tests.service.http.page.conftest import Open
from tests.service.http.page.visit import file, picture
from tests.service.images import encoded, noise, plain


def test_the_nearest_are_named_the_most_alike_first(service: Service, open_page: Open) -> None:
    visit = open_page(service.app).open()
    visit.choose(
        picture("red", "one.png"),
        picture("blue", "two.png"),
        picture("red", "three.png", size=(60, 60)),
    )
    expect(visit.overall).to_have_text("3 images classified")
    row = visit.card("one.png").locator(".alike")
    expect(row.locator(".name")).to_have_text(["three.png", "two.png"])
    expect(row.get_by_role("button").first).to_contain_text("1.00")
    cosine = re.search(r"-?\d\.\d\d$", row.get_by_role("button").last.text_content() or "")
    assert cosine
    assert float(cosine[0]) < 0.5


def test_they_lead_there(service: Service, open_page: Open) -> None:
    visit = open_page(service.app).open()
    visit.choose(picture("red", "one.png"), picture("red", "two.png"))
    visit.card("one.png").locator(".alike button").click()
    expect(visit.card("two.png")).to_be_focused()


def test_one_image_is_like_no_other(service: Service, open_page: Open) -> None:
    visit = open_page(service.app).open()
    visit.choose(picture("red"), picture("blue"))
    expect(visit.card("red.png").locator(".alike")).to_be_visible()
    visit.button("Remove blue.png").click()
    expect(visit.card("red.png").locator(".alike")).to_have_count(0)


def test_an_image_that_the_browser_cannot_show_has_an_icon(
    service: Service, open_page: Open
) -> None:
    visit = open_page(service.app).open()
    visit.choose(picture("red"), file("scan.tif", plain("blue", format="TIFF"), "image/tiff"))
    expect(visit.card("scan.tif").locator(".winner .label")).to_have_text("blue")
    expect(visit.card("scan.tif").locator(".picture .words")).to_be_visible()
    expect(visit.card("scan.tif").locator(".alike img")).to_be_visible()
    expect(visit.card("red.png").locator(".alike .no-picture")).to_be_visible()


def test_three_are_shown_at_most_and_no_failed_one(service: Service, open_page: Open) -> None:
    visit = open_page(service.app).open()
    names = [f"{number}.png" for number in range(6)]
    visit.choose(
        *(file(name, encoded(noise(40, 40, seed))) for seed, name in enumerate(names)),
        file("bad.png", b"nothing"),
    )
    expect(visit.overall).to_have_text("6 images classified, 1 could not be classified")
    for name in names:
        expect(visit.card(name).locator(".alike li")).to_have_count(3)
    expect(visit.page.locator(".alike", has_text="bad.png")).to_have_count(0)
