"""A worker's share of the machine: CPUs, GPUs, memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

from service.inference.runtime import max_pending_bytes
from service.settings import Settings
from service.settings.types import MAX_WORKERS
from service.system.cpu import cpu_limit
from service.system.gpu import VISIBLE_GPUS, gpu_ids, has_gpu_driver

T = TypeVar("T")

# 8 CPUs decode and classify some 310 photos a second in int8; an event loop answers 590:
# docs/capacity.md.
CPUS_PER_WORKER = 8


def worker_count(settings: Settings) -> int:
    """How many workers RESNET_WORKERS asks for; with "auto" one for every CPUS_PER_WORKER CPUs, at
    least one for each GPU, and as many for each of them.
    """
    workers = settings.http.workers
    if workers != "auto":
        return workers
    gpus = len(gpu_ids()) if settings.model.device != "cpu" and has_gpu_driver() else 0
    each = max(1, gpus)
    return min(MAX_WORKERS, each * max(1, cpu_limit() // (CPUS_PER_WORKER * each)))


def part(items: Sequence[T], share: int, workers: int) -> list[T]:
    """The share's part of the items: contiguous, and of equal length but for one.

    share: 0 to workers - 1. With fewer items than workers several have the same one.
    """
    first, last = share * len(items) // workers, (share + 1) * len(items) // workers
    return list(items[first:last]) or [items[share % len(items)]]


def take_share(settings: Settings, share: int, workers: int) -> Settings:
    """Pins this process to its share of the CPUs and GPUs. Returns the settings for it.

    Where a container's quota gives fewer CPUs than there are, no CPU is the workers' own: they
    divide the number of threads only.
    """
    threads = max(1, cpu_limit() // workers)
    if hasattr(os, "sched_setaffinity"):
        cpus = sorted(os.sched_getaffinity(0))
        if cpu_limit() == len(cpus):
            mine = part(cpus, share, workers)
            os.sched_setaffinity(0, mine)
            threads = len(mine)
    if settings.model.device != "cpu" and has_gpu_driver() and (gpus := gpu_ids()):
        os.environ[VISIBLE_GPUS] = ",".join(part(gpus, share, workers))
    limits = settings.limits
    return settings.model_copy(
        update={
            "model": settings.model.model_copy(
                update={"cpu_threads": settings.model.cpu_threads or threads}
            ),
            "limits": limits.model_copy(
                update={
                    "decode_workers": limits.decode_workers or threads,
                    "max_pending_bytes": max_pending_bytes(limits) // workers,
                }
            ),
        }
    )
