"""A model's counters in the form of Triton's statistics, from the metrics that there are."""

from __future__ import annotations

from typing import Any

from prometheus_client.metrics import MetricWrapperBase

from service.inference.repository import VERSION
from service.observability.metrics import Metrics

NANOSECONDS = 1_000_000_000
NONE = {"count": 0, "ns": 0}


def statistics(name: str, model: str, metrics: Metrics) -> dict[str, Any]:
    """name: by which the client knows it. model: its own name.

    Counts are of images, of `compute_infer` of batches; decoding is not told apart by model.
    """
    images = _values(metrics.images, model)
    queue = _values(metrics.queue_seconds, model)
    inference = _values(metrics.inference_seconds, model)
    batches = _values(metrics.batch_size, model)
    done = int(images.get("_total ok", 0))
    failed = int(images.get("_total failed", 0) + images.get("_total dropped", 0))
    queue_ns, inference_ns = (
        int(found.get("_sum", 0) * NANOSECONDS) for found in (queue, inference)
    )
    return {
        "name": name,
        "version": VERSION,
        "inference_count": done,
        "execution_count": int(batches.get("_count", 0)),
        "inference_stats": {
            "success": {"count": done, "ns": queue_ns + inference_ns},
            "fail": {"count": failed, "ns": 0},
            "queue": {"count": int(queue.get("_count", 0)), "ns": queue_ns},
            "compute_input": NONE,
            "compute_infer": {"count": int(inference.get("_count", 0)), "ns": inference_ns},
            "compute_output": NONE,
            "cache_hit": NONE,
            "cache_miss": NONE,
        },
        "batch_stats": [],
        "memory_usage": [],
    }


def _values(metric: MetricWrapperBase, model: str) -> dict[str, float]:
    """Of one model, by the sample's suffix and, where there is one, its result."""
    (family,) = metric.collect()
    return {
        " ".join(
            filter(None, (one.name.removeprefix(family.name), one.labels.get("result")))
        ): one.value
        for one in family.samples
        if one.labels.get("model") == model
    }
