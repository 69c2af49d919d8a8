"""gRPC ends with the runtime, and listens where it can or says why not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import grpc
import pytest

from service.grpc.protos import inference_pb2 as v2
from service.http.app import prepare
from service.http.grpc import GrpcUnavailable
from service.http.server import EXIT_NOT_LISTENING
from service.http.server import serve as serve_until_signal
from service.inference.runtime import Runtime
from service.settings import Settings
from tests.service.conftest import Serve
from tests.service.fakes import WAIT_SECONDS, eventually
from tests.service.grpc.client import INFER, client_of, infer_request
from tests.service.images import plain

RED = plain("red")


def test_open_calls_are_finished_and_no_new_one_is_accepted(serve: Serve) -> None:
    service = serve(grpc_port=0)
    runtime: Runtime = service.app.state.runtime
    with client_of(service) as client, service.engine.blocked():
        call = client.channel.unary_unary(f"/{INFER}")
        sent = infer_request(RED).SerializeToString()
        answer = call.future(sent, timeout=WAIT_SECONDS)
        service.engine.wait_until_busy()
        runtime.drain()
        late = call.future(sent, timeout=WAIT_SECONDS)
        eventually(lambda: service.model.queue_depth == 1)
        runtime.begin_stop()

        def refused() -> bool:
            with client_of(service) as other:
                try:
                    other.call(INFER, infer_request(RED), timeout=0.3)
                except grpc.RpcError as error:
                    return bool(error.code() is grpc.StatusCode.UNAVAILABLE)
            return False

        eventually(refused)
        service.engine.release()
        assert answer.result(WAIT_SECONDS)
        assert late.result(WAIT_SECONDS)


def test_what_is_open_beyond_the_shutdown_timeout_is_cut_off(serve: Serve) -> None:
    service = serve(grpc_port=0, shutdown_timeout_seconds=0.3)
    with client_of(service) as client, service.engine.blocked():
        call = client.channel.unary_unary(f"/{INFER}")
        answer = call.future(infer_request(RED).SerializeToString(), timeout=WAIT_SECONDS)
        service.engine.wait_until_busy()
        service.app.state.runtime.begin_stop()
        assert answer.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


def test_a_stream_without_a_request_does_not_keep_the_process(serve: Serve) -> None:
    """What it has sent is answered."""
    service = serve(grpc_port=0)
    with client_of(service) as client:
        go = threading.Event()

        def requests() -> Iterator[v2.ModelInferRequest]:
            yield infer_request(RED)
            go.wait(WAIT_SECONDS)

        answers = client.stream(requests())
        assert not next(answers).error_message
        service.app.state.runtime.begin_stop()
        with pytest.raises(grpc.RpcError) as raised:
            next(answers)
        go.set()
    assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
    assert raised.value.details() == "The service is shutting down."


def test_a_port_in_use_is_an_error(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"Can't listen on 127.0.0.1:{port} for gRPC"):
            serve(grpc_port=port)


def test_a_port_in_use_ends_the_process_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("service.http.app.configure_logging", lambda *_: None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status = serve_until_signal(Settings.of(grpc_port=port, port=0))
    assert status == EXIT_NOT_LISTENING
    assert f"Can't listen on 127.0.0.1:{port}: " in caplog.text


def test_grpc_that_is_not_installed_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def without(_: str) -> None:
        raise ModuleNotFoundError("No module named 'grpc'", name="grpc")

    monkeypatch.setattr("service.http.app.configure_logging", lambda *_: None)
    monkeypatch.setattr("service.http.grpc.import_module", without)
    with pytest.raises(GrpcUnavailable, match="RESNET_GRPC_PORT is set, and grpc is not installed"):
        prepare(Settings.of(grpc_port=0))
    prepare(Settings.of())
