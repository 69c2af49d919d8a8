"""The engines as a table. A new engine is one engine file, one exporter file and one row."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Literal

from model_builder.artifact.manifest import Artifact, Precision
from model_builder.errors import BuilderError, InvalidArtifact
from model_builder.exporters.base import BuildTarget
from service.engines.base import Device, Engine, Hardware
from service.system.gpu import has_gpu_driver


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """One engine.

    name: in artifacts' manifests and folders; has no "-". module: has
    `load(artifact, hardware) -> tuple[Engine, ...]`, where `chooses_precision` is set
    `fastest_precision(hardware) -> Precision`, and where `devices` has "gpu" `sees_gpu() -> bool`;
    imported only when it is used.
    exporter: the module that writes its networks. precisions, devices: what it serves, "cpu" or
    "gpu". package: whose version decides how long a batch takes. rivals: the precisions in which
    it is the faster on some CPUs, so that it is measured against the rows before it.
    """

    name: str
    module: str
    exporter: str
    precisions: tuple[Precision, ...]
    devices: tuple[Literal["cpu", "gpu"], ...]
    package: str
    chooses_precision: bool = False
    rivals: tuple[Precision, ...] = ()

    def target(self, precision: Precision) -> BuildTarget:
        return BuildTarget(self.name, precision, self.exporter)


# On x86-64 OpenVINO was ahead wherever both were measured (docs/performance.md), and replicas that
# measured differently would differ in their probabilities.
LITERT_RIVALS: tuple[Precision, ...] = (
    () if platform.machine().lower() in ("x86_64", "amd64") else ("int8",)
)

# Of two engines that serve a precision on a device, the first is used; a rival may be faster.
ENGINES: tuple[EngineSpec, ...] = (
    EngineSpec(
        name="openvino",
        module="service.engines.openvino",
        exporter="model_builder.exporters.openvino",
        precisions=("float32", "bfloat16", "int8"),
        devices=("cpu",),
        package="openvino",
        chooses_precision=True,
    ),
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
        rivals=LITERT_RIVALS,
    ),
)


def engine_called(name: str, engines: Sequence[EngineSpec] = ENGINES) -> EngineSpec:
    """The row with this name. Raises InvalidArtifact where there is none."""
    for spec in engines:
        if spec.name == name:
            return spec
    known = ", ".join(spec.name for spec in engines)
    raise InvalidArtifact(f"This version has the engines {known}. Received: {name}")


def find_device(device: Device, engines: Sequence[EngineSpec] = ENGINES) -> Device:
    """`device`, or for "auto" what there is: "gpu" where an engine for GPUs sees one.

    Without a GPU's driver no framework is imported to find out.
    """
    if device != "auto":
        return device
    if has_gpu_driver():
        for spec in engines:
            if "gpu" in spec.devices and import_module(spec.module).sees_gpu():
                return "gpu"
    return "cpu"


def candidates(
    engine: str, hardware: Hardware, engines: Sequence[EngineSpec] = ENGINES
) -> list[EngineSpec]:
    """The engines for a device, the preferred one first. engine: a name, or "auto" for any.

    Raises BuilderError where there is none, and InvalidArtifact for a name that is in no row.
    """
    named = engines if engine == "auto" else [engine_called(engine, engines)]
    found = [one for one in named if hardware.device == "auto" or hardware.device in one.devices]
    if not found:
        devices = sorted({device for spec in named for device in spec.devices})
        raise BuilderError(
            f"{engine} serves on {', '.join(devices)}. Received: device {hardware.device}"
        )
    return found


def engine_for(
    precision: Precision,
    hardware: Hardware,
    engines: Sequence[EngineSpec] = ENGINES,
    engine: str = "auto",
) -> EngineSpec:
    """The engine that serves a precision on this hardware. Raises BuilderError."""
    for spec in candidates(engine, hardware, engines):
        if precision in spec.precisions:
            return spec
    named = [spec for spec in engines if engine in ("auto", spec.name)]
    devices = sorted({d for spec in named if precision in spec.precisions for d in spec.devices})
    if not devices:
        raise BuilderError(f"{engine} has {', '.join(named[0].precisions)}. Received: {precision}")
    raise BuilderError(
        f"{precision} is served on {', '.join(devices)}. Received: {hardware.device}"
    )


def choose_precision(
    wanted: Precision | Literal["auto", "auto-int8"],
    hardware: Hardware,
    engines: Sequence[EngineSpec] = ENGINES,
    engine: str = "auto",
) -> Precision:
    """`wanted`, or for "auto" the fastest that costs no accuracy on this hardware.

    Of an engine that has none such, the first that it has. "auto-int8" is int8 where it is served,
    else as "auto", which imports the module of the first engine that chooses, on a GPU with its
    framework. Raises BuilderError.
    """
    if wanted != "auto" and wanted != "auto-int8":
        return wanted
    possible = candidates(engine, hardware, engines)
    if wanted == "auto-int8" and any("int8" in spec.precisions for spec in possible):
        return "int8"
    for spec in possible:
        if spec.chooses_precision:
            precision: Precision = import_module(spec.module).fastest_precision(hardware)
            return precision
    return possible[0].precisions[0]


def load_engines(
    artifact: Artifact, hardware: Hardware, engines: Sequence[EngineSpec] = ENGINES
) -> tuple[Engine, ...]:
    """One engine for each device, each with the network loaded, and not divided yet.

    Imports the framework of the artifact's engine and no other. Raises BuilderError where the
    hardware is not what the artifact needs.
    """
    spec = engine_called(artifact.manifest.engine, engines)
    loaded: tuple[Engine, ...] = import_module(spec.module).load(artifact, hardware)
    return loaded


def load_divided(
    artifact: Artifact, hardware: Hardware, engines: Sequence[EngineSpec] = ENGINES
) -> tuple[Engine, ...]:
    """As `load_engines`, with everything prepared that a service prepares while it serves."""
    loaded = load_engines(artifact, hardware, engines)
    for engine in loaded:
        engine.divide()
    return loaded
