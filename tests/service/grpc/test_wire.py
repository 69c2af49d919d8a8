"""Messages are read as protobuf reads them, and whatever arrives has an answer."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.errors import InvalidParameter, MalformedRequest, PayloadTooLarge
from service.grpc.protos import inference_pb2 as v2
from service.grpc.protos import serving_pb2 as tf
from service.grpc.services.infer_request import LONG_FIELDS, id_of
from service.grpc.services.serving import CLASSIFY_FIELDS, PREDICT_FIELDS
from service.grpc.wire import MAX_FIELDS, MAX_KEPT_BYTES, packed_bytes, parse
from tests.service.grpc.client import (
    ANSWERS,
    INFER,
    PREDICTION,
    V2,
    Client,
    floats,
    infer_request,
    pixel_request,
    predict_request,
)
from tests.service.images import plain

RED = plain("red")
# What a client may be told of a message that is wrong: never INTERNAL or UNKNOWN.
EXPECTED = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED"}


def classify_request(image: bytes) -> tf.ClassificationRequest:
    request = tf.ClassificationRequest()
    request.model_spec.name = "resnet18.colors"
    example = request.input.example_list.examples.add()
    example.features.feature["image"].bytes_list.value.append(image)
    return request


def status(client: Client, method: str, data: bytes) -> str:
    try:
        client.raw(method, data)
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


SEEDS: list[tuple[str, bytes]] = [
    (INFER, infer_request(RED, RED, id="a").SerializeToString()),
    (INFER, infer_request(RED, typed=True).SerializeToString()),
    (INFER, pixel_request().SerializeToString()),
    (INFER, pixel_request(typed=True).SerializeToString()),
    (f"{PREDICTION}/Predict", predict_request(RED).SerializeToString()),
    (f"{PREDICTION}/Classify", classify_request(RED).SerializeToString()),
    (f"{V2}/ModelReady", v2.ModelReadyRequest(name="x", version="1").SerializeToString()),
]


@st.composite
def mutations(draw: Any) -> tuple[str, bytes]:
    """A message with bytes that were changed, put in, removed, repeated or cut off."""
    method, seed = draw(st.sampled_from(SEEDS))
    data = bytearray(seed)
    for _ in range(draw(st.integers(1, 4))):
        # Most of what is not an image is at the two ends.
        size = len(data)
        near = st.one_of(st.integers(0, min(80, size)), st.integers(max(0, size - 80), size))
        place = draw(st.one_of(near, st.integers(0, size)))
        part = draw(st.binary(max_size=12))
        match draw(st.integers(0, 4)):
            case 0:
                data[place : place + len(part)] = part
            case 1:
                data[place:place] = part
            case 2:
                del data[place : place + len(part)]
            case 3:
                data += data[place : place + 200]
            case _:
                del data[place:]
    return method, bytes(data)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(mutations())
def test_a_mutated_message_has_an_answer_or_a_reason(
    client: Client, mutation: tuple[str, bytes]
) -> None:
    assert status(client, *mutation) in EXPECTED


def test_the_service_serves_after_every_method_got_noise(client: Client) -> None:
    for method in ANSWERS:
        for data in (b"", b"\xff" * 40, b"\x0a\xff\xff\xff\xff\x0f", b"\x0b\x0c", bytes(100)):
            assert status(client, method, data) in EXPECTED, (method, data)
    assert floats(client.call(INFER, infer_request(RED))).argmax() == 0


@pytest.mark.parametrize(
    ("kind", "fields", "seed"),
    [
        (v2.ModelInferRequest, LONG_FIELDS, SEEDS[0][1]),
        (v2.ModelInferRequest, LONG_FIELDS, SEEDS[1][1]),
        (tf.PredictRequest, PREDICT_FIELDS, SEEDS[4][1]),
        (tf.ClassificationRequest, CLASSIFY_FIELDS, SEEDS[5][1]),
    ],
)
def test_a_message_is_what_protobuf_reads_without_its_long_fields(
    kind: Any, fields: Any, seed: bytes
) -> None:
    whole = kind.FromString(seed)
    found, taken = parse(kind, memoryview(seed), fields)
    (contents,) = taken.values()
    assert b"".join(contents).count(RED) in (1, 2)
    assert found.ByteSize() < 400
    # With nothing to take out it is the whole message.
    again, none = parse(kind, memoryview(seed), {})
    assert again == whole
    assert not none


def test_many_small_fields_are_refused() -> None:
    with pytest.raises(PayloadTooLarge, match="4096 fields"):
        parse(v2.ModelInferRequest, memoryview(b"\x3a\x00" * (MAX_FIELDS + 1)), LONG_FIELDS)
    long_id = v2.ModelInferRequest(id="x" * (MAX_KEPT_BYTES + 1)).SerializeToString()
    with pytest.raises(PayloadTooLarge, match="beside images"):
        parse(v2.ModelInferRequest, memoryview(long_id), LONG_FIELDS)


@pytest.mark.parametrize(
    "data",
    [b"\xff" * 11, b"\x0a", b"\x0a\x05ab", b"\x0d\x00", b"\x09\x00", b"\x0b", b"\x0a\x01\xff"],
    ids=["varint", "no length", "cut off", "fixed32", "fixed64", "group", "no UTF-8"],
)
def test_what_is_no_message(data: bytes) -> None:
    with pytest.raises(MalformedRequest):
        parse(v2.ModelReadyRequest, memoryview(data), {})


@given(st.lists(st.integers(0, 255), max_size=300))
def test_packed_bytes(values: list[int]) -> None:
    packed = v2.InferTensorContents(uint_contents=values).SerializeToString()
    taken = parse(v2.InferTensorContents, memoryview(packed), {4: "x"})[1]["x"]
    data = taken[0] if taken else memoryview(b"")
    assert packed_bytes(data).tolist() == values


@pytest.mark.parametrize("values", [[256], [2**32 - 1], [1, 70_000, 2]])
def test_packed_integers_that_are_no_bytes(values: list[int]) -> None:
    packed = v2.InferTensorContents(uint_contents=values).SerializeToString()
    (data,) = parse(v2.InferTensorContents, memoryview(packed), {4: "x"})[1]["x"]
    with pytest.raises(InvalidParameter):
        packed_bytes(data)
    assert np.frombuffer(data, np.uint8).size


@given(st.text(max_size=40))
def test_the_id_of_a_message_that_may_be_broken(identifier: str) -> None:
    request = infer_request(RED, id=identifier)
    assert id_of(memoryview(request.SerializeToString())) == identifier
    broken = v2.ModelInferRequest(id=identifier).SerializeToString() + b"\x3a\xff"
    assert id_of(memoryview(broken)) == identifier


@pytest.mark.parametrize("data", [b"\x1a\x01\xff", b"\x1a\x81\x08" + b"x" * 1025, b"\x18\x05", b""])
def test_no_id(data: bytes) -> None:
    assert id_of(memoryview(data)) == ""
