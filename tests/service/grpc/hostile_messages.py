"""Messages of gRPC that lie, by what is wrong with each, and the statuses that are right."""

from __future__ import annotations

import struct
from typing import Any

from service.grpc.protos import inference_pb2 as v2
from service.grpc.protos import serving_pb2 as tf
from tests.service.conftest import MODEL_NAME
from tests.service.grpc.client import infer_request, pixel_request, predict_request
from tests.service.http.protocols.v2 import SIZE
from tests.service.images import plain

RED = plain("red")
PLACE = "QQQQQQQQ"
EDGES = [-(2**63), -(2**31), -1, 0, 1, 2, 31, 32, 2**31, 2**32, 2**62, 2**63 - 1]


def changed(request: Any, **fields: Any) -> Any:
    """The first input with these fields in place of its own."""
    tensor = request.inputs[0]
    for name, value in fields.items():
        if isinstance(value, list):
            del getattr(tensor, name)[:]
            getattr(tensor, name).extend(value)
        else:
            setattr(tensor, name, value)
    return request


def raw(content: bytes, *shape: int, **fields: Any) -> v2.ModelInferRequest:
    """One raw tensor of any content."""
    request: v2.ModelInferRequest = changed(infer_request(RED), shape=list(shape), **fields)
    request.raw_input_contents[0] = content
    return request


def element(image: bytes, length: int | None = None) -> bytes:
    return struct.pack("<I", len(image) if length is None else length) + image


def both_contents() -> v2.ModelInferRequest:
    request = infer_request(RED)
    request.inputs[0].contents.bytes_contents.append(RED)
    return request


def several_inputs(name: str, *, contents: int) -> v2.ModelInferRequest:
    request = infer_request(RED)
    request.inputs.add(name=name, datatype="BYTES", shape=[1])
    request.raw_input_contents.extend([element(RED)] * (contents - 1))
    return request


def typed(field: str, values: list[Any]) -> v2.ModelInferRequest:
    request = infer_request(RED, typed=True)
    request.inputs[0].contents.Clear()
    getattr(request.inputs[0].contents, field).extend(values)
    return request


def with_parameter(name: str, **value: Any) -> v2.ModelInferRequest:
    request = infer_request(RED)
    for parameters in (request.parameters, request.inputs[0].parameters):
        parameters[name].SetInParent()
        for kind, one in value.items():
            setattr(parameters[name], kind, one)
    return request


def no_utf8(request: Any) -> bytes:
    """The message with bytes that are no UTF-8 in place of the name."""
    data: bytes = request.SerializeToString()
    assert PLACE.encode() in data
    return data.replace(PLACE.encode(), b"\xff\xfe\x80\xc0\xaf\xed\xa0\x80")


# By what is wrong: the message, and the statuses that are right.
REFUSED = frozenset({"INVALID_ARGUMENT"})
LONG = frozenset({"INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"})
HOSTILE: dict[str, tuple[Any, frozenset[str]]] = {
    "an element longer than the tensor": (raw(element(RED, len(RED) + 1), 1), REFUSED),
    "an element of 4 GiB": (raw(element(RED, 2**32 - 1), 1), REFUSED),
    "an element shorter than the tensor": (raw(element(RED, len(RED) - 1), 1), REFUSED),
    "half a length": (raw(element(RED) + b"\x01\x02", 2), REFUSED),
    "an element more than the shape": (raw(element(RED) * 2, 1), REFUSED),
    "an element less than the shape": (raw(element(RED), 2), REFUSED),
    "an empty element": (raw(element(b""), 1), REFUSED),
    "an empty tensor": (raw(b"", 1), REFUSED),
    "a million empty elements": (raw(bytes(4_000_000), 1_000_000), REFUSED),
    "a million empty elements for one": (raw(bytes(4_000_000), 1), REFUSED),
    "typed and raw contents": (both_contents(), REFUSED),
    "a million typed empty elements": (typed("bytes_contents", [b""] * 1_000_000), LONG),
    "typed booleans": (typed("bool_contents", [True] * 5), REFUSED),
    "typed floats": (typed("fp32_contents", [1.0] * 5), REFUSED),
    "many typed doubles": (typed("fp64_contents", [1.0] * 100_000), LONG),
    "two inputs of one name": (several_inputs("image", contents=2), REFUSED),
    "two inputs": (several_inputs("pixels", contents=2), REFUSED),
    "an unknown second input": (several_inputs("x" * 5000, contents=2), REFUSED),
    "two inputs, one tensor": (several_inputs("pixels", contents=1), REFUSED),
    "no input": (v2.ModelInferRequest(model_name=MODEL_NAME), REFUSED),
    "no shape": (raw(element(RED)), REFUSED),
    "five thousand dimensions": (raw(element(RED), *[1] * 5000), LONG),
    "pixels for BYTES": (raw(bytes(SIZE * SIZE * 3), 1, datatype="UINT8"), REFUSED),
    "FP32": (raw(element(RED), 1, datatype="FP32"), REFUSED),
    "a data type of 10 kB": (raw(element(RED), 1, datatype="X" * 10_000), REFUSED),
    "pixels beyond a byte": (
        changed(
            typed("uint_contents", [256] * SIZE * SIZE * 3),
            datatype="UINT8",
            name="pixels",
            shape=[1, SIZE, SIZE, 3],
        ),
        REFUSED,
    ),
    "a parameter without a value": (with_parameter("timeout"), REFUSED),
    "a timeout below 0": (with_parameter("timeout", int64_param=-(2**63)), REFUSED),
    "a timeout in words": (with_parameter("timeout", string_param="soon"), REFUSED),
    "a priority beyond a number": (with_parameter("priority", uint64_param=2**64 - 1), REFUSED),
    "a parameter that is a float": (with_parameter("timeout", double_param=float("nan")), REFUSED),
    "shared memory": (with_parameter("shared_memory_region", string_param="x"), REFUSED),
    "a reserved parameter": (with_parameter("triton_x", bool_param=True), REFUSED),
    "a thousand parameters": (
        v2.ModelInferRequest(
            model_name=MODEL_NAME,
            parameters={f"p{n}": v2.InferParameter(string_param="x" * 50) for n in range(1000)},
        ),
        LONG,
    ),
    "a model's name that is no UTF-8": (no_utf8(infer_request(RED, name=PLACE)), REFUSED),
    "an id that is no UTF-8": (no_utf8(infer_request(RED, id=PLACE)), REFUSED),
    "an input's name that is no UTF-8": (no_utf8(raw(element(RED), 1, name=PLACE)), REFUSED),
    "a parameter's name that is no UTF-8": (no_utf8(with_parameter(PLACE, int64_param=1)), REFUSED),
    **{f"{edge} images": (raw(element(RED), edge), REFUSED) for edge in EDGES if edge != 1},
    **{
        f"pixels {edge} wide": (changed(pixel_request(), shape=[1, edge, SIZE, 3]), REFUSED)
        for edge in EDGES
        if edge != SIZE
    },
}


