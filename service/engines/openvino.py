"""OpenVINO on a CPU: float32, bfloat16 and int8, without TensorFlow."""

from __future__ import annotations

import logging
import queue
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model_builder.artifact.manifest import OPENVINO_MODEL, Artifact, Precision
from model_builder.errors import BuilderError, InvalidArtifact
from model_builder.system.openvino_import import import_openvino
from service.engines.base import Hardware, Run
from service.system.cpu import CPUINFO, has_bfloat16
from service.system.memory import release_file

logger = logging.getLogger(__name__)

Pixels = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float32]

# Where looking for a larger batch ends; arithmetic is what a CPU waits for from 4 on at the latest.
MAX_BATCH_SIZE = 4
# Each has feature maps of its own.
MAX_STREAMS = 4
# What the network's operations on floats compute in, by the artifact's precision. An int8 network
# has few of them, at its input and output; the quantized ones are in int8 with any.
COMPUTE_TYPES = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}


class OpenVINOEngine:
    """The network of one artifact on the CPU, for any batch size.

    It is compiled twice: for one batch at a time, which has every thread, and for several, which
    divide them (streams). Threads of one batch wait for each other after each layer, and so for
    one whose CPU decodes an image; batches of different streams don't.
    """

    def __init__(self, artifact: Artifact, threads: int) -> None:
        """Raises InvalidArtifact."""
        path = artifact.network / OPENVINO_MODEL
        self._weights = path.with_suffix(".bin").resolve()
        self._streams = min(threads, MAX_STREAMS)
        core = import_openvino().Core()

        def requests(streams: int) -> list[Any]:
            compiled = core.compile_model(
                network,
                "CPU",
                {
                    "INFERENCE_NUM_THREADS": threads,
                    "INFERENCE_PRECISION_HINT": COMPUTE_TYPES[artifact.manifest.precision],
                    "NUM_STREAMS": streams,
                    # Replicas on one machine would all pin their threads to the same CPUs.
                    "ENABLE_CPU_PINNING": False,
                },
            )
            return [compiled.create_infer_request() for _ in range(streams)]

        try:
            network = core.read_model(path)
            (self._alone,) = requests(1)
            streams = requests(self._streams) if self._streams > 1 else [self._alone]
            # OpenVINO's Python makes its tables of types at the first inference: two of them at the
            # same time have waited for each other for ever.
            edge = artifact.manifest.preprocessing.crop_size
            _infer(self._alone, np.zeros((1, edge, edge, 3), np.uint8))
        except RuntimeError as error:
            raise InvalidArtifact(f"{path} can't be run: {error}") from error
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for request in streams:
            self._idle.put(request)

    @property
    def device(self) -> str:
        return "cpu:0"

    @property
    def max_batch_size(self) -> int:
        return MAX_BATCH_SIZE

    @property
    def takes_any_size(self) -> bool:
        return True

    @property
    def concurrency(self) -> int:
        """A request has one set of feature maps."""
        return self._streams

    def run(self, pixels: Pixels) -> Array:
        request = self._idle.get()
        try:
            return _infer(request, pixels)
        finally:
            self._idle.put(request)

    @property
    def alone(self) -> Run | None:
        return self._run_alone if self._streams > 1 else None

    def _run_alone(self, pixels: Pixels) -> Array:
        return _infer(self._alone, pixels)

    def retain_sizes(self, batch_sizes: tuple[int, ...]) -> None:  # noqa: ARG002
        """Every size is served. Warm, the engine has its own copy of the weights' file."""
        release_file(self._weights)


def _infer(request: Any, pixels: Pixels) -> Array:
    request.infer([pixels], share_inputs=True)
    features: Array = request.get_output_tensor().data.copy()
    return features


def load(artifact: Artifact, hardware: Hardware) -> tuple[OpenVINOEngine, ...]:
    """Raises BuilderError where a GPU was asked for."""
    if hardware.device == "gpu":
        raise BuilderError("OpenVINO serves on CPUs here; on a GPU use tensorflow. Received: gpu")
    if artifact.manifest.precision == "bfloat16" and not has_bfloat16():
        logger.warning("This CPU has no bfloat16; float32 would be faster.")
    return (OpenVINOEngine(artifact, hardware.cpu_threads),)


def fastest_precision(hardware: Hardware, cpuinfo: Path = CPUINFO) -> Precision:  # noqa: ARG001
    """bfloat16 where the CPU multiplies it in hardware, else float32."""
    return "bfloat16" if has_bfloat16(cpuinfo) else "float32"
