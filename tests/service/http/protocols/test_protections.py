"""What protects POST /predict holds on every path of inference, in its protocol's form."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2
import pytest

from service.auth.address import UNKNOWN
from service.auth.api_keys import hash_of
from service.batching.admission import Admission
from service.batching.batcher import Batcher
from service.errors import QueueFull
from service.http.headers import REQUEST_TIMEOUT_MS
from service.http.middleware.load_shedding import LoadSheddingMiddleware
from service.http.paths import EMBEDDINGS, inference_target
from service.inference.request import InferenceRequest, InferenceResult
from service.inference.service import InferenceService
from tests.nginx import NGINX
from tests.service.behind_nginx import behind_nginx
from tests.service.conftest import MODEL_NAME, MakeModel, Serve, Service, TestClient, listening
from tests.service.fakes import WAIT_SECONDS, FakeEngine, eventually
from tests.service.http.protocols.v2 import error_of
from tests.service.images import plain

RED = plain("red")
B64 = {"b64": base64.b64encode(RED).decode()}


def v2_body(count: int = 1) -> Any:
    images = [B64["b64"]] * count
    tensor = {"name": "image", "shape": [count], "datatype": "BYTES", "data": images}
    return {"inputs": [tensor]}


def predict_body(count: int = 1) -> Any:
    return {"instances": [B64] * count}


def classify_body(count: int = 1) -> Any:
    return {"examples": [{"image": B64}] * count}


def embeddings_body(count: int = 1) -> Any:
    return {"model": MODEL_NAME, "input": [B64["b64"]] * count}


V2, V1 = "/v2/models/{name}", "/v1/models/{name}"
# Each route of inference with how its body is made.
BODIES: dict[str, Callable[[int], Any]] = {
    f"{V2}/infer": v2_body,
    f"{V2}/versions/{{version}}/infer": v2_body,
    f"{V1}:predict": predict_body,
    f"{V1}/versions/{{version}}:predict": predict_body,
    f"{V1}/labels/{{label}}:predict": predict_body,
    f"{V1}:classify": classify_body,
    f"{V1}/versions/{{version}}:classify": classify_body,
    f"{V1}/labels/{{label}}:classify": classify_body,
    EMBEDDINGS: embeddings_body,
}
each_route = pytest.mark.parametrize("route", BODIES)


def path_of(route: str, name: str = MODEL_NAME) -> str:
    return route.format(name=name, version="1", label="stable")


def send(
    client: TestClient, route: str, *, count: int = 1, name: str = MODEL_NAME, **headers: str
) -> httpx2.Response:
    body = BODIES[route](count)
    if route == EMBEDDINGS:
        body["model"] = name
    response: httpx2.Response = client.post(
        path_of(route, name),
        content=json.dumps(body),
        headers={key.replace("_", "-"): value for key, value in headers.items()},
    )
    return response


@pytest.fixture
def busy(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> Service:
    """Whose device is a hundred seconds behind."""
    service = serve(FakeEngine(), queue_wait_limit_seconds=50, trusted_proxies="127.0.0.1")
    monkeypatch.setattr(Batcher, "seconds_until", lambda *_, **__: 100.0)
    return service


def counted(service: Service, route: str, status: int) -> float:
    labels = {"route": route, "method": "POST", "status": str(status)}
    return service.sample("resnet_http_requests_total", **labels)


def used_bytes(service: Service) -> int:
    used: int = service.app.state.runtime.service.budget.used_bytes
    return used


@each_route
def test_every_route_of_inference_is_known_to_load_shedding(service: Service, route: str) -> None:
    target = inference_target(path_of(route), b"")
    assert target is not None
    in_body = route == EMBEDDINGS
    assert (target.route, target.in_body) == (route, in_body)
    assert target.model == (None if in_body else MODEL_NAME)
    assert target.version == ("1" if "version" in route else None)
    assert send(service.client, route).status_code == 200
    assert counted(service, route, 200) == 1


def test_no_other_route_takes_images(service: Service) -> None:
    posted = {path for path, methods in service.app.openapi()["paths"].items() if "post" in methods}
    known = {"/predict", "/v2/repository/index", *BODIES}
    assert posted <= known


@each_route
def test_a_refusal_before_the_body_is_read(busy: Service, route: str) -> None:
    """In the protocol's form, the same as the route's own."""
    early = send(busy.client, route, X_Request_ID="mine")
    assert "The wait is about 100.0 s" in error_of(early, 503)
    assert early.headers["Retry-After"] == "50"
    assert early.headers["X-Request-ID"] == "mine"
    assert counted(busy, route, 503) == 1
    assert busy.sample("resnet_rejections_total", reason="overloaded") == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LoadSheddingMiddleware, "_error", lambda *_: None)
        routed = send(busy.client, route, X_Request_ID="mine")
    assert (routed.status_code, routed.content) == (early.status_code, early.content)
    assert {*early.headers.items()} >= {*routed.headers.items()}


@each_route
def test_its_model_is_the_one_that_is_named(
    start_app: Callable[..., TestClient], make_model: MakeModel, route: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    client = start_app(
        make_model, model="resnet18.a", models="resnet18.b", queue_wait_limit_seconds=50
    )
    repository = client.app.state.runtime.repository  # type: ignore[attr-defined]
    eventually(lambda: len(repository.models) == 2)
    second = repository.models[1].admission

    def check(admission: Admission, *_: Any, **__: Any) -> None:
        if admission is second:
            raise QueueFull("the second is full")

    monkeypatch.setattr(Admission, "check", check)
    assert send(client, route, name="resnet18.a").status_code == 200
    assert error_of(send(client, route, name="resnet18.b"), 503) == "the second is full"
    assert send(client, route, name="nope").status_code == 404


@each_route
def test_the_balancer_gets_a_refusal_in_the_protocol_s_form(
    busy: Service, route: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(busy.model), "images_per_second", 0.001)
    # Over a connection of a trusted address.
    with listening(busy.app) as port, httpx2.Client(base_url=f"http://127.0.0.1:{port}") as nginx:
        repeated, said = (send(nginx, route, X_Accel_Refusal="1") for _ in range(2))
    error_of(repeated, 503)
    assert said.headers["X-Accel-Redirect"] == "@refused_tensor"
    assert said.headers["X-Refusal"].encode() == repeated.content


@pytest.mark.skipif(NGINX is None, reason="nginx is not installed")
def test_nginx_sends_it(busy: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(busy.model), "images_per_second", 0.001)
    with behind_nginx(busy.app) as port:
        url = f"http://127.0.0.1:{port}"
        answers = [
            httpx2.post(url + path_of(f"{V2}/infer"), json=v2_body(), timeout=WAIT_SECONDS)
            for _ in range(3)
        ]
    for answer in answers:
        error_of(answer, 503)
        assert answer.headers["Retry-After"] == "50"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(f"{hash_of('alpha')} shop\n{hash_of('beta')} old-shop off\n")
    return path


@each_route
def test_a_key_is_required(serve: Serve, keys: Path, route: str) -> None:
    service = serve(api_keys_file=keys)
    response = send(service.client, route)
    error_of(response, 401)
    assert response.headers["WWW-Authenticate"] == "Bearer"
    error_of(send(service.client, route, X_API_Key="beta"), 403)
    assert send(service.client, route, Authorization="Bearer alpha").status_code == 200
    for path in ("/v2", "/v2/models", "/v1/models", path_of(V2), path_of(V1)):
        error_of(service.client.get(path), 401)
    for path in ("/v2/health/live", "/v2/health/ready"):
        assert service.client.get(path).status_code == 200


@each_route
def test_the_rate_limit_counts_images(serve: Serve, route: str) -> None:
    service = serve(rate_limit_per_second=0.001, rate_limit_burst=5)
    assert send(service.client, route, count=4).status_code == 200
    assert send(service.client, route, count=4).status_code == 200
    response = send(service.client, route)
    error_of(response, 429)
    assert int(response.headers["Retry-After"]) > 1000


@each_route
def test_a_body_that_is_too_large(serve: Serve, route: str) -> None:
    service = serve(max_body_bytes=1000)
    error_of(send(service.client, route, count=20), 413)
    parts = iter([b"x" * 600, b"x" * 600])
    error_of(service.client.post(path_of(route), content=parts), 413)
    assert used_bytes(service) == 0


@each_route
def test_bytes_are_held_and_given_back(service: Service, route: str) -> None:
    pending = service.app.state.runtime.service.budget
    assert send(service.client, route).status_code == 200
    assert pending.used_bytes == 0
    # The test client's address is none.
    with pending.hold(UNKNOWN) as held:
        held.take(pending.room(UNKNOWN) - 100)
        response = send(service.client, route, count=4)
        error_of(response, 503)
        assert response.headers["Retry-After"]
    assert service.sample("resnet_rejections_total", reason="memory_full") == 1
    assert pending.used_bytes == 0


@each_route
def test_the_body_is_given_back_once_its_images_are_decoded(service: Service, route: str) -> None:
    """While they wait for the device only their pixels are held."""
    with service.engine.blocked(), ThreadPoolExecutor() as pool:
        first = pool.submit(send, service.client, route)
        service.engine.wait_until_busy()
        second = pool.submit(send, service.client, route, count=2)
        eventually(lambda: service.model.queue_depth == 2)
        pixels = service.model.artifact.manifest.preprocessing.crop_size**2 * 3
        eventually(lambda: used_bytes(service) == 3 * pixels)
        service.engine.release()
    assert first.result().status_code == second.result().status_code == 200
    assert used_bytes(service) == 0


@each_route
def test_its_images_take_turns_as_those_of_the_key_s_client(
    serve: Serve, keys: Path, route: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serve(api_keys_file=keys)
    asked = []
    infer = InferenceService.infer

    async def noted(self: InferenceService, request: InferenceRequest) -> InferenceResult:
        asked.append((request.client, request.model, request.version))
        return await infer(self, request)

    monkeypatch.setattr(InferenceService, "infer", noted)
    assert send(service.client, route, X_API_Key="alpha").status_code == 200
    assert asked == [("shop", MODEL_NAME, "1" if "version" in route else None)]


@each_route
@pytest.mark.parametrize(("timeout", "status"), [("0.001", 504), ("60000", 200), ("soon", 400)])
def test_the_deadline_of_the_header(
    service: Service, route: str, timeout: str, status: int
) -> None:
    response = send(service.client, route, X_Request_Timeout_Ms=timeout)
    assert response.status_code in ({503, 504} if status == 504 else {status}), response.text


def test_the_sooner_deadline_holds(service: Service) -> None:
    route = f"{V2}/infer"
    body = {**v2_body(), "parameters": {"timeout": 60_000_000}}
    for timeout, status in (("0.001", {503, 504}), ("60000", {200})):
        headers = {REQUEST_TIMEOUT_MS: timeout}
        response = service.client.post(path_of(route), content=json.dumps(body), headers=headers)
        assert response.status_code in status


def raw_request(route: str, body: bytes, length: int | None = None) -> bytes:
    sent = len(body) if length is None else length
    head = f"POST {path_of(route)} HTTP/1.1\r\nHost: test\r\nContent-Length: {sent}\r\n\r\n"
    return head.encode() + body


@pytest.fixture
def port(service: Service) -> Iterator[int]:
    with listening(service.app) as port:
        yield port


@each_route
def test_the_images_of_a_client_that_left_are_never_computed(
    service: Service, port: int, route: str
) -> None:
    body = json.dumps(BODIES[route](2)).encode()
    with closing(socket.create_connection(("127.0.0.1", port), WAIT_SECONDS)) as leaves:
        with service.engine.blocked():
            leaves.sendall(raw_request(route, json.dumps(BODIES[route](1)).encode()))
            service.engine.wait_until_busy()
            with closing(socket.create_connection(("127.0.0.1", port), WAIT_SECONDS)) as second:
                second.sendall(raw_request(route, body))
                eventually(lambda: service.model.queue_depth == 2)
            eventually(lambda: service.sample("resnet_rejections_total", reason="cancelled") == 1)
        assert b"200 OK" in leaves.recv(65536)
    assert service.model.close(WAIT_SECONDS)
    assert service.engine.batches == [1]
    assert counted(service, route, 499) == 1
    eventually(lambda: used_bytes(service) == 0)


@each_route
def test_a_body_that_does_not_arrive(serve: Serve, route: str) -> None:
    service = serve(request_timeout_seconds=0.2)
    with listening(service.app) as port:
        connection = socket.create_connection(("127.0.0.1", port), WAIT_SECONDS)
        with closing(connection):
            connection.sendall(raw_request(route, b"{", 1000))
            assert b"408 " in connection.recv(65536)
    assert used_bytes(service) == 0


@each_route
def test_the_line_of_the_log(
    service: Service, route: str, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    assert send(service.client, route, count=2, X_Request_ID="mine").status_code == 200
    line = log_lines()[-1]
    assert line["message"] == f"POST {route} 200"
    assert (line["request_id"], line["model"], line["images"]) == ("mine", MODEL_NAME, 2)
    assert line["timing_ms"]["total"] > 0
    error_of(service.client.post(path_of(route), content=b"x", headers={"X-Request-ID": "bad"}))
    assert (log_lines()[-1]["request_id"], log_lines()[-1]["code"]) == ("bad", "malformed_request")


@each_route
def test_a_fault_of_the_service_tells_no_cause(serve: Serve, route: str) -> None:
    service = serve()
    service.engine.failure = RuntimeError("/a/path/of/the/operator")
    assert "operator" not in error_of(send(service.client, route), 500)


@each_route
def test_a_served_name_without_dots(serve: Serve, route: str) -> None:
    service = serve(served_name="my-net")
    response = send(service.client, route, name="my-net")
    assert response.status_code == 200
    assert send(service.client, route).content.replace(MODEL_NAME.encode(), b"my-net") == (
        response.content
    )
    assert service.client.get("/v2/models").json() == {"models": ["my-net"]}
    assert service.client.get("/v1/models").json() == {"models": ["my-net"]}
    assert service.client.get("/v2/models/my-net").json()["name"] == "my-net"
    (listed,) = service.client.post("/v2/repository/index").json()
    assert listed["name"] == "my-net"
