"""Whether this machine has a GPU that a framework might use."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

# Of NVIDIA's driver, of a Linux under Windows, and of AMD's driver.
DRIVERS = (Path("/dev/nvidiactl"), Path("/dev/dxg"), Path("/dev/kfd"))
# The GPUs that CUDA shows to a process, by number or id, separated by commas.
VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"
# NVIDIA's driver has a folder there for each.
NVIDIA_GPUS = Path("/proc/driver/nvidia/gpus")


def has_gpu_driver(drivers: Iterable[Path] = DRIVERS) -> bool:
    """False: no framework sees a GPU here. True: ask one, which may lack its own libraries."""
    return any(path.exists() for path in drivers)


def gpu_ids(folder: Path = NVIDIA_GPUS) -> list[str]:
    """What this process may name in VISIBLE_GPUS: that variable's own, else every NVIDIA GPU."""
    visible = os.environ.get(VISIBLE_GPUS)
    if visible is not None:
        return [one.strip() for one in visible.split(",") if one.strip()]
    return [str(number) for number, _ in enumerate(folder.glob("*"))]
