"""POST /predict, from the request's bytes to the answer's, around an engine that sees colors."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.types import Message

from model_builder.artifact.head import Head
from model_builder.errors import BuilderError
from service.inference.model import Model
from tests.service.conftest import MODEL_NAME, MakeModel, Serve, Service, TestClient
from tests.service.fakes import WAIT_SECONDS, eventually
from tests.service.images import COLORS, header_alone, plain

HEX_ID = re.compile(r"[0-9a-f]{32}")
BOUNDARY = "multipart/form-data; boundary=limit"
RED = plain("red")


def named(*images: bytes) -> list[tuple[str, tuple[str, bytes, str]]]:
    """Multipart parts as a browser sends them."""
    return [("file", (f"{index}.png", data, "image/png")) for index, data in enumerate(images)]


def part(disposition: str, content: bytes = RED) -> bytes:
    head = f"--limit\r\nContent-Disposition: form-data; {disposition}\r\n\r\n"
    return head.encode() + content + b"\r\n"


def send_raw(client: TestClient, data: Any, content_type: str = "image/png") -> httpx2.Response:
    response: httpx2.Response = client.post(
        "/predict", content=data, headers={"Content-Type": content_type}
    )
    return response


def assert_problem(response: httpx2.Response, status: int, code: str) -> str:
    """That it is a whole RFC 9457 answer; its `detail`."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    body = response.json()
    assert set(body) == {"type", "title", "status", "code", "detail", "request_id"}
    assert (body["type"], body["status"], body["code"]) == ("about:blank", status, code)
    assert body["title"]
    assert body["request_id"] == response.headers["X-Request-ID"]
    return str(body["detail"])


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """For requests that are under way at the same time."""
    with ThreadPoolExecutor(8) as executor:
        yield executor


@contextlib.contextmanager
def stalled(service: Service, pool: ThreadPoolExecutor) -> Iterator[Future[httpx2.Response]]:
    """A request whose image stays on the device meanwhile."""
    with service.engine.blocked():
        under_way = pool.submit(send_raw, service.client, RED)
        service.engine.wait_until_busy()
        yield under_way
    assert under_way.result().status_code == 200


@pytest.mark.parametrize("color", COLORS)
@pytest.mark.parametrize("how", ["multipart", "raw"])
def test_one_image(service: Service, how: str, color: str) -> None:
    image = plain(color, (64, 48))
    if how == "raw":
        response = send_raw(service.client, image)
    else:
        response = service.client.post("/predict", files=named(image))
    assert response.status_code == 200
    body = response.json()
    assert set(body) == {"request_id", "model", "predictions", "timing_ms"}
    assert body["model"] == {
        "name": MODEL_NAME,
        "checkpoint": MODEL_NAME,
        "precision": "float32",
    }
    best, *others = body["predictions"]
    assert best["label"] == color
    assert best["class_id"] == list(COLORS).index(color)
    assert best["probability"] > 0.9
    assert len(others) == 4
    probabilities = [one["probability"] for one in body["predictions"]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1)


def test_a_class_with_a_wordnet_id_has_it_and_one_without_leaves_it_out(service: Service) -> None:
    by_label = {one["label"]: one for one in send_raw(service.client, RED).json()["predictions"]}
    assert by_label["red"]["wnid"] == "n00000001"
    assert "wnid" not in by_label["white"]


@pytest.mark.parametrize(
    "content_type", ["image/png", "IMAGE/JPEG", "image/png; q=1", "application/octet-stream"]
)
def test_what_a_raw_body_may_call_itself(service: Service, content_type: str) -> None:
    """What it is, its bytes say."""
    assert send_raw(service.client, RED, content_type).status_code == 200


@pytest.mark.parametrize("k", [1, 3, 5])
def test_top_k(service: Service, k: int) -> None:
    body = service.client.post("/predict", params={"top_k": k}, files=named(RED)).json()
    assert len(body["predictions"]) == k
    assert body["predictions"][0]["label"] == "red"


def test_a_model_is_asked_for_by_its_name(service: Service) -> None:
    response = service.client.post("/predict", params={"model": MODEL_NAME}, files=named(RED))
    assert response.json()["model"]["name"] == MODEL_NAME


