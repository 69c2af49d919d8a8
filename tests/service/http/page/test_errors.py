"""What the page says where an image has no result."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Locator, expect

from service.inference.model import Model
from tests.nginx import NGINX
from tests.service.behind_nginx import behind_nginx
from tests.service.conftest import MODEL_NAME, MakeModel, Serve, Service, TestClient
from tests.service.fakes import WAIT_SECONDS
from tests.service.http.page.answers import PREDICTIONS, refused
from tests.service.http.page.conftest import Open
from tests.service.http.page.visit import file, picture
from tests.service.images import encoded, noise

TEXT = b"hello I am no image at all"
LARGE = file("large.png", encoded(noise(200, 100)))
BUSY = {"code": "overloaded", "status": 503, "detail": "The wait is about 12.5 s.", "title": ""}


def error_of(card: Locator) -> Locator:
    return card.locator(".error")


def test_a_file_that_is_no_image(service: Service, open_page: Open) -> None:
    visit = open_page(service.app).open()
    visit.choose(picture("red"), file("text.jpg", TEXT, "image/jpeg"), picture("blue"))
    expect(visit.overall).to_have_text("2 images classified, 1 could not be classified")
    card = visit.card("text.jpg")
    expect(error_of(card)).to_have_text(
        "Images are taken as JPEG, PNG, WEBP, AVIF, GIF, BMP, TIFF, HEIF. "
        "Received: 26 bytes of text"
    )
    # A neutral icon: a browser's own for broken images belongs to an <img>.
    expect(card.locator(".picture img")).to_have_count(0)
    expect(card.locator(".no-picture")).to_be_visible()
    expect(card.locator(".picture .words")).to_have_text("No preview in this browser")
    # Once more would not help.
    expect(card.get_by_role("button", name="Try again")).to_have_count(0)


def test_a_file_of_odd_bytes_is_described_in_words(service: Service, open_page: Open) -> None:
    visit = open_page(service.app).open()
    visit.choose(file("odd.jpg", bytes(range(200)) * 100, "image/jpeg"))
    text = error_of(visit.card("odd.jpg")).text_content() or ""
    assert text.endswith("Received: 20 kB that begin with 00 01 02 03 04 05 06 07 (hexadecimal)")


def test_too_many_bytes_are_said_in_mb(serve: Serve, open_page: Open) -> None:
    visit = open_page(serve(max_body_bytes=20_000).app).open()
    visit.choose(LARGE)
    expect(error_of(visit.card("large.png"))).to_have_text(
        f"The file has {len(LARGE['buffer']) / 1000:.0f} kB, and this server takes 20 kB at once."
    )


def test_the_service_s_refusal_of_a_large_body_arrives(
    service: Service, open_page: Open, tmp_path: Path
) -> None:
    """It is sent, and the connection closed, while the browser still sends."""
    visit = open_page(service.app).open()
    path = tmp_path / "huge.bmp"
    Image.new("RGB", (3000, 3000)).save(path)
    visit.choose_paths(path)
    visit.button("Send it as it is").click()
    card = visit.card("huge.bmp")
    expect(error_of(card)).to_have_text(
        "The file has 27.0 MB, and this server takes 21.0 MB at once."
    )
    card.get_by_role("button", name="Send a smaller copy").click()
    expect(card.locator(".winner .label")).to_have_text("black")
    expect(card.locator(".about")).to_contain_text("Sent as a copy")


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
def test_a_proxy_s_page_is_told_in_words(service: Service, open_page: Open) -> None:
    bare = {
        "client_max_body_size 20m;": "client_max_body_size 10k;",
        "error_page 404 408 413": "error_page 404 408",
    }
    with behind_nginx(service.app, bare) as port:
        visit = open_page(f"http://127.0.0.1:{port}").open()
        visit.choose(LARGE)
        card = visit.card("large.png")
        expect(error_of(card)).to_have_text(
            f"A proxy in front of the server refuses a file of {len(LARGE['buffer']) / 1000:.0f} "
            "kB: it is set to let less through."
        )
        expect(card.get_by_role("button", name="Send a smaller copy")).to_be_visible()


def test_a_login_page_is_no_result(service: Service, open_page: Open) -> None:
    visit = open_page(service.app).open()
    refused(visit.page, 200, "<!doctype html><p>Please log in")
    visit.choose(picture("red"))
    expect(error_of(visit.card("red.png"))).to_have_text(
        "The answer is not from this server: a proxy or a login page stands in between."
    )


def test_a_model_that_is_loading_is_waited_for(
    start_app: Callable[..., TestClient], make_model: MakeModel, open_page: Open
) -> None:
    loaded = threading.Event()

    def load(_: str) -> Model:
        assert loaded.wait(WAIT_SECONDS)
        return make_model(MODEL_NAME)

    client = start_app(load)
    try:
        visit = open_page(client.app).open()
        expect(visit.page.locator("#readiness")).to_have_attribute("data-state", "loading")
        visit.choose(picture("red"))
        card = visit.card("red.png")
        expect(card.locator(".step")).to_have_text(
            "The model is still loading. The page asks again in 5 s."
        )
        expect(error_of(card)).to_have_count(0)
    finally:
        loaded.set()
    expect(visit.overall).to_have_text("1 image classified")
    expect(visit.page.locator("#readiness-words")).to_have_text("Ready")


def test_a_busy_server_is_asked_again_until_a_limit(service: Service, open_page: Open) -> None:
    visit = open_page(service.app).open()
    urls = refused(visit.page, 503, BUSY, Retry_After="0")
    visit.choose(picture("red"))
    card = visit.card("red.png")
    expect(error_of(card)).to_have_text(
        "The server is busy with other images. The page has asked 8 times."
    )
    assert len(urls) == 8
    visit.page.unroute(PREDICTIONS)
    card.get_by_role("button", name="Try again").click()
    expect(visit.overall).to_have_text("1 image classified")


def test_a_model_that_failed_to_load_is_no_wait(service: Service, open_page: Open) -> None:
    visit = open_page(service.app).open()
    failed = {**BUSY, "code": "model_not_ready", "detail": "x can't be served: 1f0c."}
    urls = refused(visit.page, 503, failed, Retry_After="0")
    visit.choose(picture("red"))
    expect(error_of(visit.card("red.png"))).to_have_text("x can't be served: 1f0c.")
    assert len(urls) == 1


def test_a_server_that_is_gone(service: Service, open_page: Open) -> None:
    visit = open_page(service.app).open()
    visit.page.context.set_offline(True)
    visit.choose(picture("red"))
    card = visit.card("red.png")
    expect(error_of(card)).to_have_text(
        "The server did not answer. Either it is not running, or the network is down."
    )
    visit.page.context.set_offline(False)
    card.get_by_role("button", name="Try again").click()
    expect(visit.overall).to_have_text("1 image classified")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (429, "A proxy in front of the server limits how many requests may be sent."),
        (502, "A proxy found no server that is ready to answer."),
        (504, "A proxy waited for the server, and gave up."),
        (418, "A proxy in front of the server answered with 418 and no explanation."),
    ],
)
def test_no_page_of_a_proxy_is_a_syntax_error(
    service: Service, open_page: Open, status: int, words: str
) -> None:
    visit = open_page(service.app).open()
    refused(visit.page, status, "<html>oops", Retry_After="0")
    visit.choose(picture("red"))
    expect(error_of(visit.card("red.png"))).to_contain_text(words)


def test_an_answer_may_be_a_date_away(service: Service, open_page: Open) -> None:
    visit = open_page(service.app).open()
    urls = refused(visit.page, 503, BUSY, Retry_After="Mon, 01 Jan 2024 00:00:00 GMT")
    visit.choose(picture("red"))
    expect(error_of(visit.card("red.png"))).to_be_visible()
    assert len(urls) == 8
