"""What the page shows of images that were classified."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, expect

from service.inference.confidence.assessor import Assessor
from tests.service.confidence_fit import fitted_to
from tests.service.conftest import MODEL_NAME, Serve, Service
from tests.service.http.page.conftest import Open
from tests.service.http.page.visit import picture
from tests.service.images import COLORS

TWENTY = [f"{number:02} {[*COLORS][number % 5]}.png" for number in range(20)]


def font_size(shown: Locator) -> float:
    return float(shown.evaluate("one => parseFloat(getComputedStyle(one).fontSize)"))


def test_twenty_files_stand_in_their_order_with_their_names(
    service: Service, open_page: Open
) -> None:
    visit = open_page(service.app).open()
    visit.choose(*(picture(name[3:-4], name) for name in TWENTY))
    expect(visit.overall).to_have_text("20 images classified")
    expect(visit.page.locator("#overall-bar")).to_be_hidden()
    assert visit.cards.locator("h2").all_text_contents() == TWENTY
    for name in TWENTY:
        winner = visit.card(name).locator(".winner .label")
        assert winner.text_content() == name[3:-4]


def test_a_second_choice_comes_after_the_first(service: Service, open_page: Open) -> None:
    visit = open_page(service.app).open()
    visit.choose(picture("red"))
    visit.choose(picture("blue"), picture("green"))
    expect(visit.overall).to_have_text("3 images classified")
    assert visit.cards.locator("h2").all_text_contents() == ["red.png", "blue.png", "green.png"]


def test_the_progress_is_of_all_and_few_are_sent_at_once(service: Service, open_page: Open) -> None:
    visit = open_page(service.app).open()
    with service.engine.blocked():
        visit.choose(*(picture(name[3:-4], name) for name in TWENTY))
        expect(visit.overall).to_have_text("0 of 20 images done")
        service.engine.wait_until_busy()
        expect(visit.page.locator('[data-state="queued"]')).to_have_count(18)
        bar = visit.page.get_by_role("progressbar", name="0 of 20 images done")
        assert (bar.get_attribute("value"), bar.get_attribute("max")) == ("0", "20")
        assert len(visit.sent) == 2
    expect(visit.overall).to_have_text("20 images classified")
    assert len(visit.sent) == 20


def test_the_winner_stands_out_and_the_rest_does_not(service: Service, open_page: Open) -> None:
    visit = open_page(service.app).open()
    visit.choose(picture("red"))
    rows = visit.card("red.png").locator(".classes li")
    expect(rows).to_have_count(5)
    sizes = [font_size(rows.nth(rank).locator("button")) for rank in range(5)]
    assert sizes[0] > 1.3 * sizes[1]
    assert len(set(sizes[1:])) == 1
    shares = visit.card("red.png").locator(".share").all_text_contents()
    assert shares == [">99.9 %", "<0.1 %", "<0.1 %", "<0.1 %", "<0.1 %"]
    # No bars that would be dots.
    assert visit.card("red.png").locator(".bar").count() == 1


def test_a_card_says_what_answered_and_how_long_it_took(service: Service, open_page: Open) -> None:
    visit = open_page(service.app).open()
    visit.choose(picture("red", size=(60, 40)))
    about = visit.card("red.png").locator(".about")
    expect(about).to_contain_text(f"{MODEL_NAME} · float32 · ")
    text = about.text_content() or ""
    assert re.search(r"decode [\d.]+, queue [\d.]+, inference [\d.]+\sms", text)
    assert re.search(r"^\d+ bytes · 60 × 40", text)


def test_confidence_takes_the_place_of_probability(serve: Serve, open_page: Open) -> None:
    service = serve(abstain_below=0.9)
    plain_visit = open_page(service.app).open()
    plain_visit.choose(picture("black"))
    expect(plain_visit.card("black.png").locator(".winner .label")).to_have_text("black")
    uncalibrated = plain_visit.card("black.png").locator(".winner .share").text_content()
    model = service.model
    model.assessor = Assessor(
        model.artifact.head, fitted_to("red", "green"), model._observer.assessed
    )
    visit = open_page(service.app).open()
    visit.choose(picture("black"), picture("red"))
    black, red = visit.card("black.png"), visit.card("red.png")
    winner = black.locator(".winner")
    expect(winner.locator(".label")).to_have_text("black")
    assert winner.locator(".share").text_content() != uncalibrated
    assert f"probability {uncalibrated}" in (winner.locator("button").get_attribute("title") or "")
    remarks = black.locator(".remark")
    expect(remarks.last).to_have_text(
        re.compile(r"Unlike the images that the model was made for \(score \d+\.\d\d\)\.")
    )
    expect(red.locator(".winner .label")).to_have_text("red")
    expect(red.locator(".remark")).to_have_count(0)


def test_the_server_may_abstain(serve: Serve, open_page: Open) -> None:
    visit = open_page(serve(abstain_below=1.0).app).open()
    visit.choose(picture("black"))
    card = visit.card("black.png")
    expect(card.locator(".remark")).to_have_text(
        "The model is not sure enough to decide: below the server's threshold."
    )
    expect(card.locator(".winner .label")).to_have_text("black")


def test_what_is_on_the_page_can_go(service: Service, open_page: Open) -> None:
    visit = open_page(service.app).open()
    visit.choose(picture("red"), picture("blue"))
    expect(visit.overall).to_have_text("2 images classified")
    visit.button("Remove red.png").click()
    expect(visit.overall).to_have_text("1 image classified")
    assert visit.cards.locator("h2").all_text_contents() == ["blue.png"]
    expect(visit.card("blue.png")).to_be_focused()
    visit.button("Clear").click()
    expect(visit.button("Choose images")).to_be_focused()
    expect(visit.cards).to_have_count(0)
    expect(visit.overall).to_be_hidden()


def test_what_was_cleared_while_it_was_under_way_does_not_come_back(
    service: Service, open_page: Open
) -> None:
    visit = open_page(service.app).open()
    with service.engine.blocked():
        visit.choose(picture("red"))
        service.engine.wait_until_busy()
        visit.button("Clear").click()
    visit.choose(picture("blue"))
    expect(visit.overall).to_have_text("1 image classified")
    assert visit.cards.locator("h2").all_text_contents() == ["blue.png"]


def test_a_name_is_text_whatever_it_looks_like(service: Service, open_page: Open) -> None:
    visit = open_page(service.app).open()
    names = ['<img src="x" onerror="boom()">.png', "<b>bold</b>.png"]
    visit.choose(*(picture("red", name) for name in names))
    expect(visit.overall).to_have_text("2 images classified")
    assert visit.cards.locator("h2").all_text_contents() == names
    assert visit.page.locator("#cards b, #cards [onerror]").count() == 0
