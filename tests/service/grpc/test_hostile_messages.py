"""Messages of gRPC that lie: the client's error, by a call and by a stream, and no memory."""

from __future__ import annotations

import asyncio
import contextlib
import tracemalloc
from typing import Any

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.errors import ServiceError
from service.grpc.protos import inference_pb2 as v2
from service.grpc.protos import serving_pb2 as tf
from service.grpc.services.infer_request import LONG_FIELDS
from service.grpc.services.serving import PREDICT_FIELDS
from service.grpc.wire import parse
from service.protocols.tensor_request import InputTensor
from service.protocols.tensor_rows import rows_of
from tests.service.conftest import MODEL_NAME
from tests.service.grpc.client import (
    INFER,
    PREDICTION,
    Client,
    floats,
    infer_request,
    pixel_request,
)
from tests.service.grpc.hostile_messages import (
    EDGES,
    HOSTILE,
    HOSTILE_TF,
    PIXELS,
    RED,
    as_bytes,
    changed,
    element,
    tensor_of,
)
from tests.service.grpc.test_wire import EXPECTED
from tests.service.http.protocols.v2 import SIZE

PREDICT = f"{PREDICTION}/Predict"
# Python's own, and the parsed rest of a message: 32 KiB at most on the wire.
FIXED_BYTES, COPIES = 600_000, 4


def status(client: Client, method: str, data: bytes) -> tuple[str, str]:
    try:
        client.raw(method, data)
    except grpc.RpcError as error:
        return error.code().name, error.details()
    return "OK", ""


@pytest.mark.parametrize(
    ("method", "hostile"),
    [(INFER, HOSTILE), (PREDICT, HOSTILE_TF)],
    ids=["ModelInfer", "Predict"],
)
def test_a_message_that_lies_is_refused_in_words(
    client: Client, method: str, hostile: dict[str, tuple[Any, frozenset[str]]]
) -> None:
    wrong = {}
    for name, (request, right) in hostile.items():
        code, text = status(client, method, as_bytes(request))
        if code not in right or not 10 < len(text) <= 1024:
            wrong[name] = (code, text)
    assert not wrong
    assert floats(client.call(INFER, infer_request(RED))).argmax() == 0


def test_a_stream_tells_each_and_goes_on(client: Client) -> None:
    sent = [as_bytes(request) for request, _ in HOSTILE.values()]
    call = client.channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")
    good = infer_request(RED).SerializeToString()
    answers = [
        v2.ModelStreamInferResponse.FromString(one) for one in call(iter([*sent, good]), timeout=60)
    ]
    assert len(answers) == len(sent) + 1
    refused, last = answers[:-1], answers[-1]
    unrefused = [name for name, one in zip(HOSTILE, refused, strict=True) if not one.error_message]
    assert not unrefused
    assert not last.error_message


@st.composite
def lies(draw: st.DrawFn) -> tuple[str, bytes]:
    """A valid message of which some fields have other values of their type."""
    numbers = st.lists(st.one_of(st.sampled_from(EDGES), st.integers(-3, 40)), max_size=5)
    images = st.lists(st.sampled_from([b"", b"x", RED, RED[:30], bytes(300)]), max_size=3)
    if draw(st.booleans()):
        request: Any = draw(st.sampled_from([infer_request, pixel_request]))
        request = request(RED) if request is infer_request else request()
        tensor = request.inputs[0]
        for _ in range(draw(st.integers(1, 3))):
            match draw(st.integers(0, 5)):
                case 0:
                    changed(request, shape=draw(numbers))
                case 1:
                    tensor.datatype = draw(st.sampled_from(["BYTES", "UINT8", "FP32", ""]))
                case 2:
                    tensor.name = draw(st.sampled_from(["image", "pixels", "", "x"]))
                case 3:
                    del request.raw_input_contents[:]
                    request.raw_input_contents.extend(draw(images))
                case 4:
                    tensor.contents.bytes_contents.extend(draw(images))
                case _:
                    content = b"".join(
                        element(one, draw(st.sampled_from([0, len(one), len(one) + 1, 2**32 - 1])))
                        for one in draw(images)
                    )
                    request.raw_input_contents.append(content)
        return INFER, as_bytes(request)
    kinds = st.sampled_from([0, 1, 4, 7, 99])
    request = tensor_of(dtype=draw(kinds), shape=draw(numbers), string_val=draw(images))
    if draw(st.booleans()):
        tensor = request.inputs[draw(st.sampled_from(["image_bytes", "pixels", ""]))]
        tensor.tensor_content = draw(st.sampled_from([b"", PIXELS, PIXELS[:5]]))
    return PREDICT, as_bytes(request)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(lies())
def test_whatever_lies_has_an_answer_or_a_reason(client: Client, lie: tuple[str, bytes]) -> None:
    code, text = status(client, *lie)
    assert code in EXPECTED, text


@pytest.mark.parametrize("name", [*HOSTILE, *(f"{one} (tf)" for one in HOSTILE_TF)])
def test_memory_is_bounded_by_the_message(name: str) -> None:
    of_tf = name.endswith(" (tf)")
    request, _ = HOSTILE_TF[name.removesuffix(" (tf)")] if of_tf else HOSTILE[name]
    data = as_bytes(request)
    kind: Any = tf.PredictRequest if of_tf else v2.ModelInferRequest
    tracemalloc.start()
    try:
        with contextlib.suppress(ServiceError):
            message, taken = parse(kind, memoryview(data), PREDICT_FIELDS if of_tf else LONG_FIELDS)
            if not of_tf and message.inputs and taken["raw_input_contents"]:
                first = message.inputs[0]
                shape = tuple(first.shape)
                raw_content = taken["raw_input_contents"][0]
                tensor = InputTensor(first.name, first.datatype, shape, raw_content)
                limits: dict[str, Any] = {"size": SIZE, "max_images": 32, "model": MODEL_NAME}
                with contextlib.suppress(IndexError):
                    asyncio.run(rows_of(tensor, None, **limits))  # type: ignore[arg-type]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < FIXED_BYTES + COPIES * len(data)
