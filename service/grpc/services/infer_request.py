"""A ModelInferRequest in the form in which HTTP has it."""

from __future__ import annotations

from typing import Any

from service.errors import InvalidParameter, MalformedRequest
from service.grpc.wire import Fields, TakenOut, short_text
from service.protocols.tensor_request import MAX_ID_LENGTH, TensorRequest, tensor_request

RAW, ELEMENTS, INTEGERS = "raw_input_contents", "bytes_contents", "uint_contents"
# What InferTensorContents has: the name of each field, and the datatype of what is in it.
CONTENTS = {
    1: ("bool_contents", "BOOL"),
    2: ("int_contents", "INT32"),
    3: ("int64_contents", "INT64"),
    4: (INTEGERS, "UINT8"),
    5: ("uint64_contents", "UINT64"),
    6: ("fp32_contents", "FP32"),
    7: ("fp64_contents", "FP64"),
    8: (ELEMENTS, "BYTES"),
}
# ModelInferRequest.raw_input_contents and InferInputTensor.contents.
LONG_FIELDS: Fields = {5: {5: {number: name for number, (name, _) in CONTENTS.items()}}, 7: RAW}
ID = 3
# perf_analyzer asks with the first for a last answer without tensors, where there may be any number
# of answers to a request, and knows by the second that no more is to come.
EMPTY_FINAL, FINAL = "triton_enable_empty_final_response", "triton_final_response"


def id_of(data: memoryview) -> str:
    """Of a ModelInferRequest that may be broken; "" without one."""
    return short_text(data, ID, MAX_ID_LENGTH)


def tensor_request_of(request: Any, taken: TakenOut) -> TensorRequest:
    """Raises InvalidParameter or MalformedRequest."""
    name = request.model_name
    raw = taken[RAW]
    typed = [one.name for one in request.inputs if one.HasField("contents")]
    if raw and typed:
        raise MalformedRequest(
            f"contents field must not be specified when using {RAW} for '{typed[0][:200]}' for "
            f"model '{name}'"
        )
    if raw and len(raw) != len(request.inputs):
        raise MalformedRequest(
            f"expected {len(request.inputs)} elements in {RAW}, got {len(raw)} for model '{name}'"
        )
    for one in request.inputs:
        _check_contents(one, taken, name)
    content = (raw, taken[ELEMENTS], taken[INTEGERS])
    inputs = [
        {
            "name": one.name,
            "datatype": one.datatype,
            "shape": list(one.shape),
            # KServe's client sends the size that a binary tensor has over HTTP.
            "parameters": {
                key: value
                for key, value in _parameters(one.parameters).items()
                if key != "binary_data_size"
            },
            "data": content,
        }
        for one in request.inputs
    ]
    outputs = [
        {"name": one.name, "parameters": _parameters(one.parameters)} for one in request.outputs
    ]
    body = {
        "id": request.id,
        "parameters": _request_parameters(request.parameters),
        "inputs": inputs,
        "outputs": outputs,
    }
    return tensor_request(body, memoryview(b""), model=name)


def _check_contents(tensor: Any, taken: TakenOut, model: str) -> None:
    """Raises InvalidParameter for contents of a type that the tensor does not have."""
    if tensor.datatype not in ("UINT8", "BYTES"):
        # Refused for that.
        return
    for field, datatype in CONTENTS.values():
        # What is not packed stays in the message.
        given = taken[field] or getattr(tensor.contents, field)
        if given and datatype != tensor.datatype:
            raise InvalidParameter(
                f"unexpected explicit tensor data for input tensor '{tensor.name[:200]}' for model "
                f"'{model}' of type '{datatype}', expected datatype '{tensor.datatype}'"
            )


def _request_parameters(given: Any) -> dict[str, Any]:
    """Without the one that asks for nothing here: every request has one answer."""
    parameters = _parameters(given)
    if not isinstance(parameters.pop(EMPTY_FINAL, False), bool):
        raise MalformedRequest(
            f"invalid value type for '{EMPTY_FINAL}' parameter, expected bool_param."
        )
    return parameters


def _parameters(given: Any) -> dict[str, Any]:
    """None for a parameter without a value, which is refused as one of the wrong type."""
    return {
        name: getattr(value, kind) if (kind := value.WhichOneof("parameter_choice")) else None
        for name, value in given.items()
    }
