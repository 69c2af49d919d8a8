"""What protects inference over HTTP holds over gRPC, by the same objects."""

from __future__ import annotations

import gc
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from service.auth.api_keys import hash_of
from service.batching.batcher import Batcher
from service.errors import ServiceError
from service.grpc.call import Call
from service.grpc.protos import inference_pb2 as v2
from service.inference.service import InferenceService
from tests.service.conftest import MODEL_NAME, Serve, Service
from tests.service.fakes import WAIT_SECONDS, FakeEngine, eventually
from tests.service.grpc.client import (
    INFER,
    PREDICTION,
    V2,
    Client,
    client_of,
    floats,
    infer_request,
    pixel_request,
    predict_request,
)
from tests.service.images import plain

RED = plain("red")
PREDICT = f"{PREDICTION}/Predict"


def used_bytes(service: Service) -> int:
    used: int = service.app.state.runtime.service.budget.used_bytes
    return used


def ended(service: Service, method: str, status: str) -> float:
    return service.sample("resnet_grpc_requests_total", method=method, status=status)


def rejected(service: Service, reason: str) -> float:
    return service.sample("resnet_rejections_total", reason=reason)


@pytest.fixture
def keyed(serve: Serve, tmp_path: Path) -> Service:
    keys = tmp_path / "keys"
    keys.write_text(f"{hash_of('good')} alice\n{hash_of('old')} bob off\n")
    return serve(grpc_port=0, api_keys_file=keys, rate_limit_per_second=0.001, rate_limit_burst=3)


@pytest.mark.parametrize("method", [INFER, PREDICT])
def test_a_key_is_needed(keyed: Service, method: str) -> None:
    request: Any = infer_request(RED) if method == INFER else predict_request(RED)
    with client_of(keyed) as client:
        assert client.refusal(method, request)[0] == "UNAUTHENTICATED"
    with client_of(keyed, x_api_key="bad") as client:
        assert client.refusal(method, request)[0] == "UNAUTHENTICATED"
    with client_of(keyed, x_api_key="old") as client:
        assert client.refusal(method, request)[0] == "PERMISSION_DENIED"
    with client_of(keyed, authorization="Bearer good") as client:
        assert client.call(method, request)


def test_a_rate_is_shared_with_http(keyed: Service) -> None:
    files = {"file": ("red.png", RED, "image/png")}
    answer = keyed.client.post("/predict", files=files, headers={"X-API-Key": "good"})
    assert answer.status_code == 200
    with client_of(keyed, x_api_key="good") as client:
        client.call(INFER, infer_request(RED, RED))
        code, text = client.refusal(INFER, infer_request(RED))
        assert code == "RESOURCE_EXHAUSTED"
        assert "alice has sent too many requests" in text
        assert int(client.trailers["grpc-retry-pushback-ms"]) > 1000
        assert int(client.trailers["retry-after"]) > 1
    again = keyed.client.post("/predict", files=files, headers={"X-API-Key": "good"})
    assert again.status_code == 429
    assert rejected(keyed, "rate_limited") == 2


def test_a_stream_is_refused_where_a_call_is(keyed: Service) -> None:
    with client_of(keyed) as client, pytest.raises(grpc.RpcError) as raised:
        list(client.stream([infer_request(RED)]))
    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
    with client_of(keyed, x_api_key="good") as client:
        answers = list(client.stream([infer_request(RED)] * 4))
    errors = [one.error_message for one in answers]
    assert errors[:3] == [""] * 3
    assert "too many requests" in errors[3]


