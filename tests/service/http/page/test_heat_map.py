"""Heat maps: where in an image the evidence for a class lies."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Locator, Request, Route, expect

from tests.service.conftest import MODEL_NAME, Service
from tests.service.http.page.answers import PREDICTIONS, refused
from tests.service.http.page.conftest import Open
from tests.service.http.page.visit import Visit, picture

PROBLEM = {"code": "inference_failed", "status": 500, "title": "", "detail": "Inference failed."}


def query(request: Request) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(urlsplit(request.url).query).items()}


@pytest.fixture
def visit(service: Service, open_page: Open) -> Visit:
    visit = open_page(service.app).open()
    visit.choose(picture("red", size=(80, 40)), picture("blue"))
    expect(visit.overall).to_have_text("2 images classified")
    return visit


def overlay(card: Locator) -> Locator:
    return card.locator(".overlay")


def test_no_upload_asks_for_one(visit: Visit) -> None:
    for request in visit.sent:
        assert query(request) == {
            "outputs": "predictions,embedding",
            "encoding_format": "base64",
        }
    expect(overlay(visit.card("red.png"))).to_be_hidden()


def test_it_is_switched_on_moved_between_classes_and_off(visit: Visit) -> None:
    card = visit.card("red.png")
    toggle = card.get_by_role("button", name="Heat map")
    toggle.click()
    expect(overlay(card)).to_be_visible()
    expect(card.locator(".caption")).to_have_text("Where the model sees red")
    expect(toggle).to_have_attribute("aria-pressed", "true")
    first = overlay(card).get_attribute("src")
    green = card.locator(".classes button", has_text="green")
    green.click()
    expect(card.locator(".caption")).to_have_text("Where the model sees green")
    expect(green).to_have_attribute("aria-pressed", "true")
    expect(card.locator(".winner button")).to_have_attribute("aria-pressed", "false")
    assert overlay(card).get_attribute("src") != first
    green.click()
    expect(overlay(card)).to_be_hidden()
    expect(toggle).to_have_attribute("aria-pressed", "false")
    expect(overlay(visit.card("blue.png"))).to_be_hidden()


def test_it_is_asked_for_once_with_every_class_that_is_shown(visit: Visit) -> None:
    card = visit.card("red.png")
    for _ in range(2):
        card.get_by_role("button", name="Heat map").click()
        card.locator(".classes button", has_text="blue").click()
        expect(card.locator(".caption")).to_have_text("Where the model sees blue")
        card.get_by_role("button", name="Heat map").click()
    (request,) = visit.sent[2:]
    asked = query(request)
    assert sorted(asked.pop("classes").split(",")) == ["0", "1", "2", "3", "4"]
    assert asked == {
        "model": MODEL_NAME,
        "outputs": "class_activation_map",
        "overlay": "true",
        "encoding_format": "base64",
    }


def test_it_is_asked_for_once_however_fast_one_clicks(visit: Visit) -> None:
    held: list[Route] = []
    visit.page.route(PREDICTIONS, lambda route: held.append(route))
    card = visit.card("red.png")
    card.get_by_role("button", name="Heat map").click()
    expect(card.locator(".caption")).to_have_text("Computing the heat map …")
    card.locator(".classes button", has_text="blue").click()
    card.locator(".classes button", has_text="green").click()
    expect(card.locator(".classes button", has_text="green")).to_have_attribute(
        "aria-pressed", "true"
    )
    (asked,) = held
    asked.continue_()
    expect(card.locator(".caption")).to_have_text("Where the model sees green")
    assert len(held) == 1


def test_it_lies_on_the_image(visit: Visit) -> None:
    card = visit.card("red.png")
    card.get_by_role("button", name="Heat map").click()
    expect(overlay(card)).to_be_visible()
    assert overlay(card).bounding_box() == card.locator(".picture img").first.bounding_box()


def test_all_at_once(visit: Visit) -> None:
    visit.button("Heat maps").click()
    for name in ("red", "blue"):
        expect(overlay(visit.card(f"{name}.png"))).to_be_visible()
    # Also over what comes later.
    visit.choose(picture("green"))
    expect(overlay(visit.card("green.png"))).to_be_visible()
    visit.button("Heat maps").click()
    for name in ("red", "blue", "green"):
        expect(overlay(visit.card(f"{name}.png"))).to_be_hidden()


def test_a_failure_is_said_beside_the_image(visit: Visit) -> None:
    refused(visit.page, 500, PROBLEM)
    card = visit.card("red.png")
    card.get_by_role("button", name="Heat map").click()
    expect(card.locator(".caption")).to_have_text("Inference failed.")
    expect(card.get_by_role("button", name="Heat map")).to_have_attribute("aria-pressed", "false")
    expect(card.locator(".winner .label")).to_have_text("red")
