"""What a form may be made of, over a real socket, and that nothing of it stays behind."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from starlette import formparsers

from tests.service.conftest import Serve, Service, listening
from tests.service.images import plain

RED = plain("red")
BOUNDARY = b"--edge"


def part(headers: bytes, content: bytes) -> bytes:
    return BOUNDARY + b"\r\n" + headers + b"\r\n\r\n" + content + b"\r\n"


def field(name: bytes, content: bytes = b"x") -> bytes:
    return part(b'Content-Disposition: form-data; name="' + name + b'"', content)


def file(content: bytes, name: bytes = b"file", filename: bytes = b"a.png") -> bytes:
    disposition = b'Content-Disposition: form-data; name="%b"; filename="%b"' % (name, filename)
    return part(disposition, content)


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + BOUNDARY + b"--\r\n"


@pytest.fixture
def post(service: Service) -> Iterator[Callable[[bytes], httpx2.Response]]:
    headers = {"Content-Type": "multipart/form-data; boundary=edge"}
    with (
        listening(service.app) as port,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30) as client,
    ):

        def one(body: bytes) -> httpx2.Response:
            response: httpx2.Response = client.post("/predict", content=body)
            return response

        yield one


Post = Callable[[bytes], httpx2.Response]
HEADERS = b"Content-Disposition: form-data; name=a\r\n"


@pytest.mark.parametrize(
    "more",
    [
        [field(b"a")] * 17,
        [field(b"a", b"x" * (64 * 1024 + 1))],
        [part(HEADERS + b"\r\n".join([b"X-More: 1"] * 100), b"x")],
        [part(HEADERS + b"X-Long: " + b"a" * 100_000, b"x")],
        [part(HEADERS + b"X" * 100_000 + b": a", b"x")],
        [field(b"a" * 100_000)],
        [file(RED, filename=b"a" * 100_000)],
        [file(b"x", name=b"other")] * 33,
        [part(b"Content-Disposition: form-data", b"x")],
        [part(b"X: y", b"x")],
    ],
    ids=[
        "fields",
        "a large field",
        "headers",
        "a long header",
        "a long header's name",
        "a long name",
        "a long file name",
        "files that nobody asked for",
        "no name",
        "no disposition",
    ],
)
def test_what_a_form_has_too_much_of(post: Post, more: list[bytes]) -> None:
    response = post(form(file(RED), *more))
    assert response.status_code == 400, response.text
    assert response.json()["code"] == "malformed_request"
    assert len(response.content) < 2000
    assert post(form(file(RED))).status_code == 200


def test_as_much_as_a_form_may_have(post: Post) -> None:
    assert post(form(*[file(RED)] * 32)).status_code == 200
    fields = [field(b"a%d" % number, b"x" * 64 * 1024) for number in range(16)]
    refused = post(form(file(RED), *fields))
    assert refused.status_code == 422
    assert refused.json()["code"] == "invalid_parameter"


def test_a_form_that_breaks_off_is_refused_whole(post: Post) -> None:
    """Never some of its images as if they were all."""
    whole = form(file(RED), file(RED))
    assert post(whole).status_code == 200
    for end in (len(whole) - 4, len(whole) - 40, len(whole) // 2, 60):
        assert post(whole[:end]).status_code == 400, end


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (form(file(RED + bytes(2_000_000))), 200),
        (form(file(bytes(2_000_000), name=b"other")), 400),
        (form(file(bytes(2_000_000)), b"no part"), 400),
        (form(file(bytes(2_000_000)), field(b"a", bytes(70_000))), 400),
    ],
    ids=["used", "not used", "broken", "too large a field"],
)
def test_no_upload_touches_the_disk(
    post: Post, body: bytes, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bytes are counted, so memory has room; and the container's disk is read-only."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a temporary file")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert post(body).status_code == status


@pytest.mark.parametrize(
    "body",
    [
        form(file(RED), file(RED)),
        form(file(b"%PDF")),
        form(file(RED), file(RED))[:-40],
        form(file(RED), field(b"a", bytes(70_000))),
    ],
    ids=["used", "no image", "breaks off", "too large a field"],
)
def test_memory_is_given_back_with_the_answer(
    post: Post, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not when the garbage is next looked through, with megabytes in it."""
    opened: list[tempfile.SpooledTemporaryFile[bytes]] = []

    class Noted(tempfile.SpooledTemporaryFile):  # type: ignore[type-arg]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            opened.append(self)

    monkeypatch.setattr(formparsers, "SpooledTemporaryFile", Noted)
    post(body)
    assert opened
    assert all(file.closed for file in opened)


def test_a_body_that_drips_is_given_up(serve: Serve) -> None:
    service = serve(request_timeout_seconds=0.5)
    with (
        listening(service.app) as port,
        socket.create_connection(("127.0.0.1", port), 30) as connection,
    ):
        connection.sendall(
            b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n"
            b"Content-Type: image/png\r\n\r\n" + RED[:50]
        )
        assert connection.recv(65536).startswith(b"HTTP/1.1 408")


def test_nothing_that_a_client_names_is_logged(
    service: Service, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    """Nor could it forge a line: each is one object, whatever is in it."""
    strange = 'evil\r\n{"level": "ERROR"}\x1b[31m'
    quoted = "evil%0d%0a%1b[31m"
    headers = {"Content-Type": "multipart/form-data; boundary=edge", "X-Request-ID": quoted}
    name = strange.replace("\r\n", "\n").encode()
    service.client.post("/predict", content=form(file(RED, filename=name)), headers=headers)
    service.client.post("/predict", content=form(file(b"%PDF", filename=name)), headers=headers)
    service.client.post(f"/{quoted}", params={"model": strange})
    service.client.get("/models/" + quoted)
    assert len(log_lines()) >= 4
    assert not any("evil" in value or "\x1b" in value for value in map(str, log_lines()))
