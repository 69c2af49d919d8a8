"""TLS of both listeners, whose certificate changes while they listen."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import grpc
import httpx2
import pytest

from service.grpc.protos import inference_pb2 as v2
from service.http.app import certificate_of
from service.settings import Settings
from service.system.certificate import Certificate, InvalidCertificate
from tests.service.certificates import make_certificate, needs_openssl
from tests.service.conftest import Serve, listening
from tests.service.fakes import WAIT_SECONDS, eventually
from tests.service.grpc.client import INFER, Client, floats, infer_request
from tests.service.images import plain

pytestmark = needs_openssl

RED = plain("red")


class Clock:
    """Of a process, and of the files."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def copy(source: tuple[Path, Path], target: tuple[Path, Path]) -> None:
    for theirs, ours in zip(source, target, strict=True):
        ours.write_bytes(theirs.read_bytes())


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    target = tmp_path / "tls.crt", tmp_path / "tls.key"
    copy(make_certificate(tmp_path), target)
    return target


def test_a_changed_certificate_is_read_when_both_files_are_at_rest(
    tmp_path: Path, files: tuple[Path, Path]
) -> None:
    clock = Clock()
    certificate = Certificate(*files, clock, wall_clock=lambda: 0.0)
    first = certificate.current()
    second = make_certificate(tmp_path, "second")
    files[0].write_bytes(second[0].read_bytes())
    for _ in range(3):
        # The key is still the first one's.
        clock.now += 1
        assert certificate.current() is first
    files[1].write_bytes(second[1].read_bytes()[:50])
    for _ in range(3):
        clock.now += 1
        assert certificate.current() is first
    files[1].write_bytes(second[1].read_bytes())
    clock.now += 1
    assert certificate.current() is first
    clock.now += 1
    assert certificate.current().chain == second[0].read_bytes()
    files[0].unlink()
    for _ in range(3):
        clock.now += 1
        assert certificate.current().chain == second[0].read_bytes()


def test_a_chain_that_is_cut_short_changes_nothing(files: tuple[Path, Path]) -> None:
    clock = Clock()
    certificate = Certificate(*files, clock, wall_clock=lambda: 0.0)
    whole = files[0].read_bytes()
    files[0].write_bytes(whole + whole[:-60])
    for _ in range(3):
        clock.now += 1
        assert certificate.current().chain == whole


def test_files_that_make_no_certificate(tmp_path: Path, files: tuple[Path, Path]) -> None:
    other = make_certificate(tmp_path, "second")
    for cert, key in ((files[0], other[1]), (files[1], files[0]), (tmp_path / "no", files[1])):
        with pytest.raises(InvalidCertificate, match="can't be used"):
            Certificate(cert, key)
    for alone in ({"tls_cert_file": files[0]}, {"tls_key_file": files[1]}):
        with pytest.raises(InvalidCertificate, match="set together"):
            certificate_of(Settings.of(**alone))
    assert certificate_of(Settings.of()) is None


def http_name(port: int) -> str:
    """The common name in the certificate that the listener shows."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), WAIT_SECONDS) as plain_socket,
        context.wrap_socket(plain_socket) as connection,
    ):
        shown = connection.getpeercert(binary_form=True) or b""
    return "second" if b"second" in shown else "first"


def grpc_answers(port: int, cert: Path) -> bool:
    """Whether a client that knows this certificate alone is answered."""
    credentials = grpc.ssl_channel_credentials(cert.read_bytes())
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(f"127.0.0.1:{port}", credentials, options) as channel:
        try:
            answer: v2.ModelInferResponse = Client(channel).call(INFER, infer_request(RED))
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                return False
            raise
    return bool(floats(answer).argmax() == 0)


def test_both_listeners_show_the_certificate_of_the_time(
    serve: Serve, tmp_path: Path, files: tuple[Path, Path]
) -> None:
    service = serve(grpc_port=0, tls_cert_file=files[0], tls_key_file=files[1])
    first, second = tmp_path / "first.pem", make_certificate(tmp_path, "second")
    with listening(service.app) as port:
        trusted = ssl.create_default_context(cafile=first)
        with httpx2.Client(verify=trusted, base_url=f"https://127.0.0.1:{port}") as client:
            answer = client.post("/predict", files={"file": ("red.png", RED, "image/png")})
            assert answer.status_code == 200
            assert "red" in answer.text
            assert client.get("/health/live").status_code == 200
            assert http_name(port) == "first"
            assert grpc_answers(service.app.state.grpc_port, first)
            assert not grpc_answers(service.app.state.grpc_port, second[0])
            copy(second, files)
            eventually(lambda: http_name(port) == "second")
            assert grpc_answers(service.app.state.grpc_port, second[0])
            assert not grpc_answers(service.app.state.grpc_port, first)
            # The connection that is open stays.
            assert client.get("/health/live").status_code == 200


def test_what_is_no_tls_is_refused(serve: Serve, files: tuple[Path, Path]) -> None:
    service = serve(grpc_port=0, tls_cert_file=files[0], tls_key_file=files[1])
    with listening(service.app) as port:
        with socket.create_connection(("127.0.0.1", port), WAIT_SECONDS) as plain_socket:
            plain_socket.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"HTTP" not in plain_socket.recv(1000)
        assert http_name(port) == "first"


def test_a_call_of_grpc_under_way_outlives_a_new_certificate(
    serve: Serve, files: tuple[Path, Path], tmp_path: Path
) -> None:
    """So does its connection: a client that knows the first certificate alone can open no other."""
    service = serve(grpc_port=0, tls_cert_file=files[0], tls_key_file=files[1])
    port = service.app.state.grpc_port
    credentials = grpc.ssl_channel_credentials(files[0].read_bytes())
    options = [("grpc.use_local_subchannel_pool", 1)]
    with (
        grpc.secure_channel(f"127.0.0.1:{port}", credentials, options) as channel,
        service.engine.blocked(),
    ):
        infer = channel.unary_unary(f"/{INFER}")
        sent = infer_request(RED).SerializeToString()
        answer = infer.future(sent, timeout=2 * WAIT_SECONDS)
        service.engine.wait_until_busy()
        copy(make_certificate(tmp_path, "second"), files)
        eventually(lambda: http_name(port) == "second")
        service.engine.release()
        assert answer.result(WAIT_SECONDS)
        assert infer(sent, timeout=WAIT_SECONDS)
