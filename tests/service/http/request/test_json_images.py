"""Images in JSON to POST /predict, as client libraries send them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from tests.service.conftest import Service, listening
from tests.service.images import encoded, noise, plain

COLORS = ("red", "green", "blue")
Post = Callable[..., httpx2.Response]


def text_of(image: bytes) -> str:
    return base64.b64encode(image).decode()


@pytest.fixture
def post(service: Service) -> Iterator[Post]:
    with (
        listening(service.app) as port,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client,
    ):

        def one(value: Any = None, *, content: bytes | None = None) -> httpx2.Response:
            sent = json.dumps(value).encode() if content is None else content
            headers = {"Content-Type": "application/json; charset=utf-8"}
            response: httpx2.Response = client.post("/predict", content=sent, headers=headers)
            return response

        yield one


def best(predictions: list[dict[str, Any]]) -> str:
    return str(predictions[0]["label"])


@pytest.mark.parametrize("color", COLORS)
@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,", "data:;base64,"])
@pytest.mark.parametrize("size", [(8, 8), (300, 200)], ids=["short", "long"])
def test_one_image(post: Post, color: str, prefix: str, size: tuple[int, int]) -> None:
    image = plain(color, size, "PNG" if size[0] < 10 else "BMP")
    answer = post({"image": prefix + text_of(image)})
    assert answer.status_code == 200, answer.text
    assert best(answer.json()["predictions"]) == color


def test_several_images(post: Post) -> None:
    images = [text_of(plain(color, (200, 100))) for color in COLORS]
    images[1] = "data:image/png;base64," + images[1]
    answer = post({"images": images}).json()
    assert [best(one["predictions"]) for one in answer["results"]] == list(COLORS)


def test_one_of_several_fails_alone(post: Post) -> None:
    answer = post({"images": [text_of(plain("red")), text_of(b"no image"), ""]}).json()
    assert best(answer["results"][0]["predictions"]) == "red"
    assert [one["error"]["status"] for one in answer["results"][1:]] == [415, 422]


def test_slashes_may_be_escaped(post: Post) -> None:
    """As PHP writes JSON."""
    image = encoded(noise(90, 90))
    text = json.dumps({"image": "data:image/png;base64," + text_of(image)}).replace("/", "\\/")
    assert text.count("\\/") > 100
    assert post(content=text.encode()).status_code == 200


def test_an_image_anywhere_in_the_windows_of_the_parser(post: Post) -> None:
    """Whitespace before it moves it across the end of one."""
    text = json.dumps(
        {"image": "data:image/png;base64," + text_of(plain("red", (300, 300), "BMP"))}
    )
    for spaces in range(7600, 8300, 37):
        answer = post(content=b" " * spaces + text.encode())
        assert answer.status_code == 200, (spaces, answer.text)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({}, "overlay, abstain_below. Received: none."),
        ({"img": "aaaa"}, "overlay, abstain_below. Received: 'img'."),
        ({"image": "aaaa", "top_k": 3}, "Received: 'image', 'top_k'."),
        ([], "The body's JSON is no object."),
        ("aaaa", "The body's JSON is no object."),
        ({"image": 3}, "An image is a string in base64."),
        ({"image": None}, "An image is a string in base64."),
        ({"images": []}, "'images' is a list of one or more images."),
        ({"images": "aaaa"}, "'images' is a list of one or more images."),
        ({"images": [[1, 2]]}, "An image is a string in base64."),
        ({"image": "not base64!"}, "An image is not in base64"),
        ({"image": "http://example.com/a.jpg"}, "An image is not in base64"),
        ({"images": ["aaaa"] * 33}, "A request may have 32 images. Received: 33"),
    ],
)
def test_what_is_wrong_is_named_with_what_works(post: Post, value: Any, reason: str) -> None:
    answer = post(value)
    assert answer.status_code == 400, answer.text
    assert reason in answer.json()["detail"]
    assert answer.json()["detail"].endswith(
        'Send {"image": "BASE64"} or {"images": ["BASE64", ...]}.'
    )


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe", b'{"image": "\xff"}'])
def test_what_is_no_json_is_refused(post: Post, content: bytes) -> None:
    answer = post(content=content)
    assert answer.status_code == 400, answer.text
    assert "JSON" in answer.json()["detail"]


def test_several_requests_at_once(post: Post) -> None:
    big = text_of(plain("red", (500, 500), "BMP"))
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(post, [{"images": [big, big]}] * 8))
    assert [answer.status_code for answer in answers] == [200] * 8
