"""The CPUs that this process may use, and their features."""

from __future__ import annotations

import math
import os
import platform
from pathlib import Path

from threadpoolctl import threadpool_limits

CGROUP = Path("/sys/fs/cgroup")
CPUINFO = Path("/proc/cpuinfo")
# Names in `CPUINFO`, on x86 and on ARM.
CPU_FIELDS = (
    "model name",
    "cpu family",
    "model",
    "stepping",
    "CPU implementer",
    "CPU part",
    "flags",
    "Features",
)


def cpu_limit(cgroup: Path = CGROUP) -> int:
    """The number of CPUs by affinity and the container's quota, rounded up; at least 1.

    A container limited to 2 of a machine's 64 CPUs sees 64; the quota would stop 64 threads for
    most of every 100 ms.
    """
    available = affine_cpus()
    quota = _cgroup_quota(cgroup)
    return available if quota is None else max(1, min(available, math.ceil(quota)))


def affine_cpus() -> int:
    """The number of CPUs by affinity alone."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def limit_blas_threads() -> None:
    """Lets NumPy's BLAS use one thread in this process.

    The service's own matrices are small. OpenBLAS would split them among threads that spin while
    they wait for the next, on the CPUs that the network runs on.
    """
    threadpool_limits(1, user_api="blas")


def has_bfloat16(cpuinfo: Path = CPUINFO) -> bool:
    """Whether the CPU multiplies bfloat16 in hardware: AVX512-BF16 or AMX."""
    flags = _fields(cpuinfo).get("flags", "").split()
    return "avx512_bf16" in flags or "amx_bf16" in flags


def cpu_model(cpuinfo: Path = CPUINFO) -> str:
    """Identifies the CPU's model and features, as far as the system reports them."""
    fields = _fields(cpuinfo)
    known = (fields.get(name) for name in CPU_FIELDS)
    return ", ".join([platform.machine(), *filter(None, known)])


def _fields(cpuinfo: Path) -> dict[str, str]:
    """The first CPU's fields; empty on a system without that file."""
    try:
        first, _, _ = cpuinfo.read_text().partition("\n\n")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _cgroup_quota(cgroup: Path) -> float | None:
    """CPUs allowed by the cgroup (version 2, else 1); None without a limit."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (cgroup / "cpu/cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if not quota.isdigit():
        # "max" in version 2, "-1" in version 1.
        return None
    return int(quota) / int(period)
