"""inference.GRPCInferenceService, with real calls over a real socket."""

from __future__ import annotations

import base64
from typing import Any

import grpc
import numpy as np
import pytest

from service.grpc.protos import inference_pb2 as v2
from tests.service.conftest import MODEL_NAME, Serve, Service
from tests.service.grpc.client import (
    INFER,
    V2,
    Client,
    client_of,
    floats,
    infer_request,
    pixel_request,
)
from tests.service.http.protocols.v2 import SIZE
from tests.service.images import plain

RED, GREEN = plain("red"), plain("green")


def http_probabilities(service: Service, image: bytes) -> np.ndarray[Any, Any]:
    data = [base64.b64encode(image).decode()]
    tensor = {"name": "image", "shape": [1], "datatype": "BYTES", "data": data}
    answer = service.client.post(f"/v2/models/{MODEL_NAME}/infer", json={"inputs": [tensor]})
    return np.array(answer.json()["outputs"][0]["data"], np.float32)


def test_one_image_in_every_form_gives_the_probabilities_of_http(
    service: Service, client: Client
) -> None:
    """To the last bit."""
    column = infer_request(RED)
    column.inputs[0].shape[:] = [1, 1]
    column.inputs[0].name = "pixels"
    requests = [
        *(infer_request(RED), infer_request(RED, typed=True), column),
        *(pixel_request(), pixel_request(typed=True)),
    ]
    expected = http_probabilities(service, RED).tobytes()
    for request in requests:
        answer = client.call(INFER, request)
        assert answer.raw_output_contents[0] == expected
        (output,) = answer.outputs
        assert (output.name, output.datatype, output.shape) == ("probabilities", "FP32", [1, 5])
        assert (answer.model_name, answer.model_version) == (MODEL_NAME, "1")


def test_images_of_one_tensor_keep_their_order(client: Client) -> None:
    answer = client.call(INFER, infer_request(RED, GREEN, RED))
    assert floats(answer).argmax(axis=1).tolist() == [0, 1, 0]


def test_outputs_by_name_and_classes(client: Client) -> None:
    request = infer_request(RED, id="q1", model_version="1")
    request.outputs.add(name="embedding")
    request.outputs.add(name="probabilities").parameters["classification"].int64_param = 2
    answer = client.call(INFER, request)
    assert answer.id == "q1"
    assert floats(answer).shape == (1, 512)
    classes = answer.outputs[1]
    assert (classes.datatype, classes.shape) == ("BYTES", [1, 2])
    first = answer.raw_output_contents[1][4:].split(b":")
    assert first[1] == b"0"
    assert b"red" in answer.raw_output_contents[1]


def test_the_trailers_have_the_id_and_the_timing(service: Service, client: Client) -> None:
    client.call(INFER, infer_request(RED))
    assert "decode;dur=" in client.trailers["server-timing"]
    assert len(client.trailers["x-request-id"]) == 32
    with client_of(service, x_request_id="mine-1") as other:
        other.call(INFER, infer_request(RED))
        assert other.trailers["x-request-id"] == "mine-1"


def parameter(request: v2.ModelInferRequest, name: str, **value: Any) -> v2.ModelInferRequest:
    request.parameters[name].CopyFrom(v2.InferParameter(**value))
    return request


def changed(request: v2.ModelInferRequest, **members: Any) -> v2.ModelInferRequest:
    for name, value in members.items():
        if name == "shape":
            request.inputs[0].shape[:] = value
        elif name in ("name", "datatype"):
            setattr(request.inputs[0], name, value)
        else:
            request.raw_input_contents[:] = value
    return request


def mixed() -> v2.ModelInferRequest:
    request = infer_request(RED)
    request.inputs[0].contents.bytes_contents.append(RED)
    return request


def with_output(name: str) -> v2.ModelInferRequest:
    request = infer_request(RED)
    request.outputs.add(name=name)
    return request


