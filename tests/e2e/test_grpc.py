"""gRPC of a real process with the published weights: the answers of HTTP, and an orderly end."""

from __future__ import annotations

import base64
import signal
import struct
from pathlib import Path

import grpc
import httpx2
import numpy as np
import pytest

from service.grpc.protos import inference_pb2 as v2
from tests.e2e.conftest import Server, running

PHOTO = (Path(__file__).parents[1] / "photos" / "coffee_cup.jpg").read_bytes()
MODEL = "resnet50.keras_in1k"
INFER = "/inference.GRPCInferenceService/ModelInfer"
SECONDS = 60.0


@pytest.mark.weights
def test_the_answers_are_those_of_http_and_calls_are_finished(int8_server: Server) -> None:
    assert int8_server.url
    environment = {
        "RESNET_PRECISION": "int8",
        "RESNET_MAX_BATCH_SIZE": "1",
        "RESNET_GRPC_PORT": "0",
        "RESNET_SELF_TEST_INTERVAL_SECONDS": "0",
        "RESNET_QUEUE_WAIT_LIMIT_SECONDS": "60",
    }
    request = v2.ModelInferRequest(model_name=MODEL)
    request.inputs.add(name="image", datatype="BYTES", shape=[1])
    request.raw_input_contents.append(struct.pack("<I", len(PHOTO)) + PHOTO)
    sent = request.SerializeToString()
    with running(environment) as server:
        port = server.said("gRPC listens on port ")
        data = [base64.b64encode(PHOTO).decode()]
        tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": data}
        of_http = httpx2.post(
            f"{server.url}/v2/models/{MODEL}/infer", json={"inputs": [tensor]}, timeout=SECONDS
        ).json()
        expected = np.array(of_http["outputs"][0]["data"], np.float32)
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            infer = channel.unary_unary(INFER)
            answer = v2.ModelInferResponse.FromString(infer(sent, timeout=SECONDS))
            assert answer.raw_output_contents[0] == expected.tobytes()
            calls = [infer.future(sent, timeout=SECONDS) for _ in range(12)]
            calls[0].result(SECONDS)
            server.process.send_signal(signal.SIGTERM)
            # What has not begun may be told to go elsewhere; nothing is lost.
            codes = {one.code() for one in calls}
        assert codes <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
        assert grpc.StatusCode.OK in codes
        assert server.process.wait(SECONDS) == 0