@pytest.mark.parametrize("method", [INFER, PREDICT])
def test_an_overload_refuses_before_a_message_arrives(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    service = serve(FakeEngine(), grpc_port=0, queue_wait_limit_seconds=50)
    monkeypatch.setattr(Batcher, "seconds_until", lambda *_, **__: 100.0)
    received = []
    monkeypatch.setattr(Call, "receive", lambda self: received.append(self))
    request: Any = infer_request(RED) if method == INFER else predict_request(RED)
    with client_of(service) as client:
        code, text = client.refusal(method, request)
        assert code == "UNAVAILABLE"
        assert "wait" in text
        assert client.trailers["retry-after"] == "50"
        assert client.trailers["grpc-retry-pushback-ms"] == "50000"
    assert not received
    assert ended(service, method, "UNAVAILABLE") == 1


def test_a_message_that_is_too_large_is_not_received(serve: Serve) -> None:
    service = serve(grpc_port=0, max_body_bytes=10_000)
    with client_of(service) as client:
        code, text = client.refusal(INFER, infer_request(bytes(20_000)))
        assert code == "RESOURCE_EXHAUSTED"
        assert "larger than max" in text
        zipped = client.channel.unary_unary(f"/{INFER}")
        bomb = infer_request(bytes(50_000_000)).SerializeToString()
        with pytest.raises(grpc.RpcError) as raised:
            zipped(bomb, compression=grpc.Compression.Gzip, timeout=WAIT_SECONDS)
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert floats(client.call(INFER, infer_request(RED))).argmax() == 0


def test_messages_count_in_the_byte_budget_until_they_are_decoded(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serve(grpc_port=0)
    held: list[int] = []
    infer = InferenceService.infer

    async def noted(self: InferenceService, request: Any) -> Any:
        held.append(self.budget.used_bytes)
        return await infer(self, request)

    monkeypatch.setattr(InferenceService, "infer", noted)
    with client_of(service) as client, service.engine.blocked(), ThreadPoolExecutor(1) as pool:
        sent = infer_request(RED)
        answer = pool.submit(client.call, INFER, sent)
        service.engine.wait_until_busy()
        assert held == [sent.ByteSize()]
        # Decoded: the queue holds the pixels now, and nobody the message.
        pixels = 32 * 32 * 3
        eventually(lambda: used_bytes(service) <= pixels)
        service.engine.release()
        assert floats(answer.result()).argmax() == 0
    eventually(lambda: used_bytes(service) == 0)


def test_a_refused_message_does_not_wait_for_the_garbage_collector(client: Client) -> None:
    """A cycle of an error and a frame that has the message would keep its bytes."""
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        client.refusal(INFER, infer_request(RED, name="nope"))
        client.refusal(INFER, infer_request(b"nonsense"))
        client.refusal(PREDICT, predict_request(b"nonsense"))
        list(client.stream([infer_request(b"nonsense")]))
        gc.collect()
        kept = [one for one in gc.garbage if isinstance(one, ServiceError)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    assert not kept


def test_the_byte_budget_refuses(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    service = serve(grpc_port=0)
    budget = service.app.state.runtime.service.budget
    monkeypatch.setattr(budget._limit, "limit", 100)
    with client_of(service) as client:
        code, text = client.refusal(INFER, infer_request(RED))
    assert (code, rejected(service, "memory_full")) == ("UNAVAILABLE", 1)
    assert "room for" in text


@pytest.mark.parametrize("how", ["cancel", "deadline"])
def test_a_call_that_ends_takes_its_work_out_of_the_queue(serve: Serve, how: str) -> None:
    service = serve(grpc_port=0)
    with client_of(service) as client, service.engine.blocked():
        call = client.channel.unary_unary(f"/{INFER}")
        first = call.future(infer_request(RED).SerializeToString(), timeout=WAIT_SECONDS)
        service.engine.wait_until_busy()
        # Long enough for a busy machine to queue it before.
        timeout = 3.0 if how == "deadline" else WAIT_SECONDS
        second = call.future(infer_request(RED, RED).SerializeToString(), timeout=timeout)
        eventually(lambda: service.model.queue_depth == 2)
        if how == "cancel":
            second.cancel()
        eventually(lambda: service.model.queue_depth == 0)
        status = "CANCELLED" if how == "cancel" else "DEADLINE_EXCEEDED"
        eventually(lambda: ended(service, INFER, status) == 1)
        service.engine.release()
        assert first.result(WAIT_SECONDS)
    assert service.engine.batches == [1]
    eventually(lambda: used_bytes(service) == 0)


def test_a_message_that_does_not_arrive_is_given_up(serve: Serve) -> None:
    service = serve(grpc_port=0, request_timeout_seconds=0.2)
    with client_of(service) as client:

        def nothing() -> Any:
            time.sleep(WAIT_SECONDS)
            yield b""

        call = client.channel.stream_unary(f"/{INFER}").future(iter([]))
        assert call.code() is grpc.StatusCode.INVALID_ARGUMENT
        slow = client.channel.stream_unary(f"/{INFER}").future(nothing())
        assert slow.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "did not arrive within 0.2 s" in slow.details()
    assert rejected(service, "upload_timeout") == 1


def test_a_client_has_its_share_of_open_calls(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.grpc.server.MAX_CALLS", 4)
    service = serve(grpc_port=0)
    with client_of(service) as client, service.engine.blocked():
        call = client.channel.unary_unary(f"/{INFER}")
        sent = infer_request(RED).SerializeToString()
        open_calls = [call.future(sent, timeout=WAIT_SECONDS) for _ in range(5)]
        eventually(lambda: any(one.done() for one in open_calls))
        (refused,) = [one for one in open_calls if one.done()]
        assert refused.code() is grpc.StatusCode.UNAVAILABLE
        assert client.call(f"{V2}/ServerLive", v2.ServerLiveRequest()).live
        service.engine.release()
        assert all(one.result(WAIT_SECONDS) for one in open_calls if one is not refused)


def test_a_trusted_proxy_says_who_asks(serve: Serve) -> None:
    service = serve(
        grpc_port=0, trusted_proxies="127.0.0.1", rate_limit_per_second=0.001, rate_limit_burst=1
    )
    for address in ("10.0.0.1", "10.0.0.2"):
        with client_of(service, x_forwarded_for=f"9.9.9.9, {address}") as client:
            assert client.call(INFER, infer_request(RED))
            assert f"{address} has sent" in client.refusal(INFER, infer_request(RED))[1]


def test_the_log_and_the_metrics_have_each_call(service: Service, log_lines: Any) -> None:
    with client_of(service, x_request_id="mine-2") as client:
        client.call(INFER, infer_request(RED))
        client.refusal(INFER, infer_request(b"nonsense"))
    assert ended(service, INFER, "OK") == 1
    assert ended(service, INFER, "INVALID_ARGUMENT") == 1
    assert service.sample("resnet_grpc_request_duration_seconds_count", method=INFER) == 2
    lines = [one for one in log_lines() if one["request_id"] == "mine-2"]
    assert [one["grpc_status"] for one in lines] == ["OK", "INVALID_ARGUMENT"]
    assert lines[0]["message"] == f"{INFER} OK"
    assert (lines[0]["model"], lines[0]["images"]) == (MODEL_NAME, 1)
    assert lines[0]["timing_ms"]["total"] > 0
    assert lines[1]["code"] == "unsupported_media_type"


def test_an_error_that_nothing_expects_says_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch, log_lines: Any
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(InferenceService, "infer", broken)
    code, text = client.refusal(INFER, infer_request(RED))
    assert code == "INTERNAL"
    assert "secret" not in text
    assert any("/secret/path" in str(one) for one in log_lines())


def test_pixels_are_released_once_they_are_in_a_batch(service: Service, client: Client) -> None:
    client.call(INFER, pixel_request(3))
    eventually(lambda: used_bytes(service) == 0)


def test_connections_are_limited(serve: Serve) -> None:
    """By gRPC itself: a quarter of all."""
    service = serve(grpc_port=0, max_connections=8)
    asked = v2.ServerLiveRequest()
    with client_of(service) as first, client_of(service) as second:
        assert first.call(f"{V2}/ServerLive", asked).live
        assert second.call(f"{V2}/ServerLive", asked).live
        with client_of(service) as third:
            assert third.refusal(f"{V2}/ServerLive", asked, timeout=3)[0] == "UNAVAILABLE"
        assert first.call(f"{V2}/ServerLive", asked).live
