"""OpenVINO on a CPU: float32, bfloat16 and int8, without TensorFlow."""

from __future__ import annotations

import logging
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt

from model_builder.artifact.manifest import OPENVINO_MODEL, Artifact, Precision
from model_builder.errors import BuilderError, InvalidArtifact
from model_builder.system.openvino_import import import_openvino
from service.engines.base import Hardware
from service.system.cpu import CPUINFO, has_bfloat16

logger = logging.getLogger(__name__)

Pixels = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float32]

# Where looking for a larger batch ends; arithmetic is what a CPU waits for from 8 on at the latest.
MAX_BATCH_SIZE = 8
# Of one of several streams: its few threads are as fast with it, and each stream has its memory.
MAX_STREAM_BATCH_SIZE = 4
# What the network's operations on floats compute in, by the artifact's precision. An int8 network
# has few of them, at its input and output; the quantized ones are in int8 with any.
COMPUTE_TYPES = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}


class OpenVINOEngine:
    """The network of one artifact on the CPU, for any batch size."""

    def __init__(self, artifact: Artifact, threads: int, streams: int = 1) -> None:
        """streams: batches at the same time, at most one a thread. Raises InvalidArtifact."""
        self._streams = min(streams, threads)
        path = artifact.network / OPENVINO_MODEL
        core = import_openvino().Core()
        try:
            compiled = core.compile_model(
                core.read_model(path),
                "CPU",
                {
                    "INFERENCE_NUM_THREADS": threads,
                    "INFERENCE_PRECISION_HINT": COMPUTE_TYPES[artifact.manifest.precision],
                    # Each batch has its share of the threads.
                    "NUM_STREAMS": self._streams,
                    # Replicas on one machine would all pin their threads to the same CPUs.
                    "ENABLE_CPU_PINNING": False,
                },
            )
        except RuntimeError as error:
            raise InvalidArtifact(f"{path} can't be run: {error}") from error
        # Those that no thread is using: each has one set of feature maps.
        self._requests: SimpleQueue[Any] = SimpleQueue()
        for _ in range(self._streams):
            self._requests.put(compiled.create_infer_request())

    @property
    def device(self) -> str:
        return "cpu:0"

    @property
    def max_batch_size(self) -> int:
        return MAX_BATCH_SIZE if self._streams == 1 else MAX_STREAM_BATCH_SIZE

    @property
    def takes_any_size(self) -> bool:
        return True

    @property
    def concurrency(self) -> int:
        return self._streams

    def run(self, pixels: Pixels) -> Array:
        request = self._requests.get()
        try:
            request.infer([pixels], share_inputs=True)
            features: Array = request.get_output_tensor().data.copy()
            return features
        finally:
            self._requests.put(request)

    def retain_sizes(self, batch_sizes: tuple[int, ...]) -> None:
        """One network serves every size."""


def load(artifact: Artifact, hardware: Hardware) -> tuple[OpenVINOEngine, ...]:
    """Raises BuilderError where a GPU was asked for."""
    if hardware.device == "gpu":
        raise BuilderError("OpenVINO serves on CPUs here; on a GPU use tensorflow. Received: gpu")
    if artifact.manifest.precision == "bfloat16" and not has_bfloat16():
        logger.warning("This CPU has no bfloat16; float32 would be faster.")
    return (OpenVINOEngine(artifact, hardware.cpu_threads, hardware.cpu_streams),)


def fastest_precision(hardware: Hardware, cpuinfo: Path = CPUINFO) -> Precision:  # noqa: ARG001
    """bfloat16 where the CPU multiplies it in hardware, else float32."""
    return "bfloat16" if has_bfloat16(cpuinfo) else "float32"
