"""LiteRT with XNNPACK: int8 on a CPU, without TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert.interpreter import Interpreter

from model_builder.artifact.manifest import LITERT_MODEL, Artifact
from model_builder.errors import BuilderError, InvalidArtifact
from model_builder.system.native_stderr import redirect_native_stderr
from service.engines.base import Hardware

Pixels = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float32]

# The largest batch to measure; a batch of one already uses all of a CPU's cores.
MAX_BATCH_SIZE = 8


class LiteRTEngine:
    """The int8 network of one artifact on the CPU.

    One interpreter for each batch size: to resize one takes as long as to make another, about
    0.2 s. Each has its own copy of the weights, in the CPU's layout.
    """

    def __init__(self, artifact: Artifact, threads: int) -> None:
        self._path = artifact.network / LITERT_MODEL
        self._threads = threads
        self._prepared: dict[int, tuple[Any, int, int]] = {}

    @property
    def device(self) -> str:
        return "cpu:0"

    @property
    def max_batch_size(self) -> int:
        return MAX_BATCH_SIZE

    @property
    def takes_any_size(self) -> bool:
        return False

    @property
    def concurrency(self) -> int:
        """1: an interpreter has one set of activations."""
        return 1

    @property
    def alone(self) -> None:
        """`run` has every thread."""

    @property
    def divided(self) -> bool:
        return True

    def divide(self) -> None:
        """Nothing to do."""

    def run(self, pixels: Pixels) -> Array:
        prepared = self._prepared.get(len(pixels))
        if prepared is None:
            prepared = self._prepared[len(pixels)] = self._prepare(pixels.shape)
        interpreter, given, output = prepared
        interpreter.set_tensor(given, pixels)
        interpreter.invoke()
        features: Array = interpreter.get_tensor(output)
        return features

    def retain_sizes(self, batch_sizes: tuple[int, ...]) -> None:
        self._prepared = {size: one for size, one in self._prepared.items() if size in batch_sizes}

    def _prepare(self, shape: tuple[int, ...]) -> tuple[Any, int, int]:
        """An interpreter for one batch size, and the indices of its input and output."""
        try:
            with redirect_native_stderr():
                interpreter = Interpreter(model_path=str(self._path), num_threads=self._threads)
                (given,) = interpreter.get_input_details()
                (output,) = interpreter.get_output_details()
                interpreter.resize_tensor_input(given["index"], shape)
                interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise InvalidArtifact(f"{self._path} can't be run: {error}") from error
        return interpreter, given["index"], output["index"]


def load(artifact: Artifact, hardware: Hardware) -> tuple[LiteRTEngine, ...]:
    """The engine, with nothing run yet. Raises BuilderError for a GPU."""
    if hardware.device == "gpu":
        raise BuilderError("int8 is for CPUs; on a GPU use bfloat16 or float16. Received: gpu")
    return (LiteRTEngine(artifact, hardware.cpu_threads),)