def test_a_bare_depth_is_not_answered_by_any_model_of_that_depth(service: Service) -> None:
    response = service.client.post("/predict", params={"model": "resnet18"}, files=named(RED))
    assert response.status_code == 404
    assert response.json()["code"] == "model_not_found"


def test_one_of_several_models(start_app: Callable[..., TestClient], make_model: MakeModel) -> None:
    ready = threading.Event()
    client = start_app(make_model, models="resnet18.other", on_ready=ready.set)
    assert ready.wait(WAIT_SECONDS)
    for asked, answers in (
        ({}, MODEL_NAME),
        ({"model": "resnet18.other"}, "resnet18.other"),
    ):
        body = client.post("/predict", params=asked, files=named(RED)).json()
        assert body["model"]["name"] == answers
        assert body["predictions"][0]["label"] == "red"


def test_several_images_are_answered_in_order(service: Service) -> None:
    colors = [*COLORS, "red", "blue"]
    response = service.client.post("/predict", files=named(*map(plain, colors)))
    assert response.status_code == 200
    body = response.json()
    assert set(body) == {"request_id", "model", "results", "timing_ms"}
    assert [result["predictions"][0]["label"] for result in body["results"]] == colors
    assert all(set(result) == {"predictions"} for result in body["results"])


def test_of_several_images_a_bad_one_fails_alone(service: Service) -> None:
    images = [
        plain("green"),
        b"%PDF-1.7",
        plain("blue"),
        RED[:60],
        header_alone("PNG", 60_000, 60_000),
        plain("white"),
    ]
    response = service.client.post("/predict", files=named(*images))
    assert response.status_code == 200
    results = response.json()["results"]
    found = [
        result["predictions"][0]["label"] if "predictions" in result else result["error"]["code"]
        for result in results
    ]
    assert found == [
        "green",
        "unsupported_media_type",
        "blue",
        "invalid_image",
        "image_too_large",
        "white",
    ]
    assert [result["error"]["status"] for result in results if "error" in result] == [415, 422, 413]
    assert results[1]["error"]["request_id"] == response.headers["X-Request-ID"]
    assert results[1]["error"]["detail"].endswith("Received: PDF")
    assert sum(service.engine.batches) >= 3


def test_images_sent_together_share_a_batch(service: Service, pool: ThreadPoolExecutor) -> None:
    with stalled(service, pool):
        files = named(*[plain("blue")] * 3)
        together = pool.submit(service.client.post, "/predict", files=files)
        eventually(lambda: service.model.queue_depth == 3)
    assert together.result().status_code == 200
    assert service.engine.batches == [1, 4]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"topk": "3"}, "overlay. Received: 'topk'. Did you mean 'top_k'?"),
        ({"x": "1"}, "normalized, encoding_format, overlay. Received: 'x'."),
        ({"Model": MODEL_NAME}, "Received: 'Model'. Did you mean 'model'?"),
    ],
)
def test_an_unknown_query_parameter_is_refused_with_the_nearest(
    service: Service, given: dict[str, str], says: str
) -> None:
    response = service.client.post("/predict", params=given, files=named(RED))
    assert assert_problem(response, 422, "invalid_parameter").endswith(says)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"top_k": "3"}, "Received: 'top_k'. Parameters belong in the query."),
        ({"fil": "x"}, "parts named 'file' only. Received: 'fil'. Did you mean 'file'?"),
        ({"comment": "my cat"}, "A form has parts named 'file' only. Received: 'comment'."),
    ],
)
def test_a_form_field_that_would_be_ignored_is_refused(
    service: Service, fields: dict[str, str], says: str
) -> None:
    response = service.client.post("/predict", files=named(RED), data=fields)
    assert assert_problem(response, 422, "invalid_parameter").endswith(says)


def test_a_slash_at_the_end_is_named_in_the_refusal(service: Service) -> None:
    response = service.client.post("/predict/", files=named(RED))
    detail = assert_problem(response, 404, "not_found")
    assert detail.endswith("Did you mean /predict, without the slash at the end?")


