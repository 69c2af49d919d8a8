"""A request of the Open Inference Protocol v2: one image tensor, and which outputs it asks for.

Over HTTP it is made of JSON and raw tensors, over gRPC of a message; both are checked here. The
texts of errors that clients know are Triton's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from model_builder.artifact.labels import Label
from service.errors import InvalidParameter, MalformedRequest
from service.inference.outputs import MapClasses, check_output_names
from service.protocols.outputs.class_ids import class_ids
from service.protocols.outputs.wanted import MAPS

# The image input. Metadata has the first; encoded images may have either name.
PIXELS, IMAGE = "pixels", "image"
MAX_ID_LENGTH = 1024
MAX_OUTPUTS = 16
# Names and shapes that messages repeat.
MAX_NAME_LENGTH, MAX_DIMENSIONS = 200, 8
OUTPUT_NAMES = ("probabilities", "logits", "embedding", MAPS)
# Priority 1 goes first, 0 stands for the default, as in Triton.
PRIORITY_LEVELS, DEFAULT_PRIORITY = 3, 2


@dataclass(frozen=True, slots=True, eq=False)
class InputTensor:
    """content: the raw tensor, or what JSON has as `data`."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    content: Any


@dataclass(frozen=True, slots=True)
class WantedOutput:
    """classes: how many to name instead of the tensor; 0 for the tensor. binary: over HTTP.

    normalized: each row is divided by its Euclidean norm. map_names: the classes of class
    activation maps, with commas between; without any the `map_top_k` most probable.
    """

    name: str
    classes: int = 0
    binary: bool = False
    normalized: bool = False
    map_names: str = ""
    map_top_k: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class TensorRequest:
    """timeout_ms: None where the request states none. priority: InferenceRequest's."""

    tensor: InputTensor
    outputs: tuple[WantedOutput, ...]
    id: str = ""
    timeout_ms: float | None = None
    priority: int = 0

    def map_classes(self, labels: Sequence[Label]) -> MapClasses:
        """Those of the output that has class activation maps. Raises InvalidParameter."""
        for one in self.outputs:
            if one.name == MAPS and one.map_names:
                return class_ids([name.strip() for name in one.map_names.split(",")], labels)
        return next((one.map_top_k for one in self.outputs if one.name == MAPS), 1)


def tensor_request(body: Any, raw: memoryview, *, model: str) -> TensorRequest:
    """Of a request in JSON. raw: the tensors behind it, empty without any.

    model: the name for messages. Raises MalformedRequest or InvalidParameter.
    """
    if not isinstance(body, dict):
        raise MalformedRequest(f"The request is an object. Received: {_kind(body)}")
    parameters = _parameters(body)
    binary = _flag(parameters, "binary_data_output", False)
    identifier = body.get("id", "")
    if not isinstance(identifier, str) or len(identifier) > MAX_ID_LENGTH:
        raise MalformedRequest(f"'id' is a string of at most {MAX_ID_LENGTH} characters.")
    timeout_microseconds = _integer(parameters, "timeout", 0)
    return TensorRequest(
        _input(body, raw, model),
        _outputs(body, binary=binary, model=model),
        identifier,
        timeout_microseconds / 1000 if timeout_microseconds else None,
        priority_of(_integer(parameters, "priority", 0)),
    )


def priority_of(level: int) -> int:
    """A level of the protocol, 1 before 2 before 3, 0 for the default, as InferenceRequest's."""
    return DEFAULT_PRIORITY - min(level or DEFAULT_PRIORITY, PRIORITY_LEVELS)


def default_outputs(*, binary: bool) -> tuple[WantedOutput, ...]:
    """Of a request that names none: what metadata has."""
    return (WantedOutput(OUTPUT_NAMES[0], binary=binary),)


def _input(body: dict[str, Any], raw: memoryview, model: str) -> InputTensor:
    inputs = _list(body, "inputs")
    names = [_text(one, "name") for one in inputs]
    for name in names:
        if name not in (PIXELS, IMAGE):
            raise MalformedRequest(
                f"unexpected inference input '{name[:MAX_NAME_LENGTH]}' for model '{model}'"
            )
    if len(names) != 1:
        raise MalformedRequest(
            f"expected 1 inputs but got {len(names)} inputs for model '{model}'. Send all images "
            f"in one tensor: '{PIXELS}', or '{IMAGE}' for encoded ones."
        )
    (given,) = inputs
    parameters = _parameters(given)
    shape = given.get("shape")
    if (
        not isinstance(shape, list)
        or not 1 <= len(shape) <= MAX_DIMENSIONS
        or not all(_is_count(length) for length in shape)
    ):
        raise MalformedRequest(
            f"'shape' of input '{names[0]}' is an array of 1 to {MAX_DIMENSIONS} integers, "
            "each 0 or more."
        )
    sources = ["'data'"] * ("data" in given)
    sources += ["'binary_data_size'"] * ("binary_data_size" in parameters)
    if len(sources) != 1:
        raise MalformedRequest(
            "Input must set only one of the following fields: 'data', 'binary_data_size' in "
            f"'parameters'. But {'set ' + ' '.join(sources) if sources else 'no field is set'}"
        )
    content = given.get("data")
    if "data" not in given:
        content = _raw_content(_integer(parameters, "binary_data_size", 0), raw, names[0], model)
    elif len(raw):
        raise MalformedRequest(f"unexpected additional input data for model '{model}'")
    return InputTensor(names[0], _text(given, "datatype"), tuple(shape), content)


