"""gRPC through a real nginx, in plain text and with TLS, by the project's own rules."""

from __future__ import annotations

import contextlib
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import grpc
import httpx2
import pytest

from service.grpc.protos import health_pb2 as health
from tests.nginx import NGINX, Nginx, free_port, write_grpc_rules
from tests.service.certificates import make_certificate, needs_openssl
from tests.service.conftest import Serve, Service, listening
from tests.service.fakes import WAIT_SECONDS, eventually
from tests.service.grpc.client import HEALTH, INFER, Client, floats, infer_request
from tests.service.images import plain

pytestmark = [
    needs_openssl,
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed"),
]

RED = plain("red")
# Of HTTP/2: windows of 16 MiB for each stream and for the connection.
SETTINGS = bytes.fromhex("000006 04 00 00000000 0004 01000000")
WINDOW = bytes.fromhex("000004 08 00 00000000 01000000")
ACK = bytes.fromhex("000000 04 01 00000000")


class Front:
    """Ports of an nginx in front of a service: of gRPC and of TLS. cert: of the latter.

    others: gRPC ports of further replicas, which it asks first. rules: texts, each with its
    replacement.
    """

    def __init__(
        self,
        folder: Path,
        service: Service,
        http_port: int,
        others: Sequence[int],
        rules: Mapping[str, str],
    ) -> None:
        self.port, self.tls_port = free_port(), free_port()
        self.cert, key = make_certificate(folder)
        changed = {
            "listen 8443 ": f"listen 127.0.0.1:{self.tls_port} ",
            "/etc/nginx/tls/tls.crt": str(self.cert),
            "/etc/nginx/tls/tls.key": str(key),
            **rules,
        }
        replicas = [*others, service.app.state.grpc_port]
        write_grpc_rules(folder, self.port, replicas, changed)
        self.nginx = Nginx(folder, free_port(), [http_port])

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        try:
            eventually(self._is_up)
            yield
        finally:
            self.nginx.stop()

    def _is_up(self) -> bool:
        assert self.nginx.process.poll() is None, self.nginx.log.read_text()
        with contextlib.suppress(ConnectionError):
            socket.create_connection(("127.0.0.1", self.tls_port), WAIT_SECONDS).close()
            return True
        return False


@contextlib.contextmanager
def in_front_of(
    service: Service, others: Sequence[int] = (), rules: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Front]:
    # In a folder that nginx's user may read; pytest's are not.
    with (
        tempfile.TemporaryDirectory(prefix="nginx-") as folder,
        listening(service.app) as http_port,
    ):
        front = Front(Path(folder), service, http_port, others, rules)
        with front.running():
            yield front


def test_calls_streams_and_health_by_both_ports(serve: Serve) -> None:
    service = serve(grpc_port=0, trusted_proxies="127.0.0.1")
    with in_front_of(service) as front:
        credentials = grpc.ssl_channel_credentials(front.cert.read_bytes())
        for channel in (
            grpc.insecure_channel(f"127.0.0.1:{front.port}"),
            grpc.secure_channel(f"127.0.0.1:{front.tls_port}", credentials),
        ):
            with channel:
                client = Client(channel, x_request_id="by-nginx")
                assert floats(client.call(INFER, infer_request(RED))).argmax() == 0
                assert client.trailers["x-request-id"] == "by-nginx"
                assert client.refusal(INFER, infer_request(b"x"))[0] == "INVALID_ARGUMENT"
                answers = list(client.stream([infer_request(RED, id=str(n)) for n in range(3)]))
                assert [one.infer_response.id for one in answers] == ["0", "1", "2"]
                asked = health.HealthCheckRequest().SerializeToString()
                answer = client.raw(f"{HEALTH}/Check", asked)
                assert health.HealthCheckResponse.FromString(answer).status == 1
        trusted = ssl.create_default_context(cafile=front.cert)
        with httpx2.Client(verify=trusted, base_url=f"https://127.0.0.1:{front.tls_port}") as http:
            assert http.get("/health/ready").status_code == 200
            assert http.get("/metrics").status_code == 404
            files = {"file": ("red.png", RED, "image/png")}
            assert http.post("/predict", files=files).status_code == 200


def test_what_nginx_says_itself_is_a_status(serve: Serve) -> None:
    service = serve(grpc_port=0)
    with in_front_of(service) as front:
        options = [("grpc.max_send_message_length", -1)]
        with grpc.insecure_channel(f"127.0.0.1:{front.port}", options=options) as channel:
            client = Client(channel)
            # By nginx or by the replica, which has the same limit.
            code, _ = client.refusal(INFER, infer_request(bytes(22 * 2**20)))
            assert code == "RESOURCE_EXHAUSTED"
            service.app.state.runtime.begin_stop()
            eventually(lambda: _unavailable(client))


def _unavailable(client: Client) -> bool:
    try:
        client.call(INFER, infer_request(RED), timeout=5)
    except grpc.RpcError as error:
        return error.code() is grpc.StatusCode.UNAVAILABLE
    return False


@contextlib.contextmanager
def dying_replica(at_bytes: int) -> Iterator[int]:
    """The port of one that closes each connection in the middle of a call, after so many bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        # It is a replica with room for the whole call.
                        connection.sendall(SETTINGS + WINDOW)
                        got = b""
                        while len(got) < at_bytes or ACK not in got:
                            if not (read := connection.recv(65536)):
                                break
                            got += read

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(WAIT_SECONDS)


@pytest.mark.parametrize("size", [1_000, 200_000, 900_000])
def test_a_call_whose_replica_dies_is_answered_by_another(serve: Serve, size: int) -> None:
    """Also when the replica has had most of the call, which is more than a window of HTTP/2."""
    service = serve(grpc_port=0)
    image = RED + bytes(size)
    with dying_replica(size) as port, in_front_of(service, [port]) as front:
        with grpc.insecure_channel(f"127.0.0.1:{front.port}") as channel:
            client = Client(channel)
            for _ in range(6):
                assert floats(client.call(INFER, infer_request(image))).argmax() == 0
        eventually(lambda: len(front.nginx.upstreams(f"/{INFER}")) == 6)
        asked = front.nginx.upstreams(f"/{INFER}")
    assert [f"127.0.0.1:{port}", f"127.0.0.1:{service.app.state.grpc_port}"] in asked


def test_a_call_that_nginx_has_in_a_file_is_at_worst_to_be_sent_again(serve: Serve) -> None:
    service = serve(grpc_port=0, trusted_proxies="127.0.0.1")
    image = RED + bytes(4_000_000)
    seen = set()
    with (
        dying_replica(2_000_000) as port,
        in_front_of(service, [port]) as front,
        grpc.insecure_channel(f"127.0.0.1:{front.port}") as channel,
    ):
        client = Client(channel)
        for _ in range(4):
            try:
                assert floats(client.call(INFER, infer_request(image), 5)).argmax() == 0
                seen.add("OK")
            except grpc.RpcError as error:
                seen.add(error.code().name)
    # Of nginx's second try the replica gets the end of the message, or waits for the message.
    assert "OK" in seen
    assert seen <= {"OK", "UNAVAILABLE", "DEADLINE_EXCEEDED"}
