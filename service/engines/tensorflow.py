"""TensorFlow: float32 and bfloat16 on a CPU, float16 and bfloat16 with XLA on GPUs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model_builder.artifact import Artifact, Precision
from model_builder.errors import BuilderError
from model_builder.tensorflow_runtime import import_tensorflow
from service.cpu import CPUINFO, has_bfloat16
from service.engines import Hardware

logger = logging.getLogger(__name__)

Pixels = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float32]

# Where looking for a larger batch ends: arithmetic is what a CPU waits for from 8 on at the latest.
CPU_BATCH_SIZE = 8
GPU_BATCH_SIZE = 256
# From this compute capability on (Ampere), GPUs multiply bfloat16.
BFLOAT16_CAPABILITY = (8, 0)


class TensorFlowEngine:
    """The network of one artifact on one logical device.

    xla: compile for each batch size. What it costs at warm-up a GPU gives back; a CPU does not.
    """

    def __init__(
        self, artifact: Artifact, device: str, *, xla: bool, max_batch_size: int = CPU_BATCH_SIZE
    ) -> None:
        self._tf: Any = import_tensorflow()
        self._device = device
        self._max_batch_size = max_batch_size
        with self._tf.device(device):
            # The signature does not keep its module alive.
            self._module = self._tf.saved_model.load(str(artifact.network))
        signature = self._module.signatures["serving_default"]
        self._function: Callable[..., Any] = (
            self._tf.function(lambda pixels: signature(pixels=pixels), jit_compile=True)
            if xla
            else signature
        )

    @property
    def device(self) -> str:
        return self._device.removeprefix("/device:").lower()

    @property
    def max_batch_size(self) -> int:
        return self._max_batch_size

    @property
    def at_once(self) -> int:
        """Two on a GPU: the next batch is copied there while the last one runs, and none waits for
        Python in between.
        """
        return 2 if self._device.startswith("/device:GPU") else 1

    def features(self, pixels: Pixels) -> Any:
        """The feature map as a tensor on the device."""
        with self._tf.device(self._device):
            return self._function(pixels=self._tf.constant(pixels))["features"]

    def run(self, pixels: Pixels) -> Array:
        features: Array = self.features(pixels).numpy()
        return features

    def keep(self, batch_sizes: tuple[int, ...]) -> None:
        """One function serves every size; what XLA has compiled stays with it."""


def load(artifact: Artifact, hardware: Hardware) -> tuple[TensorFlowEngine, ...]:
    """An engine on every device that was asked for. Raises BuilderError where there is none."""
    kind = configure(hardware)
    tf: Any = import_tensorflow()
    precision = artifact.manifest.precision
    if kind == "CPU" and precision == "float16":
        raise BuilderError("float16 is for GPUs; on a CPU use bfloat16 or float32.")
    if kind == "CPU" and precision == "bfloat16" and not has_bfloat16():
        logger.warning("This processor has no bfloat16; float32 would be faster.")
    largest = CPU_BATCH_SIZE if kind == "CPU" else GPU_BATCH_SIZE
    return tuple(
        TensorFlowEngine(artifact, device.name, xla=kind == "GPU", max_batch_size=largest)
        for device in tf.config.list_logical_devices(kind)
    )


def configure(hardware: Hardware) -> str:
    """Sets up the process's devices once and says which kind is used: "CPU" or "GPU"."""
    tf: Any = import_tensorflow()
    gpus = tf.config.list_physical_devices("GPU")
    if hardware.device == "gpu" and not gpus:
        raise BuilderError("TensorFlow sees no GPU on this machine. Received: device=gpu")
    try:
        tf.config.threading.set_intra_op_parallelism_threads(hardware.cpu_threads)
        # One batch at a time a device: a second pool would only take turns with the first.
        tf.config.threading.set_inter_op_parallelism_threads(1)
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError:
        # TensorFlow settles both when it first computes, and the first model has done so.
        logger.debug("TensorFlow is configured already")
    return "GPU" if gpus and hardware.device != "cpu" else "CPU"


def fastest_precision(hardware: Hardware, cpuinfo: Path = CPUINFO) -> Precision:
    """bfloat16 where the hardware multiplies it; else float32 on a CPU, float16 on a GPU."""
    if configure(hardware) == "CPU":
        return "bfloat16" if has_bfloat16(cpuinfo) else "float32"
    tf: Any = import_tensorflow()
    capabilities = [
        tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0))
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    return "bfloat16" if min(capabilities) >= BFLOAT16_CAPABILITY else "float16"