def _raw_content(size: int, raw: memoryview, name: str, model: str) -> memoryview:
    if size > len(raw):
        raise MalformedRequest(
            f"unexpected size for input '{name}', expecting {size - len(raw)} additional bytes "
            f"for model '{model}'"
        )
    if size < len(raw):
        raise MalformedRequest(f"unexpected additional input data for model '{model}'")
    return raw


def _outputs(body: dict[str, Any], *, binary: bool, model: str) -> tuple[WantedOutput, ...]:
    given = _list(body, "outputs") if "outputs" in body else []
    if not given:
        return default_outputs(binary=binary)
    if len(given) > MAX_OUTPUTS:
        raise MalformedRequest(f"There may be {MAX_OUTPUTS} outputs. Received: {len(given)}")
    outputs: dict[str, WantedOutput] = {}
    for one in given:
        parameters = _parameters(one)
        name = _text(one, "name")
        check_wanted(name, model)
        if name in outputs:
            raise MalformedRequest(f"output '{name}' already exists in request")
        outputs[name] = WantedOutput(
            name,
            _integer(parameters, "classification", 0),
            _flag(parameters, "binary_data", binary),
            _flag(parameters, "normalized", False),
            str(parameters.get("classes", "")),
            _integer(parameters, "top_k", 1),
        )
        if name == MAPS and outputs[name].classes:
            raise InvalidParameter(f"output '{name}' has no classification: ask for its tensor.")
    return tuple(outputs.values())


def check_wanted(name: str, model: str) -> None:
    """Raises InvalidParameter for a name that is no output of this protocol."""
    if name not in OUTPUT_NAMES:
        raise InvalidParameter(
            f"unexpected inference output '{name[:MAX_NAME_LENGTH]}' for model '{model}'. "
            f"Outputs are {', '.join(OUTPUT_NAMES)}."
        )
    check_output_names((name,))


def _parameters(given: dict[str, Any]) -> dict[str, Any]:
    parameters = given.get("parameters", {})
    if not isinstance(parameters, dict):
        raise MalformedRequest(f"'parameters' is an object. Received: {_kind(parameters)}")
    if "shared_memory_region" in parameters:
        raise InvalidParameter("Shared memory is not supported: tensors are in the messages.")
    for name, value in parameters.items():
        if not isinstance(value, str | bool | int | float):
            raise MalformedRequest(
                f"parameter '{name[:MAX_NAME_LENGTH]}' has invalid type. It should be either "
                "'int', 'bool', or 'string'."
            )
        if name.startswith("triton_"):
            raise MalformedRequest("parameter keys starting with 'triton_' are reserved.")
    return parameters


def _list(given: dict[str, Any], name: str) -> list[dict[str, Any]]:
    value = given.get(name)
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise MalformedRequest(f"'{name}' is an array of objects. Received: {_kind(value)}")
    return value


def _text(given: dict[str, Any], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str):
        raise MalformedRequest(f"'{name}' is a string. Received: {_kind(value)}")
    return value


def _integer(given: dict[str, Any], name: str, default: int) -> int:
    value = given.get(name, default)
    if not _is_count(value):
        raise MalformedRequest(f"'{name}' is an integer, 0 to {MAX_INTEGER}.")
    return int(value)


def _flag(given: dict[str, Any], name: str, default: bool) -> bool:
    value = given.get(name, default)
    if not isinstance(value, bool):
        raise MalformedRequest(f"'{name}' is true or false. Received: {_kind(value)}")
    return value


MAX_INTEGER = 2**63 - 1


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_INTEGER


def _kind(value: object) -> str:
    """What JSON calls it."""
    names = {dict: "an object", list: "an array", str: "a string", bool: "true or false"}
    return "nothing" if value is None else names.get(type(value), "a number")
