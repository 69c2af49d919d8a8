"""Whether this machine has a GPU that a framework might use."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

# Of NVIDIA's driver, of a Linux under Windows, and of AMD's driver.
DRIVERS = (Path("/dev/nvidiactl"), Path("/dev/dxg"), Path("/dev/kfd"))


def has_gpu_driver(drivers: Iterable[Path] = DRIVERS) -> bool:
    """False: no framework sees a GPU here. True: ask one, which may lack its own libraries."""
    return any(path.exists() for path in drivers)
