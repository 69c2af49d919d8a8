"""OpenVINO on a CPU: float32, bfloat16 and int8, without TensorFlow."""

from __future__ import annotations

import io
import logging
import queue
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model_builder.artifact.manifest import OPENVINO_MODEL, Artifact, Precision
from model_builder.errors import BuilderError, InvalidArtifact
from model_builder.system.openvino_import import import_openvino
from service.engines.base import Hardware, Run
from service.engines.compiled_graph import CompiledGraph, compiled_graph
from service.system.cpu import CPUINFO, affine_cpus, has_bfloat16
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

    It is compiled twice: for one batch at a time, which has every thread, and by `divide` for
    several, which divide them (streams). Threads of one batch wait for each other after each layer,
    and so for one whose CPU decodes an image; batches of different streams don't.
    """

    def __init__(self, artifact: Artifact, threads: int, cache: Path | None = None) -> None:
        """cache: `Hardware.cache`. Raises InvalidArtifact."""
        self._path = artifact.network / OPENVINO_MODEL
        self._weights = self._path.with_suffix(".bin").resolve()
        self._threads = threads
        self._streams = min(threads, MAX_STREAMS)
        self._precision = artifact.manifest.precision
        edge = artifact.manifest.preprocessing.crop_size
        self._blank = np.zeros((1, edge, edge, 3), np.uint8)
        openvino = import_openvino()
        self._core = openvino.Core()
        kept = compiled_graph(
            artifact,
            cache,
            openvino_version=openvino.__version__,
            properties=self._properties(1),
        )
        try:
            compiled, self._graph = self._compile(kept)
            (self._alone,) = self._requests(compiled, 1)
        except RuntimeError as error:
            raise InvalidArtifact(f"{self._path} can't be run: {error}") from error
        # What `run` takes: the streams once there are any.
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._divided = self._streams == 1
        self._whole = threading.Lock()
        self._dividing = threading.Lock()
        if self._divided:
            self._idle.put(self._alone)
            self._graph = b""

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
        if not self._divided:
            return self._run_alone(pixels)
        request = self._idle.get()
        try:
            return _infer(request, pixels)
        finally:
            self._idle.put(request)

    @property
    def alone(self) -> Run | None:
        return self._run_alone if self._streams > 1 else None

    def _run_alone(self, pixels: Pixels) -> Array:
        # A batch that hangs keeps the request, and OpenVINO refuses a second one on it.
        if not self._whole.acquire(blocking=not self._divided):
            return self.run(pixels)
        try:
            return _infer(self._alone, pixels)
        finally:
            self._whole.release()

    @property
    def divided(self) -> bool:
        return self._divided

    def divide(self) -> None:
        """Compiles the streams' network, and runs each stream once."""
        with self._dividing:
            if self._divided:
                return
            try:
                compiled = self._import(self._graph, self._streams)
                for request in self._requests(compiled, self._streams):
                    self._idle.put(request)
            except RuntimeError as error:
                raise InvalidArtifact(f"{self._path} can't be run in streams: {error}") from error
            self._divided, self._graph = True, b""
        release_file(self._weights)

    def _compile(self, kept: CompiledGraph) -> tuple[Any, bytes]:
        """The network for one batch at a time, and its graph. Raises RuntimeError."""
        if graph := kept.read():
            try:
                return self._import(graph, 1), graph
            except RuntimeError as error:
                logger.info("%s is not used: %s", kept.path, error)
        network = self._core.read_model(self._path)
        compiled = self._core.compile_model(network, "CPU", self._properties(1))
        graph = compiled.export_model().getvalue()
        kept.write(graph)
        return compiled, graph

    def _import(self, graph: bytes, streams: int) -> Any:
        """As compiled, in a third of the time and with less memory. Raises RuntimeError."""
        properties = self._properties(streams) | {"WEIGHTS_PATH": str(self._weights)}
        return self._core.import_model(io.BytesIO(graph), "CPU", properties)

    def _properties(self, streams: int) -> dict[str, Any]:
        return {
            "INFERENCE_NUM_THREADS": self._threads,
            "INFERENCE_PRECISION_HINT": COMPUTE_TYPES[self._precision],
            "NUM_STREAMS": streams,
            # Replicas that each have a part of the CPUs would pin threads to the same ones.
            "ENABLE_CPU_PINNING": streams > 1 and self._threads >= affine_cpus(),
            # An exported graph refers to the weights' file, and has no copy of it.
            "CACHE_MODE": "OPTIMIZE_SIZE",
        }

    def _requests(self, compiled: Any, streams: int) -> list[Any]:
        """One for each stream, that have run once. Raises RuntimeError."""
        requests = [compiled.create_infer_request() for _ in range(streams)]
        # The first inference lays out the weights. OpenVINO's Python makes its tables of types at
        # the first of all: two at the same time have waited for each other for ever.
        for request in requests:
            _infer(request, self._blank)
        return requests

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
    return (OpenVINOEngine(artifact, hardware.cpu_threads, hardware.cache),)


def fastest_precision(hardware: Hardware, cpuinfo: Path = CPUINFO) -> Precision:  # noqa: ARG001
    """bfloat16 where the CPU multiplies it in hardware, else float32."""
    return "bfloat16" if has_bfloat16(cpuinfo) else "float32"
