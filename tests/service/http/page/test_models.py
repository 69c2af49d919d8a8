"""The chooser of models, the table of models, the state of the server, and API keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import expect

from service.auth.api_keys import hash_of
from service.inference.model import Model
from tests.service.conftest import MODEL_NAME, MakeModel, Serve, Service, TestClient
from tests.service.fakes import eventually
from tests.service.http.page.conftest import Open
from tests.service.http.page.visit import picture

OTHER = "resnet34.colors"


def test_one_model_needs_no_chooser(service: Service, open_page: Open) -> None:
    visit = open_page(service.app).open()
    expect(visit.page.locator("#readiness-words")).to_have_text("Ready")
    visit.choose(picture("red"))
    expect(visit.overall).to_have_text("1 image classified")
    expect(visit.page.locator("#chooser")).to_be_hidden()


def test_another_model_is_chosen_and_asked_of_what_is_there(
    start_app: Callable[..., TestClient], make_model: MakeModel, open_page: Open
) -> None:
    def load(name: str) -> Model:
        return make_model(name)

    client = start_app(load, models=OTHER)
    eventually(lambda: client.get("/health/ready").status_code == 200)
    visit = open_page(client.app).open()
    chooser = visit.page.locator("#model")
    expect(chooser).to_have_value(MODEL_NAME)
    visit.choose(picture("red"))
    expect(visit.card("red.png").locator(".about")).to_contain_text(MODEL_NAME)
    chooser.select_option(OTHER)
    expect(visit.notice).to_contain_text(f"The results below are not of {OTHER} yet.")
    visit.notice.get_by_role("button", name="Classify them again").click()
    expect(visit.card("red.png").locator(".about")).to_contain_text(OTHER)
    asked = [parse_qs(urlsplit(one.url).query)["model"] for one in visit.sent]
    assert asked == [[MODEL_NAME], [OTHER]]


def test_models_are_a_table(service: Service, open_page: Open) -> None:
    visit = open_page(service.app).open()
    visit.button("Models").click()
    dialog = visit.page.get_by_role("dialog", name="Models")
    first = dialog.locator("tbody tr").first
    expect(first.get_by_role("rowheader")).to_have_text(MODEL_NAME)
    expect(first).to_contain_text("served")
    expect(first).to_contain_text("float32, tensorflow")
    # The catalog is below it.
    catalog = dialog.get_by_role("rowheader", name="resnet50.keras_in1k")
    expect(catalog).to_be_hidden()
    dialog.get_by_text("more that it could serve").click()
    expect(catalog).to_be_visible()
    expect(dialog.locator("pre")).to_have_count(0)
    dialog.get_by_role("button", name="Close the models").click()
    expect(dialog).to_be_hidden()


def test_the_models_fit_a_phone(service: Service, open_page: Open) -> None:
    visit = open_page(service.app, viewport={"width": 360, "height": 740}, is_mobile=True).open()
    visit.button("Models").click()
    dialog = visit.page.get_by_role("dialog", name="Models")
    dialog.get_by_text("more that it could serve").click()
    # Still a table for a screen reader.
    expect(dialog.get_by_role("rowheader", name="resnet50.keras_in1k")).to_be_visible()
    expect(dialog.get_by_role("cell", name="25.6 million").first).to_be_visible()
    wider = "[...document.querySelectorAll('.stacked')].map(t => t.scrollWidth - t.clientWidth)"
    assert visit.page.evaluate(wider) == [0, 0]


def test_the_server_s_state_is_a_dot_with_words(service: Service, open_page: Open) -> None:
    visit = open_page(service.app).open()
    state = visit.page.locator("#readiness")
    expect(state).to_have_text("Ready")
    expect(state).to_have_attribute("data-state", "ready")


def test_a_key_is_asked_for_where_keys_are_set_up(
    serve: Serve, open_page: Open, tmp_path: Path
) -> None:
    (tmp_path / "keys").write_text(f"{hash_of('alpha')} shop\n")
    visit = open_page(serve(api_keys_file=tmp_path / "keys").app).open()
    field = visit.page.get_by_label("This server asks for an API key")
    expect(field).to_be_visible()
    visit.choose(picture("red"))
    card = visit.card("red.png")
    expect(card.locator(".error")).to_have_text(
        "This server answers with an API key only. Enter one above."
    )
    field.fill("wrong")
    visit.button("Use this key").click()
    refused = visit.page.get_by_label("The API key was refused: ")
    expect(refused).to_be_visible()
    refused.fill("alpha")
    visit.button("Use this key").click()
    # What was refused is sent again.
    expect(card.locator(".winner .label")).to_have_text("red")
    expect(visit.page.locator("#access")).to_be_hidden()
    visit.button("Models").click()
    first = visit.page.get_by_role("dialog").get_by_role("rowheader").first
    expect(first).to_have_text(MODEL_NAME)


def test_without_keys_there_is_no_field(service: Service, open_page: Open) -> None:
    visit = open_page(service.app).open()
    visit.choose(picture("red"))
    expect(visit.overall).to_have_text("1 image classified")
    expect(visit.page.locator("#access")).to_be_hidden()