def tensor_of(**fields: Any) -> tf.PredictRequest:
    request = predict_request(RED)
    tensor = request.inputs["image_bytes"]
    for name, value in fields.items():
        if name == "shape":
            del tensor.tensor_shape.dim[:]
            for size in value:
                tensor.tensor_shape.dim.add(size=size)
        elif isinstance(value, list):
            del getattr(tensor, name)[:]
            getattr(tensor, name).extend(value)
        else:
            setattr(tensor, name, value)
    return request


PIXELS = bytes(SIZE * SIZE * 3)
HOSTILE_TF: dict[str, tuple[Any, frozenset[str]]] = {
    "images beside pixels": (tensor_of(tensor_content=PIXELS), REFUSED),
    "pixels as images": (tensor_of(tensor_content=PIXELS, string_val=[]), REFUSED),
    "images as pixels": (tensor_of(dtype="DT_UINT8", shape=[1, SIZE, SIZE, 3]), REFUSED),
    "pixels and images": (
        tensor_of(dtype="DT_UINT8", shape=[1, SIZE, SIZE, 3], tensor_content=PIXELS),
        REFUSED,
    ),
    "pixels too few": (
        tensor_of(dtype="DT_UINT8", shape=[2, SIZE, SIZE, 3], tensor_content=PIXELS, string_val=[]),
        REFUSED,
    ),
    "floats": (tensor_of(dtype="DT_FLOAT", float_val=[1.0] * 8), REFUSED),
    "no type": (tensor_of(dtype="DT_INVALID"), REFUSED),
    "a type of another version": (tensor_of(dtype=99), REFUSED),
    "two images of one": (tensor_of(string_val=[RED, RED]), REFUSED),
    "one image of two": (tensor_of(shape=[2]), REFUSED),
    "no image": (tensor_of(string_val=[]), REFUSED),
    "an empty image": (tensor_of(string_val=[b""]), REFUSED),
    "a million empty images": (tensor_of(shape=[1_000_000], string_val=[b""] * 1_000_000), LONG),
    "integers as pixels": (
        tensor_of(dtype="DT_UINT8", shape=[1, SIZE, SIZE, 3], int_val=[1] * 99, string_val=[]),
        REFUSED,
    ),
    "nine dimensions": (tensor_of(shape=[1] * 9), REFUSED),
    "a model's name that is no UTF-8": (no_utf8(predict_request(RED, name=PLACE)), REFUSED),
    **{f"{edge} images": (tensor_of(shape=[edge]), REFUSED) for edge in EDGES if edge != 1},
    **{
        f"{edge} rows of pixels": (
            tensor_of(
                dtype="DT_UINT8",
                shape=[edge, SIZE, SIZE, 3],
                tensor_content=PIXELS,
                string_val=[],
            ),
            REFUSED,
        )
        for edge in EDGES
        if edge != 1
    },
}


def as_bytes(request: Any) -> bytes:
    return request if isinstance(request, bytes) else bytes(request.SerializeToString())