def test_a_model_with_fewer_than_five_classes_needs_no_top_k(
    start_app: Callable[..., TestClient], make_model: MakeModel
) -> None:
    def load(name: str) -> Model:
        model = make_model(name)
        whole = model.artifact
        head = Head(whole.head.kernel[:, :3], whole.head.bias[:3])
        model.artifact = replace(whole, labels=whole.labels[:3], head=head)
        # Its workers were made with the head of five classes.
        model._batcher._workers[0].run = model._batch_fn(model.engines[0].run)
        return model

    ready = threading.Event()
    client = start_app(load, on_ready=ready.set)
    assert ready.wait(WAIT_SECONDS)
    answer = send_raw(client, RED).json()
    assert [one["label"] for one in answer["predictions"]] == ["red", "green", "blue"]
    refused = client.post("/predict", params={"top_k": 4}, files=named(RED))
    assert refused.status_code == 422


def test_probabilities_have_six_decimals(service: Service) -> None:
    response = send_raw(service.client, RED)
    for one in response.json()["predictions"]:
        assert one["probability"] == round(one["probability"], 6)
    assert response.json()["predictions"][0]["probability"] > 0.9


def test_where_the_time_went(service: Service) -> None:
    response = send_raw(service.client, RED)
    header = response.headers["Server-Timing"]
    parts = dict(re.findall(r"(\w+);dur=([0-9.]+)", header))
    assert list(parts) == ["decode", "queue", "inference", "total"]
    assert header == ", ".join(f"{name};dur={value}" for name, value in parts.items())
    timing = response.json()["timing_ms"]
    assert {name: float(value) for name, value in parts.items()} == timing
    assert timing["total"] >= timing["inference"]


@pytest.mark.parametrize("given_id", ["abc-123", "A.b:c_D", "x" * 128])
def test_a_request_keeps_the_id_that_it_came_with(service: Service, given_id: str) -> None:
    headers = {"X-Request-ID": given_id, "Content-Type": "image/png"}
    response = service.client.post("/predict", content=RED, headers=headers)
    assert response.headers["X-Request-ID"] == given_id
    assert response.json()["request_id"] == given_id


@pytest.mark.parametrize("given_id", ["", "two words", "x" * 129, 'a"b', "a\tb", "<script>", "é"])
def test_a_strange_id_is_replaced(service: Service, given_id: str) -> None:
    headers = {b"X-Request-ID": given_id.encode("latin-1"), b"Content-Type": b"image/png"}
    response = service.client.post("/predict", content=RED, headers=headers)
    assert HEX_ID.fullmatch(response.headers["X-Request-ID"])
    assert response.json()["request_id"] == response.headers["X-Request-ID"]


def test_every_request_gets_an_id_of_its_own(service: Service) -> None:
    ids = {send_raw(service.client, RED).headers["X-Request-ID"] for _ in range(3)}
    assert len(ids) == 3


@pytest.mark.parametrize(
    ("body", "content_type", "says"),
    [
        (b"", "image/png", "The body is empty"),
        (b"", BOUNDARY, "no part at all"),
        (b"no boundary in here", BOUNDARY, "no part at all"),
        (
            part('name="file"; filename="a.png"'),
            "multipart/form-data",
            "boundary of 1 to 256",
        ),
        (
            b"--limit\r\nContent-Type: image/png\r\n\r\nx\r\n--limit--",
            BOUNDARY,
            "Content-Disposition",
        ),
        (part('name="file"; filename="a.png"'), BOUNDARY, "breaks off"),
        (part('name="photo"; filename="a.png"') + b"--limit--", BOUNDARY, "'photo'"),
        (part('name="file"') + b"--limit--", BOUNDARY, "it has no file name"),
        (part('name="a"', b"x" * 70_000) + b"--limit--", BOUNDARY, "may have 65536 bytes"),
        (b"".join([part('name="a"', b"x")] * 17) + b"--limit--", BOUNDARY, "16 fields"),
    ],
    ids=[
        "empty",
        "empty multipart",
        "not multipart",
        "no boundary named",
        "part without a name",
        "cut off",
        "another name",
        "field without a file name",
        "huge field",
        "too many fields",
    ],
)
def test_a_malformed_body(service: Service, body: bytes, content_type: str, says: str) -> None:
    response = send_raw(service.client, body, content_type)
    detail = assert_problem(response, 400, "malformed_request")
    assert says in detail
    assert "part named 'file'" in detail