@pytest.mark.parametrize(
    ("request_", "code", "text"),
    [
        (v2.ModelInferRequest(model_name=MODEL_NAME), "INVALID_ARGUMENT", "expected 1 inputs"),
        (infer_request(RED, name="nope"), "NOT_FOUND", "Request for unknown model: 'nope'"),
        (infer_request(RED, model_version="7"), "NOT_FOUND", "version 7 is not found"),
        (infer_request(b"nonsense"), "INVALID_ARGUMENT", "Images are taken as"),
        (infer_request(RED, RED[:60]), "INVALID_ARGUMENT", "Image 1 of 2, from 0"),
        (changed(infer_request(RED), shape=[2]), "INVALID_ARGUMENT", "expected 2 string elements"),
        (changed(infer_request(RED), shape=[-1]), "INVALID_ARGUMENT", "'shape' of input"),
        (changed(infer_request(RED), shape=[0]), "INVALID_ARGUMENT", "at least one image"),
        (changed(infer_request(RED), shape=[99]), "INVALID_ARGUMENT", "batch-size must be <="),
        (changed(infer_request(RED), datatype="FP32"), "INVALID_ARGUMENT", "data-type is 'FP32'"),
        (changed(infer_request(RED), name="x"), "INVALID_ARGUMENT", "unexpected inference input"),
        (changed(infer_request(RED), raw=[]), "INVALID_ARGUMENT", "expected 1 string elements"),
        (changed(infer_request(RED), raw=[b"", b""]), "INVALID_ARGUMENT", "expected 1 elements"),
        (changed(infer_request(RED), raw=[b"\xff"]), "INVALID_ARGUMENT", "incomplete string"),
        (changed(pixel_request(), raw=[b"1"]), "INVALID_ARGUMENT", "pixels are"),
        (mixed(), "INVALID_ARGUMENT", "contents field must not be specified"),
        (with_output("y"), "INVALID_ARGUMENT", "unexpected inference output 'y'"),
        (
            parameter(infer_request(RED), "timeout", string_param="1"),
            "INVALID_ARGUMENT",
            "'timeout' is an integer",
        ),
        (parameter(infer_request(RED), "x"), "INVALID_ARGUMENT", "parameter 'x' has invalid type"),
        (parameter(infer_request(RED), "timeout", int64_param=1), "DEADLINE_EXCEEDED", "deadline"),
    ],
)
def test_what_is_wrong_has_a_status_and_a_reason(
    client: Client, request_: v2.ModelInferRequest, code: str, text: str
) -> None:
    found, reason = client.refusal(INFER, request_)
    assert found == code
    assert text in reason
    assert client.trailers["x-request-id"]
    assert floats(client.call(INFER, infer_request(RED))).argmax() == 0


def test_pixels_of_a_typed_field_are_integers_of_a_byte(client: Client) -> None:
    request = pixel_request(typed=True)
    request.inputs[0].contents.uint_contents[5] = 256
    assert client.refusal(INFER, request)[1].startswith("Pixels are integers, 0 to 255")
    del request.inputs[0].contents.uint_contents[5]
    assert client.refusal(INFER, request)[0] == "INVALID_ARGUMENT"
    request.inputs[0].contents.Clear()
    assert client.refusal(INFER, request)[1] == "Pixels are integers in one packed field."


@pytest.mark.parametrize("field", ["int_contents", "fp32_contents", "bytes_contents"])
def test_typed_pixels_of_another_field_are_refused(client: Client, field: str) -> None:
    """Also beside those of the right one, and where there are as many as pixels."""
    given = [RED] if field == "bytes_contents" else [7] * (SIZE * SIZE * 3)
    both = pixel_request(typed=True)
    getattr(both.inputs[0].contents, field).extend(given)
    alone = pixel_request(typed=True)
    alone.inputs[0].contents.Clear()
    getattr(alone.inputs[0].contents, field).extend(given * 12)
    for request in (both, alone):
        code, text = client.refusal(INFER, request)
        assert code == "INVALID_ARGUMENT"
        assert "unexpected explicit tensor data for input tensor 'pixels'" in text
        assert "expected datatype 'UINT8'" in text


def test_images_beside_typed_integers_are_refused(client: Client) -> None:
    request = infer_request(RED, typed=True)
    request.inputs[0].contents.uint_contents.extend([1, 2])
    assert "of type 'UINT8', expected datatype 'BYTES'" in client.refusal(INFER, request)[1]


def test_an_output_in_shared_memory_is_refused(client: Client) -> None:
    """The client would read what was there before."""
    request = with_output("probabilities")
    request.outputs[0].parameters["shared_memory_region"].string_param = "r"
    code, text = client.refusal(INFER, request)
    assert (code, "Shared memory is not supported" in text) == ("INVALID_ARGUMENT", True)


def test_the_index_of_a_repository_is_refused(client: Client) -> None:
    request = v2.RepositoryIndexRequest(repository_name="mine")
    code, text = client.refusal(f"{V2}/RepositoryIndex", request)
    assert (code, "'repository_name'" in text) == ("INVALID_ARGUMENT", True)


def test_the_sizes_that_kserve_sends_beside_raw_contents_are_ignored(client: Client) -> None:
    request = infer_request(RED)
    request.inputs[0].parameters["binary_data_size"].int64_param = 3
    assert floats(client.call(INFER, request)).argmax() == 0


def test_states(service: Service, client: Client) -> None:
    assert client.call(f"{V2}/ServerLive", v2.ServerLiveRequest()).live
    assert client.call(f"{V2}/ServerReady", v2.ServerReadyRequest()).ready

    def ready(name: str, version: str = "") -> Any:
        request = v2.ModelReadyRequest(name=name, version=version)
        return client.call(f"{V2}/ModelReady", request).ready

    assert ready(MODEL_NAME)
    assert ready(MODEL_NAME, "1")
    assert not ready("nope")
    assert not ready(MODEL_NAME, "7")
    service.app.state.runtime.drain()
    assert not ready(MODEL_NAME)
    assert not client.call(f"{V2}/ServerReady", v2.ServerReadyRequest()).ready
    assert floats(client.call(INFER, infer_request(RED))).argmax() == 0


