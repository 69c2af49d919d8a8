"""Over a real socket: clients that leave, and clients that never finish."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

from tests.service.conftest import MODEL_NAME, Serve, Service, listening
from tests.service.fakes import WAIT_SECONDS, eventually
from tests.service.images import plain

RED = plain("red")


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with closing(socket.create_connection(("127.0.0.1", port), WAIT_SECONDS)) as connection:
        yield connection


def request(body: bytes, *, length: int | None = None, kind: str = "image/png") -> bytes:
    head = (
        "POST /predict HTTP/1.1\r\nHost: test\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(body) if length is None else length}\r\n\r\n"
    )
    return head.encode() + body


def answer(connection: socket.socket) -> tuple[int, dict[str, object]]:
    """Status and body of the answer that comes."""
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = connection.recv(65536)
        assert chunk, received
        received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers["content-length"]):
        body += connection.recv(65536)
    return int(lines[0].split()[1]), json.loads(body)


def cancelled(service: Service) -> float:
    return service.sample("resnet_rejections_total", reason="cancelled")


def answered(service: Service, status: int) -> float:
    return service.sample(
        "resnet_http_requests_total", route="/predict", method="POST", status=str(status)
    )


def images(service: Service, result: str) -> float:
    return service.sample("resnet_images_total", model=MODEL_NAME, result=result)


def test_the_image_of_a_client_that_left_is_never_computed(service: Service) -> None:
    with listening(service.app) as port, connected(port) as stays, service.engine.blocked():
        stays.sendall(request(RED))
        service.engine.wait_until_busy()
        with connected(port) as leaves:
            leaves.sendall(request(plain("blue")))
            eventually(lambda: service.model.queue_depth == 1)
            assert cancelled(service) == 0
        eventually(lambda: cancelled(service) == 1)
        service.engine.release()
        status, body = answer(stays)
        assert status == 200
        assert body["predictions"][0]["label"] == "red"  # type: ignore[index]
    assert service.model.close(WAIT_SECONDS)
    assert service.engine.batches == [1]
    assert (images(service, "ok"), images(service, "dropped")) == (1, 1)
    assert cancelled(service) == 1
    assert (answered(service, 200), answered(service, 499)) == (1, 1)


def test_the_several_images_of_a_client_that_left_are_dropped_together(serve: Serve) -> None:
    service = serve()
    parts = b"".join(
        b'--limit\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'
        + RED
        + b"\r\n"
        for _ in range(3)
    )
    form = request(parts + b"--limit--\r\n", kind="multipart/form-data; boundary=limit")
    with listening(service.app) as port, connected(port) as stays, service.engine.blocked():
        stays.sendall(request(RED))
        service.engine.wait_until_busy()
        with connected(port) as leaves:
            leaves.sendall(form)
            eventually(lambda: service.model.queue_depth == 3)
        eventually(lambda: cancelled(service) == 1)
        service.engine.release()
        assert answer(stays)[0] == 200
    assert service.model.close(WAIT_SECONDS)
    assert service.engine.batches == [1]
    assert images(service, "dropped") == 3


def test_a_client_that_leaves_while_it_sends(service: Service) -> None:
    with listening(service.app) as port:
        with connected(port) as leaves:
            leaves.sendall(request(RED[:50], length=len(RED)))
        eventually(lambda: cancelled(service) == 1)
        with connected(port) as stays:
            stays.sendall(request(RED))
            assert answer(stays)[0] == 200
    assert answered(service, 499) == 1
    assert service.engine.batches == [1]


def test_a_connection_serves_one_request_after_another(service: Service) -> None:
    with listening(service.app) as port, connected(port) as connection:
        for color in ("red", "green"):
            connection.sendall(request(plain(color)))
            status, body = answer(connection)
            assert status == 200
            assert body["predictions"][0]["label"] == color  # type: ignore[index]
    assert cancelled(service) == 0


def test_a_body_that_does_not_arrive_in_time(serve: Serve) -> None:
    service = serve(request_timeout_seconds=0.2)
    with listening(service.app) as port, connected(port) as connection:
        connection.sendall(request(RED[:50], length=len(RED)))
        status, body = answer(connection)
    assert (status, body["code"]) == (408, "upload_timeout")
    assert body["detail"] == "The body did not arrive within 0.2 s."


def test_a_body_that_says_it_is_too_long_is_refused_before_it_is_sent(serve: Serve) -> None:
    service = serve(max_body_bytes=1000)
    with listening(service.app) as port, connected(port) as connection:
        connection.sendall(request(b"", length=1001))
        status, body = answer(connection)
    assert (status, body["code"]) == (413, "payload_too_large")
