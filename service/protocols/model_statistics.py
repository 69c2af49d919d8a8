"""A model's statistics in Triton's form."""

from __future__ import annotations

from typing import Any

from prometheus_client.metrics import MetricWrapperBase

from service.inference.model import Model
from service.inference.repository import VERSION
from service.observability.metrics import Metrics
from service.observability.request_statistics import Durations

NANOSECONDS = 1_000_000_000
NONE = {"count": 0, "ns": 0}


def statistics(name: str, model: Model, metrics: Metrics) -> dict[str, Any]:
    """name: by which the client knows the model.

    Counts are of requests, of `inference_count` of images, of `execution_count` of batches.
    perf_analyzer requires that the three of `compute_...` are the same.
    """
    requests = model.statistics
    return {
        "name": name,
        "version": VERSION,
        "last_inference": requests.last_ms,
        "inference_count": requests.images,
        "execution_count": _count(metrics.batch_size, model.name),
        "inference_stats": {
            "success": _duration(requests.success),
            "fail": _duration(requests.fail),
            "queue": _duration(requests.queue),
            "compute_input": _duration(requests.decode),
            "compute_infer": _duration(requests.inference),
            "compute_output": _duration(requests.outputs),
            "cache_hit": NONE,
            "cache_miss": NONE,
        },
        "batch_stats": [],
        "memory_usage": [],
    }


def _duration(given: Durations) -> dict[str, int]:
    return {"count": given.count, "ns": int(given.seconds * NANOSECONDS)}


def _count(metric: MetricWrapperBase, model: str) -> int:
    """Of a histogram's observations of one model."""
    (family,) = metric.collect()
    counts = (
        one.value
        for one in family.samples
        if one.name == f"{family.name}_count" and one.labels.get("model") == model
    )
    return int(next(counts, 0))