def test_too_many_images(serve: Serve) -> None:
    client = serve(max_files=3).client
    assert client.post("/predict", files=named(*[RED] * 3)).status_code == 200
    detail = assert_problem(
        client.post("/predict", files=named(*[RED] * 4)), 400, "malformed_request"
    )
    assert "may have 3 files" in detail


@given(
    pieces=st.lists(
        st.one_of(
            st.sampled_from(
                [
                    b"--limit",
                    b"--limit--",
                    b"\r\n",
                    b"Content-Disposition: form-data; ",
                    b'name="file"; ',
                    b'filename="a.png"',
                    b"filename*=utf-8''%ff",
                    b"Content-Type: image/png",
                    b":",
                    RED,
                ]
            ),
            st.binary(max_size=8),
        ),
        max_size=14,
    ),
    parameters=st.sampled_from(["; boundary=limit", "; boundary=", "; boundary=limit; charset=x"]),
)
@settings(
    deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_multipart_body_is_too_strange(
    service: Service, pieces: list[bytes], parameters: str
) -> None:
    response = send_raw(service.client, b"".join(pieces), f"multipart/form-data{parameters}")
    assert response.status_code in (200, 400, 415, 422)


@pytest.mark.parametrize("name", ["resnet50", "resnet18.other", "colors"])
def test_an_unknown_model(service: Service, name: str) -> None:
    response = service.client.post("/predict", params={"model": name}, files=named(RED))
    detail = assert_problem(response, 404, "model_not_found")
    assert repr(name) in detail
    assert MODEL_NAME in detail


def test_an_empty_model_is_refused_in_words(service: Service) -> None:
    response = service.client.post("/predict", params={"model": ""}, files=named(RED))
    assert "model: String should have at least 1" in assert_problem(
        response, 422, "invalid_parameter"
    )


def test_a_body_that_says_it_is_too_long_is_refused_unread(serve: Serve) -> None:
    client = serve(max_body_bytes=1000).client
    for body in (b"x" * 1001, b"x" * 5000):
        detail = assert_problem(send_raw(client, body), 413, "payload_too_large")
        assert detail == f"A body may have 1000 bytes. Received: at least {len(body)}"
    response = client.post("/predict", files=named(b"x" * 1000))
    assert_problem(response, 413, "payload_too_large")


@pytest.mark.parametrize("content_type", ["image/png", BOUNDARY])
def test_a_body_of_unknown_length_is_counted(serve: Serve, content_type: str) -> None:
    client = serve(max_body_bytes=1000).client

    def chunks() -> Iterator[bytes]:
        yield part('name="file"; filename="a.png"', b"")
        for _ in range(11):
            yield b"x" * 100

    response = send_raw(client, chunks(), content_type)
    assert "Content-Length" not in response.request.headers
    assert_problem(response, 413, "payload_too_large")


def test_a_body_as_long_as_allowed(serve: Serve) -> None:
    client = serve(max_body_bytes=len(RED)).client
    assert send_raw(client, RED).status_code == 200


def test_a_length_that_is_no_number_is_counted_all_the_same(serve: Serve) -> None:
    """A superscript two, which Python counts among the digits. No client library would send it."""
    app, statuses = serve(max_body_bytes=1000).app, []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"x" * 1001, "more_body": False}

    async def send(message: Message) -> None:
        statuses.append(message.get("status"))

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/predict",
        "query_string": b"",
        "headers": [(b"content-type", b"image/png"), (b"content-length", b"\xb2")],
    }
    asyncio.run(app(scope, receive, send))
    assert statuses[0] == 413


def test_too_many_pixels(serve: Serve) -> None:
    client = serve(max_image_pixels=1599).client
    detail = assert_problem(send_raw(client, RED), 413, "image_too_large")
    assert detail == "An image may have 1599 pixels. Received: 40 x 40 = 1600"


@pytest.mark.parametrize(
    ("content_type", "says"),
    [
        ("application/xml", "Content-Type 'application/xml'"),
        ("text/plain; charset=utf-8", "Content-Type 'text/plain'"),
        (
            "application/x-www-form-urlencoded",
            "Content-Type 'application/x-www-form-urlencoded'",
        ),
        ("", "no Content-Type"),
    ],
)
def test_a_body_that_is_no_image_by_its_own_word(
    service: Service, content_type: str, says: str
) -> None:
    detail = assert_problem(
        send_raw(service.client, RED, content_type), 415, "unsupported_media_type"
    )
    assert detail.endswith(f"Received: {says}")


