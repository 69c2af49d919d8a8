"""gRPC through a real nginx, in plain text and with TLS, by the project's own rules."""

from __future__ import annotations

import contextlib
import socket
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx2
import pytest

from service.grpc.protos import health_pb2 as health
from tests.nginx import NGINX, NGINX_CONF, Nginx, free_port
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


class Front:
    """Ports of an nginx in front of a service: of gRPC and of TLS. cert: of the latter."""

    def __init__(self, folder: Path, service: Service, http_port: int) -> None:
        self.port, self.tls_port = free_port(), free_port()
        self.cert, key = make_certificate(folder)
        rules = folder / "resnet.d"
        rules.mkdir()
        changed = {
            "server resnet:8001": f"server 127.0.0.1:{service.app.state.grpc_port}",
            "listen 8001 ": f"listen 127.0.0.1:{self.port} ",
            "listen 8443 ": f"listen 127.0.0.1:{self.tls_port} ",
            "/etc/nginx/tls/tls.crt": str(self.cert),
            "/etc/nginx/tls/tls.key": str(key),
        }
        for source in (NGINX_CONF.parent / "nginx.d").iterdir():
            text = source.read_text()
            for old, new in changed.items():
                text = text.replace(old, new)
            (rules / source.name.removesuffix(".example")).write_text(text)
        self._nginx = Nginx(folder, free_port(), [http_port])

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        try:
            eventually(self._is_up)
            yield
        finally:
            self._nginx.stop()

    def _is_up(self) -> bool:
        assert self._nginx.process.poll() is None, self._nginx.log.read_text()
        with contextlib.suppress(ConnectionError):
            socket.create_connection(("127.0.0.1", self.tls_port), WAIT_SECONDS).close()
            return True
        return False


@contextlib.contextmanager
def in_front_of(service: Service) -> Iterator[Front]:
    # In a folder that nginx's user may read; pytest's are not.
    with (
        tempfile.TemporaryDirectory(prefix="nginx-") as folder,
        listening(service.app) as http_port,
    ):
        front = Front(Path(folder), service, http_port)
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
