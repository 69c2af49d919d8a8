"""What a form may be made of, over a real socket, and that nothing of it stays behind."""

from __future__ import annotations

import contextlib
import mmap
import socket
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from service.http.request import body
from service.system.page_buffer import PageBuffer
from tests.service.conftest import Serve, Service, listening
from tests.service.fakes import eventually
from tests.service.images import plain

RED = plain("red")
BOUNDARY = b"--edge"
FORM = "multipart/form-data; boundary=edge"


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
    headers = {"Content-Type": FORM}
    with (
        listening(service.app) as port,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30) as client,
    ):

        def one(sent: bytes) -> httpx2.Response:
            response: httpx2.Response = client.post("/predict", content=sent)
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
    ("sent", "status"),
    [
        (form(file(RED + bytes(2_000_000))), 200),
        (form(file(bytes(2_000_000), name=b"other")), 400),
        (form(file(bytes(2_000_000)), b"no part"), 400),
        (form(file(bytes(2_000_000)), field(b"a", bytes(70_000))), 400),
    ],
    ids=["used", "not used", "broken", "too large a field"],
)
def test_no_upload_touches_the_disk(
    post: Post, sent: bytes, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bytes are counted, so memory has room; and the container's disk is read-only."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a temporary file")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert post(sent).status_code == status


@pytest.fixture
def buffers(monkeypatch: pytest.MonkeyPatch) -> list[PageBuffer]:
    """Every one that was made."""
    made: list[PageBuffer] = []

    class Noted(PageBuffer):
        def __init__(self, capacity: int) -> None:
            super().__init__(capacity)
            made.append(self)

    monkeypatch.setattr(body, "PageBuffer", Noted)
    return made


def all_is_given_back(service: Service, buffers: list[PageBuffer]) -> bool:
    used = service.app.state.runtime.service.budget.used_bytes
    return used == 0 and all(buffer._pages is None for buffer in buffers)


@pytest.mark.parametrize(
    "sent",
    [
        form(file(RED), file(RED)),
        form(file(b"%PDF")),
        form(file(RED), file(RED))[:-40],
        form(file(RED), field(b"a", bytes(70_000))),
        form(file(RED), *[field(b"a")] * 17),
        form(file(RED), file(RED, name=b"other")),
    ],
    ids=["used", "no image", "breaks off", "too large a field", "fields", "another part"],
)
def test_memory_is_given_back_with_the_answer(
    service: Service, post: Post, sent: bytes, buffers: list[PageBuffer]
) -> None:
    """And not when the garbage is next looked through, with megabytes in it."""
    post(sent)
    assert buffers
    assert all_is_given_back(service, buffers)


@pytest.mark.parametrize("more", [b"", b"x" * 100_000], ids=["while it waits", "while it reads"])
def test_memory_is_given_back_when_the_client_leaves(
    service: Service, buffers: list[PageBuffer], more: bytes
) -> None:
    with listening(service.app) as port:
        connection = socket.create_connection(("127.0.0.1", port), 30)
        connection.sendall(raw_head(200_000) + b"x" * 50_000 + more)
        eventually(lambda: bool(buffers) and len(buffers[0]) == 50_000 + len(more))
        connection.close()
        eventually(lambda: all_is_given_back(service, buffers))


def test_memory_is_given_back_when_the_body_takes_too_long(
    serve: Serve, buffers: list[PageBuffer]
) -> None:
    service = serve(request_timeout_seconds=0.5)
    with (
        listening(service.app) as port,
        socket.create_connection(("127.0.0.1", port), 30) as connection,
    ):
        connection.sendall(raw_head(200_000) + b"x" * 100_000)
        assert connection.recv(65536).startswith(b"HTTP/1.1 408")
        eventually(lambda: all_is_given_back(service, buffers))


def test_memory_is_given_back_once_the_images_are_decoded(
    service: Service, post: Post, buffers: list[PageBuffer]
) -> None:
    """While they wait for the device only their pixels are held, also with one that is no image."""
    pages: list[weakref.ref[mmap.mmap]] = []

    def kept() -> bool:
        for buffer in buffers:
            if isinstance(buffer._pages, mmap.mmap) and not pages:
                pages.append(weakref.ref(buffer._pages))
        return bool(pages) and pages[0]() is not None

    sent = form(file(RED), file(b"%PDF"), file(RED + bytes(500_000)))
    budget = service.app.state.runtime.service.budget
    with service.engine.blocked(), ThreadPoolExecutor() as pool:
        pool.submit(post, form(file(RED)))
        service.engine.wait_until_busy()
        eventually(lambda: all(buffer._pages is None for buffer in buffers))
        buffers.clear()
        answer = pool.submit(post, sent)
        eventually(kept)
        eventually(lambda: service.model.queue_depth == 2)
        eventually(lambda: not kept())
        pixels = service.model.artifact.manifest.preprocessing.crop_size**2 * 3
        assert budget.used_bytes == (1 + 3) * pixels
        service.engine.release()
        assert answer.result().status_code == 200
    assert all_is_given_back(service, buffers)


def raw_head(length: int) -> bytes:
    head = (
        "POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: {}\r\n\r\n"
    )
    return head.format(length).encode()


MEGABYTE = 2**20


@pytest.fixture
def small(serve: Serve) -> Service:
    """Requests may hold 8 MB together."""
    return serve(max_pending_bytes=8 * MEGABYTE, max_body_bytes=4 * MEGABYTE)


@contextlib.contextmanager
def uploading(service: Service, port: int, address: str, count: int) -> Iterator[None]:
    """So many bodies of 2 MB that lack their last byte, from one address, as far as they get."""
    budget = service.app.state.runtime.service.budget
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", port), 30, (address, 0))
            stack.enter_context(connection)
            with contextlib.suppress(ConnectionError):
                connection.sendall(raw_head(2 * MEGABYTE + 1) + bytes(2 * MEGABYTE))
        eventually(lambda: budget.room(address) < 2 * MEGABYTE)
        yield


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have one loopback address")
@pytest.mark.parametrize("kind", ["raw", "form"])
def test_many_uploads_of_one_client_leave_room_for_another(small: Service, kind: str) -> None:
    headers = {"Content-Type": "image/png" if kind == "raw" else FORM}
    content = RED + bytes(500_000)
    content = content if kind == "raw" else form(file(content))
    with (
        listening(small.app) as port,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client,
        uploading(small, port, "127.0.0.2", 20),
    ):
        budget = small.app.state.runtime.service.budget
        assert budget.used_bytes <= 7 * MEGABYTE
        for _ in range(5):
            assert client.post("/predict", content=content, headers=headers).status_code == 200
    eventually(lambda: budget.used_bytes == 0)


@pytest.mark.parametrize("length", ["known", "unknown"])
@pytest.mark.parametrize("kind", ["raw", "form"])
def test_a_body_without_room_is_refused(small: Service, kind: str, length: str) -> None:
    """With a known length before any of it is read."""
    headers = {"Content-Type": "image/png" if kind == "raw" else FORM}
    content = bytes(3 * MEGABYTE) if kind == "raw" else form(file(bytes(3 * MEGABYTE)))
    with (
        listening(small.app) as port,
        uploading(small, port, "127.0.0.1", 3),
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client,
    ):
        given = content if length == "known" else iter([content[:1000], content[1000:]])
        response = client.post("/predict", content=given, headers=headers)
        assert response.status_code == 503
        assert response.json()["code"] == "memory_full"
        assert response.headers["Retry-After"] == "1"
    assert small.sample("resnet_rejections_total", reason="memory_full") == 1
    assert small.sample("resnet_pending_bytes_limit") == 8 * MEGABYTE
    eventually(lambda: small.sample("resnet_pending_bytes") == 0)


def test_what_is_held_is_counted(small: Service) -> None:
    with listening(small.app) as port, uploading(small, port, "127.0.0.1", 3):
        eventually(lambda: small.sample("resnet_pending_bytes") == 6 * MEGABYTE)


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