def test_a_format_that_is_not_served(service: Service) -> None:
    response = service.client.post("/predict", files=named(b"%PDF-1.7\n"))
    detail = assert_problem(response, 415, "unsupported_media_type")
    assert detail.endswith("Received: PDF")


def test_an_image_that_can_not_be_decoded(service: Service) -> None:
    assert_problem(send_raw(service.client, RED[:60]), 422, "invalid_image")


@pytest.mark.parametrize("top_k", ["0", "-1", "6", "1000000", "abc", "1.5", ""])
def test_a_top_k_that_can_not_be(service: Service, top_k: str) -> None:
    response = service.client.post("/predict", params={"top_k": top_k}, files=named(RED))
    detail = assert_problem(response, 422, "invalid_parameter")
    assert "top_k" in detail
    assert "Received:" in detail
    assert service.engine.batches == []


def test_a_top_k_that_can_not_be_is_wrong_for_the_whole_request(service: Service) -> None:
    response = service.client.post("/predict", params={"top_k": 6}, files=named(RED, RED))
    detail = assert_problem(response, 422, "invalid_parameter")
    assert detail == f"top_k must be 1 to 5 for {MODEL_NAME}. Received: 6"


def test_while_it_loads(start_app: Callable[..., TestClient]) -> None:
    go_on = threading.Event()

    def load(_: str) -> Model:
        go_on.wait(WAIT_SECONDS)
        raise BuilderError("the test is over")

    client = start_app(load)
    try:
        response = send_raw(client, RED)
        assert "still loading" in assert_problem(response, 503, "model_not_ready")
        assert response.headers["Retry-After"] == "5"
    finally:
        go_on.set()


def test_a_full_queue(serve: Serve, pool: ThreadPoolExecutor) -> None:
    service = serve(queue_limit=1)
    with stalled(service, pool):
        waiting = pool.submit(send_raw, service.client, RED)
        eventually(lambda: service.model.queue_depth == 1)
        response = send_raw(service.client, RED)
        detail = assert_problem(response, 503, "queue_full")
        assert "Nothing was decoded" in detail
        assert response.headers["Retry-After"] == "1"
    assert waiting.result().status_code == 200
    assert send_raw(service.client, RED).status_code == 200


def test_several_images_that_do_not_all_fit_are_refused_together(
    serve: Serve, pool: ThreadPoolExecutor
) -> None:
    service = serve(queue_limit=3)
    with stalled(service, pool):
        waiting = pool.submit(send_raw, service.client, RED)
        eventually(lambda: service.model.queue_depth == 1)
        response = service.client.post("/predict", files=named(*[RED] * 3))
        assert_problem(response, 503, "queue_full")
        assert response.headers["Retry-After"] == "1"
    assert waiting.result().status_code == 200
    assert service.client.post("/predict", files=named(*[RED] * 3)).status_code == 200
    assert service.sample("resnet_images_total", model=MODEL_NAME, result="ok") == 5


def test_more_images_than_may_ever_wait_are_no_matter_of_trying_again(serve: Serve) -> None:
    service = serve(queue_limit=2)
    response = service.client.post("/predict", files=named(*[RED] * 3))
    detail = assert_problem(response, 413, "too_many_images")
    assert detail == ("A request may have 2 images: no more of one client may wait. Received: 3")
    assert "Retry-After" not in response.headers
    assert service.engine.batches == []


def test_what_would_be_late_is_refused_when_it_arrives(
    serve: Serve, pool: ThreadPoolExecutor
) -> None:
    service = serve(queue_wait_limit_seconds=1000)
    latency = service.model._batcher.latency
    for _ in range(40):
        latency.observe(1, 100)
    headers = {"Content-Type": "image/png", "X-Request-Timeout-Ms": "2000"}
    with stalled(service, pool):
        response = service.client.post("/predict", content=b"no image", headers=headers)
    assert "the request has" in assert_problem(response, 503, "overloaded")
    assert 150 <= int(response.headers["Retry-After"]) <= 300
    assert service.sample("resnet_rejections_total", reason="overloaded") == 1
    assert service.sample("resnet_decode_seconds_count") == 1


