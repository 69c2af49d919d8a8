"""The engines as a table. A new engine is one engine file, one exporter file and one row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Literal

from model_builder.artifact.manifest import Artifact, Precision
from model_builder.errors import BuilderError, InvalidArtifact
from model_builder.exporters.base import BuildTarget
from service.engines.base import Engine, Hardware


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """One engine.

    name: in artifacts' manifests and folders; has no "-". module: has
    `load(artifact, hardware) -> tuple[Engine, ...]`, and where `chooses_precision` is set
    `fastest_precision(hardware) -> Precision`; imported only when it is used.
    exporter: the module that writes its networks. precisions, devices: what it serves, "cpu" or
    "gpu". package: whose version decides how long a batch takes.
    """

    name: str
    module: str
    exporter: str
    precisions: tuple[Precision, ...]
    devices: tuple[Literal["cpu", "gpu"], ...]
    package: str
    chooses_precision: bool = False

    def target(self, precision: Precision) -> BuildTarget:
        return BuildTarget(self.name, precision, self.exporter)


# Of two engines that serve a precision on a device, the first is used.
ENGINES: tuple[EngineSpec, ...] = (
    EngineSpec(
        name="tensorflow",
        module="service.engines.tensorflow",
        exporter="model_builder.exporters.tensorflow",
        precisions=("float32", "bfloat16", "float16"),
        devices=("cpu", "gpu"),
        package="tensorflow",
        chooses_precision=True,
    ),
    EngineSpec(
        name="litert",
        module="service.engines.litert",
        exporter="model_builder.exporters.litert",
        precisions=("int8",),
        devices=("cpu",),
        package="ai-edge-litert",
    ),
)


def engine_called(name: str, engines: Sequence[EngineSpec] = ENGINES) -> EngineSpec:
    """The row with this name. Raises InvalidArtifact where there is none."""
    for spec in engines:
        if spec.name == name:
            return spec
    known = ", ".join(spec.name for spec in engines)
    raise InvalidArtifact(f"This version has the engines {known}. Received: {name}")


def engine_for(
    precision: Precision, hardware: Hardware, engines: Sequence[EngineSpec] = ENGINES
) -> EngineSpec:
    """The engine that serves a precision on this hardware. Raises BuilderError."""
    serving = [spec for spec in engines if precision in spec.precisions]
    for spec in serving:
        if hardware.device == "auto" or hardware.device in spec.devices:
            return spec
    devices = sorted({device for spec in serving for device in spec.devices})
    raise BuilderError(
        f"{precision} is served on {', '.join(devices) or 'no device'}. Received: {hardware.device}"
    )


def choose_precision(
    wanted: Precision | Literal["auto"],
    hardware: Hardware,
    engines: Sequence[EngineSpec] = ENGINES,
) -> Precision:
    """`wanted`, or for "auto" the fastest that costs no accuracy on this hardware.

    "auto" imports the framework of the first engine that chooses.
    """
    if wanted != "auto":
        return wanted
    chooser = next(spec for spec in engines if spec.chooses_precision)
    precision: Precision = import_module(chooser.module).fastest_precision(hardware)
    return precision


def load_engines(
    artifact: Artifact, hardware: Hardware, engines: Sequence[EngineSpec] = ENGINES
) -> tuple[Engine, ...]:
    """One engine for each device, each with the network loaded and nothing run yet.

    Imports the framework of the artifact's engine and no other. Raises BuilderError where the
    hardware is not what the artifact needs.
    """
    spec = engine_called(artifact.manifest.engine, engines)
    loaded: tuple[Engine, ...] = import_module(spec.module).load(artifact, hardware)
    return loaded
