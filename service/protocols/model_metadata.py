"""What both tensor protocols say of a model: its tensors, its state and its configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from service.errors import ModelNotFound
from service.inference.model import Model
from service.inference.repository import VERSION, Entry, ModelRepository
from service.protocols.outputs.wanted import MAPS
from service.protocols.pixel_arrays import CHANNELS
from service.protocols.predict_request import IMAGE_BYTES, SIGNATURES
from service.protocols.tensor_request import (
    DEFAULT_PRIORITY,
    IMAGE,
    OUTPUT_NAMES,
    PIXELS,
    PRIORITY_LEVELS,
)

State = Literal["LOADING", "READY", "UNLOADING", "UNAVAILABLE"]
STATES: dict[str, State] = {
    "loading": "LOADING",
    "ready": "READY",
    "draining": "UNLOADING",
    "failed": "UNAVAILABLE",
}
VERSION_STATES = {
    "loading": "LOADING",
    "ready": "AVAILABLE",
    "draining": "UNLOADING",
    "failed": "END",
}
SERVER_NAME = "resnet-server"
# What is implemented of Triton's extensions, by its names.
EXTENSIONS = (
    "classification",
    "model_repository",
    "schedule_policy",
    "model_configuration",
    "binary_tensor_data",
    "parameters",
    "statistics",
)


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """shape: -1 for the number of images."""

    name: str
    datatype: str
    shape: tuple[int, ...]


def input_spec(model: Model, described: str) -> TensorSpec:
    """described: PIXELS, or IMAGE for encoded images."""
    if described == IMAGE:
        return TensorSpec(IMAGE, "BYTES", (-1, 1))
    size = model.artifact.manifest.preprocessing.crop_size
    return TensorSpec(PIXELS, "UINT8", (-1, size, size, CHANNELS))


def output_spec(model: Model) -> TensorSpec:
    """The one that is computed where a request names none."""
    return output_specs(model)[0]


def output_specs(model: Model) -> list[TensorSpec]:
    """All that a request may name.

    Class activation maps are [-1, classes, h, w], of as many classes as are asked for.
    """
    head, classes = model.artifact.head, len(model.artifact.labels)
    height, width, features = model.feature_shape or (-1, -1, head.features)
    shapes = ((classes,), (classes,), (features,), (-1, height, width))
    return [
        TensorSpec(name, "FP32", (-1, *shape))
        for name, shape in zip(OUTPUT_NAMES, shapes, strict=True)
        if name != MAPS or head.is_linear
    ]


def platform(model: Model) -> str:
    manifest = model.artifact.manifest
    return f"{manifest.engine}_{manifest.precision}"


def metadata(name: str, model: Model, *, described: str) -> dict[str, Any]:
    """name: by which the client knows the model. described: which input, as `input_spec` has it."""
    return {
        "name": name,
        "versions": [VERSION],
        "platform": platform(model),
        "inputs": [_described(input_spec(model, described))],
        # Clients such as Triton's image_client.py accept a model with one output only.
        "outputs": [_described(output_spec(model))],
        "properties": {
            one.name: f"{one.datatype} {list(one.shape)}" for one in output_specs(model)[1:]
        },
    }


def configuration(name: str, model: Model, max_images: int, *, described: str) -> dict[str, Any]:
    """Of Triton's ModelConfig what there is. max_images: in one request. described: as above."""
    given, computed = input_spec(model, described), output_spec(model)
    kinds = {"UINT8": ("TYPE_UINT8", "FORMAT_NHWC"), "BYTES": ("TYPE_STRING", "FORMAT_NONE")}
    data_type, layout = kinds[given.datatype]
    return {
        "name": name,
        "platform": platform(model),
        "backend": model.artifact.manifest.engine,
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": max_images,
        "input": [
            {
                "name": given.name,
                "data_type": data_type,
                "format": layout,
                "dims": list(given.shape[1:]),
            }
        ],
        "output": [
            {"name": computed.name, "data_type": "TYPE_FP32", "dims": list(computed.shape[1:])}
        ],
        "dynamic_batching": {
            "preferred_batch_size": list(model.batch_sizes.sizes),
            "max_queue_delay_microseconds": 0,
            "priority_levels": PRIORITY_LEVELS,
            "default_priority_level": DEFAULT_PRIORITY,
        },
        "instance_group": [
            {"name": f"{name}_{index}", "kind": _kind(engine.device), "count": engine.concurrency}
            for index, engine in enumerate(model.engines)
        ],
        "parameters": {
            "encoded_images": {"string_value": "BYTES [-1] or [-1,1], named image or pixels"},
            "outputs": {"string_value": ",".join(one.name for one in output_specs(model))},
        },
    }


def signature(name: str, model: Model) -> dict[str, Any]:
    """TensorFlow Serving's GetModelMetadataResponse: a signature for each output."""
    signatures = {
        signature_name: {
            "inputs": {IMAGE_BYTES: _tensor_info(IMAGE_BYTES, "DT_STRING", (-1,))},
            "outputs": {computed.name: _tensor_info(computed.name, "DT_FLOAT", computed.shape)},
            "method_name": "tensorflow/serving/predict",
        }
        for computed in output_specs(model)
        for signature_name, output in SIGNATURES.items()
        if output == computed.name
    }
    return {
        "model_spec": {"name": name, "signature_name": "", "version": VERSION},
        "metadata": {"signature_def": {"signature_def": signatures}},
    }


def version_status(entry: Entry) -> dict[str, Any]:
    """TensorFlow Serving's ModelVersionStatus."""
    error = {"error_code": "OK", "error_message": ""}
    if entry.state == "failed":
        error = {"error_code": "UNKNOWN", "error_message": entry.reason}
    return {"version": VERSION, "state": VERSION_STATES[entry.state], "status": error}


def index(repository: ModelRepository, *, ready_only: bool) -> list[dict[str, str]]:
    """Every model by the name that clients use."""
    listed = []
    for entry in repository.entries:
        state = STATES[entry.state]
        if state == "READY" or not ready_only:
            row = {"name": public_name(entry), "version": VERSION, "state": state}
            if entry.reason:
                row["reason"] = entry.reason
            listed.append(row)
    return listed


def names(entries: Sequence[Entry]) -> list[str]:
    return [public_name(entry) for entry in entries]


def public_name(entry: Entry) -> str:
    if entry.served_name:
        return entry.served_name
    return entry.title if entry.model is None else entry.model.name


def unknown_model(name: str, version: str | None) -> ModelNotFound:
    """With Triton's text."""
    named = f"'{name}'" if version is None else f"'{name}' version {version}"
    return ModelNotFound(f"Request for unknown model: {named} is not found")


def unknown_servable(name: str, version: str | None) -> ModelNotFound:
    """With TensorFlow Serving's text."""
    asked = f"Latest({name})" if version is None else f"Specific({name}, {version})"
    return ModelNotFound(f"Servable not found for request: {asked}")


def _tensor_info(name: str, datatype: str, shape: tuple[int, ...]) -> dict[str, Any]:
    dimensions = [{"size": str(size), "name": ""} for size in shape]
    return {
        "dtype": datatype,
        "tensor_shape": {"dim": dimensions, "unknown_rank": False},
        "name": f"{name}:0",
    }


def _described(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}


def _kind(device: str) -> str:
    return "KIND_GPU" if device.startswith("gpu") else "KIND_CPU"