@pytest.mark.parametrize("timeout", ["0", "-1", "soon", "inf", "nan"])
def test_a_deadline_that_is_none(service: Service, timeout: str) -> None:
    headers = {"Content-Type": "image/png", "X-Request-Timeout-Ms": timeout}
    response = service.client.post("/predict", content=RED, headers=headers)
    detail = assert_problem(response, 422, "invalid_parameter")
    assert f"Received: {timeout!r}" in detail


def test_the_clients_deadline_holds_where_it_is_the_sooner(
    serve: Serve, pool: ThreadPoolExecutor
) -> None:
    service = serve()
    headers = {"Content-Type": "image/png", "X-Request-Timeout-Ms": "300"}
    with stalled(service, pool):
        response = service.client.post("/predict", content=RED, headers=headers)
    assert_problem(response, 504, "deadline_exceeded")


def test_past_the_deadline(serve: Serve, pool: ThreadPoolExecutor) -> None:
    # Long enough for a decoder to start within it, on a machine that has other work.
    service = serve(request_timeout_seconds=4)
    assert send_raw(service.client, RED).status_code == 200
    with service.engine.blocked():
        under_way = pool.submit(send_raw, service.client, RED)
        service.engine.wait_until_busy()
        waiting = send_raw(service.client, RED)
        assert_problem(waiting, 504, "deadline_exceeded")
        assert_problem(under_way.result(), 504, "deadline_exceeded")
    service.model.close(10)
    assert service.engine.batches == [1, 1]
    assert service.sample("resnet_rejections_total", reason="deadline_exceeded") == 2
    assert service.sample("resnet_rejections_total", reason="cancelled") == 0
    assert service.sample("resnet_images_total", model=MODEL_NAME, result="dropped") == 1


def test_a_failing_engine_is_told_to_the_log_alone(
    service: Service, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    service.engine.failure = RuntimeError("secret: out of memory at 0x1234")
    headers = {"X-Request-ID": "the-failing-one", "Content-Type": "image/png"}
    response = service.client.post("/predict", content=RED, headers=headers)
    detail = assert_problem(response, 500, "inference_failed")
    assert detail == "Inference failed."
    (line,) = [
        line
        for line in log_lines()
        if line["request_id"] == "the-failing-one" and line["level"] == "ERROR"
    ]
    assert "RuntimeError: secret: out of memory at 0x1234" in line["exc_info"]
    service.engine.failure = None
    assert send_raw(service.client, RED).status_code == 200


def test_too_few_outputs_are_an_internal_error(service: Service) -> None:
    service.engine.missing = 1
    assert_problem(send_raw(service.client, RED), 500, "inference_failed")


def test_a_bug_in_the_service_is_an_opaque_problem_too(
    service: Service, log_lines: Callable[[], list[dict[str, Any]]]
) -> None:
    def broken() -> None:
        raise KeyError("secret")

    service.app.add_api_route("/broken", broken)
    detail = assert_problem(service.client.get("/broken"), 500, "internal_error")
    assert "secret" not in detail
    (line,) = [line for line in log_lines() if line["level"] == "ERROR"]
    assert "KeyError: 'secret'" in line["exc_info"]


def test_a_worker_that_dies_costs_its_batch_and_can_be_asked_again(service: Service) -> None:
    service.engine.failure = SystemExit()
    response = send_raw(service.client, RED)
    assert_problem(response, 503, "worker_lost")
    assert response.headers["Retry-After"] == "1"
    service.engine.failure = None
    assert send_raw(service.client, RED).status_code == 200
    assert service.client.get("/health/ready").status_code == 200


def test_while_it_shuts_down(service: Service) -> None:
    service.model.close(10)
    response = send_raw(service.client, RED)
    assert_problem(response, 503, "shutting_down")
    assert response.headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/predict", 405, "method_not_allowed"),
        ("POST", "/models", 405, "method_not_allowed"),
        ("GET", "/nowhere", 404, "not_found"),
    ],
)
def test_the_routers_own_errors_are_problems(
    service: Service, method: str, path: str, status: int, code: str
) -> None:
    detail = assert_problem(service.client.request(method, path), status, code)
    assert detail.startswith(f"{method} {path}: ")
