"""TensorFlow: selects the CPU's or the GPU's engine for an artifact, and the fastest precision."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from model_builder.artifact.manifest import Artifact, Precision
from model_builder.errors import BuilderError
from model_builder.system.tensorflow_import import import_tensorflow
from service.engines.base import Engine, Hardware
from service.engines.tensorflow_cpu import CpuEngine
from service.engines.tensorflow_gpu import GpuEngine
from service.system.cpu import CPUINFO, has_bfloat16

logger = logging.getLogger(__name__)

# From this compute capability on (Ampere), GPUs multiply bfloat16.
BFLOAT16_CAPABILITY = (8, 0)


def load(artifact: Artifact, hardware: Hardware) -> tuple[Engine, ...]:
    """One engine for each GPU, or one for the CPU.

    Raises BuilderError where the device or the precision is not available.
    """
    kind = configure(hardware)
    precision = artifact.manifest.precision
    if kind == "GPU":
        tf: Any = import_tensorflow()
        return tuple(
            GpuEngine(artifact, device.name) for device in tf.config.list_logical_devices("GPU")
        )
    if precision == "float16":
        raise BuilderError("float16 is for GPUs; on a CPU use bfloat16 or float32.")
    if precision == "bfloat16" and not has_bfloat16():
        logger.warning("This CPU has no bfloat16; float32 would be faster.")
    return (CpuEngine(artifact, threads=hardware.cpu_threads),)


def configure(hardware: Hardware) -> str:
    """Configures TensorFlow's devices and returns the kind that is used: "CPU" or "GPU".

    Raises BuilderError where a GPU is required and there is none.
    """
    tf: Any = import_tensorflow()
    gpus = tf.config.list_physical_devices("GPU")
    if hardware.device == "gpu" and not gpus:
        raise BuilderError("TensorFlow sees no GPU on this machine. Received: device=gpu")
    try:
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError:
        # It can't be changed after the first computation, which an earlier model has made.
        logger.debug("TensorFlow is already configured")
    return "GPU" if gpus and hardware.device != "cpu" else "CPU"


def sees_gpu() -> bool:
    """Whether TensorFlow can use a GPU of this machine."""
    tf: Any = import_tensorflow()
    return bool(tf.config.list_physical_devices("GPU"))


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
