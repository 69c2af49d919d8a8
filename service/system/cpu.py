"""How many CPUs this process may use, and what they can compute in."""

from __future__ import annotations

import math
import os
import platform
from pathlib import Path

from threadpoolctl import threadpool_limits

CGROUP = Path("/sys/fs/cgroup")
CPUINFO = Path("/proc/cpuinfo")
# In `CPUINFO`, on x86 and on ARM.
PROCESSOR_FACTS = (
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
    """CPUs that the scheduler will really give: affinity and the container's quota.

    A container limited to 2 of a machine's 64 CPUs sees 64; as many threads would be
    stopped by the quota for most of every 100 ms.
    """
    if hasattr(os, "sched_getaffinity"):
        available = len(os.sched_getaffinity(0))
    else:
        available = os.cpu_count() or 1
    quota = _cgroup_quota(cgroup)
    return available if quota is None else max(1, min(available, math.ceil(quota)))


def limit_blas_threads() -> None:
    """NumPy multiplies small matrices here, which OpenBLAS shares out among threads that then
    spin in wait for the next: on the CPUs that the network is to run on.
    """
    threadpool_limits(1, user_api="blas")


def has_bfloat16(cpuinfo: Path = CPUINFO) -> bool:
    """Whether the CPU multiplies bfloat16 in hardware: AVX512-BF16 or AMX."""
    flags = _facts(cpuinfo).get("flags", "").split()
    return "avx512_bf16" in flags or "amx_bf16" in flags


def cpu_model(cpuinfo: Path = CPUINFO) -> str:
    """What tells one kind of CPU from another, as far as the system says."""
    facts = _facts(cpuinfo)
    known = (facts.get(name) for name in PROCESSOR_FACTS)
    return ", ".join([platform.machine(), *filter(None, known)])


def _facts(cpuinfo: Path) -> dict[str, str]:
    """Of the first CPU; none on a system that does not say so there."""
    try:
        first, _, _ = cpuinfo.read_text().partition("\n\n")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _cgroup_quota(cgroup: Path) -> float | None:
    """CPUs allowed by the cgroup (version 2, else 1), or None for no limit."""
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