def test_metadata_is_that_of_http(serve: Serve) -> None:
    service = serve(grpc_port=0, served_name="resnet")
    with client_of(service) as client:
        server = client.call(f"{V2}/ServerMetadata", v2.ServerMetadataRequest())
        assert server.name == "resnet-server"
        assert "binary_tensor_data" not in server.extensions
        model = client.call(f"{V2}/ModelMetadata", v2.ModelMetadataRequest(name="resnet"))
        assert (model.name, model.versions, model.inputs[0].datatype) == ("resnet", ["1"], "UINT8")
        assert model.inputs[0].shape == [-1, SIZE, SIZE, 3]
        assert [one.shape for one in model.outputs] == [[-1, 5]]
        assert model.properties["embedding"] == "FP32 [-1, 512]"
        config = client.call(f"{V2}/ModelConfig", v2.ModelConfigRequest(name="resnet")).config
        of_http = service.client.get("/v2/models/resnet/config").json()
        assert (config.name, config.max_batch_size) == ("resnet", of_http["max_batch_size"])
        assert (config.input[0].data_type, config.input[0].format) == (2, 1)
        assert config.dynamic_batching.priority_levels == 3
        (row,) = client.call(f"{V2}/RepositoryIndex", v2.RepositoryIndexRequest(ready=True)).models
        assert (row.name, row.version, row.state) == ("resnet", "1", "READY")
        for method in ("ModelMetadata", "ModelConfig", "ModelStatistics"):
            asked = getattr(v2, f"{method}Request")(name="nope")
            assert client.refusal(f"{V2}/{method}", asked)[0] == "NOT_FOUND"


@pytest.mark.parametrize("name", [MODEL_NAME, ""])
def test_statistics_count_what_was_inferred(client: Client, name: str) -> None:
    client.call(INFER, infer_request(RED, RED))
    asked = v2.ModelStatisticsRequest(name=name)
    (stats,) = client.call(f"{V2}/ModelStatistics", asked).model_stats
    assert (stats.name, stats.inference_count) == (MODEL_NAME, 2)
    found = stats.inference_stats
    phases = (found.success, found.compute_input, found.compute_infer, found.compute_output)
    assert [one.count for one in phases] == [1] * 4
    assert found.success.ns >= found.compute_infer.ns > 0


def test_encoded_images_as_the_input_that_is_described(serve: Serve) -> None:
    with client_of(serve(grpc_port=0, v2_input="image")) as client:
        asked = v2.ModelMetadataRequest(name=MODEL_NAME)
        (given,) = client.call(f"{V2}/ModelMetadata", asked).inputs
        assert (given.name, given.datatype, given.shape) == ("image", "BYTES", [-1, 1])
        config = client.call(f"{V2}/ModelConfig", v2.ModelConfigRequest(name=MODEL_NAME)).config
        assert (config.input[0].name, config.input[0].data_type) == ("image", 13)


def test_what_perf_analyzer_asks_of_every_request(client: Client) -> None:
    name = "triton_enable_empty_final_response"
    asked, wrong = infer_request(RED, id="1"), infer_request(RED)
    asked.parameters[name].bool_param = True
    wrong.parameters[name].int64_param = 1
    assert not client.call(INFER, asked).parameters
    (answer,) = client.stream([asked])
    assert answer.infer_response.parameters["triton_final_response"].bool_param
    code, text = client.refusal(INFER, wrong)
    assert (code, "expected bool_param" in text) == ("INVALID_ARGUMENT", True)


def test_a_compressed_message_is_taken(service: Service) -> None:
    with client_of(service) as client:
        call = client.channel.unary_unary(f"/{INFER}")
        sent = infer_request(RED).SerializeToString()
        answer = call(sent, compression=grpc.Compression.Gzip, timeout=30)
        assert floats(v2.ModelInferResponse.FromString(answer)).argmax() == 0


def test_a_stream_s_errors_have_the_ids_of_their_requests(client: Client) -> None:
    requests = [
        infer_request(RED, name="nope", id="1"),
        v2.ModelInferRequest(model_name=MODEL_NAME, id="2"),
        parameter(infer_request(RED, id="3"), "triton_x", int64_param=1),
        infer_request(RED, id="x" * 2000),
    ]
    answers = list(client.stream(requests))
    assert all(one.error_message for one in answers)
    assert [one.infer_response.id for one in answers] == ["1", "2", "3", ""]


def test_a_stream_is_answered_in_order_and_goes_on_after_an_error(client: Client) -> None:
    requests = [
        infer_request(RED, id="0"),
        infer_request(b"nonsense", id="1"),
        infer_request(GREEN, id="2"),
        *(infer_request(RED, id=str(index)) for index in range(3, 40)),
    ]
    answers = list(client.stream(requests))
    assert len(answers) == len(requests)
    assert "Images are taken as" in answers[1].error_message
    assert answers[1].infer_response.id == "1"
    del answers[1]
    assert [one.infer_response.id for one in answers] == [
        str(index) for index in range(40) if index != 1
    ]
    assert floats(answers[1].infer_response).argmax() == 1
