"""Metrics by which a change of the images shows: confidence, out-of-distribution score, classes."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

CONFIDENCES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1)
# 0 is the median of the calibration's images; 95 % of them have 1 or less.
OOD_SCORES = (-1, -0.5, 0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 3, 5)
OTHER = "other"


class DriftMetrics:
    """Of all models. The classes that are labels are a closed set: `ModelDrift` has its own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.confidence = Histogram(
            "resnet_confidence",
            "Confidence in the class that is named: calibrated where the model is, else its "
            "probability.",
            ["model"],
            buckets=CONFIDENCES,
            registry=registry,
        )
        self.expected_confidence = Gauge(
            "resnet_expected_confidence",
            "Mean confidence on the images that a calibration held out.",
            ["model"],
            registry=registry,
        )
        self.ood_score = Histogram(
            "resnet_ood_score",
            "Out-of-distribution score; 95 % of a calibration's images have 1 or less.",
            ["model"],
            buckets=OOD_SCORES,
            registry=registry,
        )
        self.classes = Counter(
            "resnet_classes",
            "Images by the class that is named: every class of a small model, the most frequent "
            "ones of a calibrated large one.",
            ["model", "class"],
            registry=registry,
        )


class ModelDrift:
    """One model's.

    classes: names of those that are counted by themselves; the others are OTHER. None counts none.
    scored: whether the model has out-of-distribution scores.
    """

    def __init__(
        self,
        metrics: DriftMetrics,
        model: str,
        classes: Mapping[int, str] | None = None,
        *,
        scored: bool = False,
    ) -> None:
        self._confidence = metrics.confidence.labels(model)
        self._ood_score = metrics.ood_score.labels(model) if scored else None
        self._classes = {
            class_id: metrics.classes.labels(model, name)
            for class_id, name in (classes or {}).items()
        }
        self._other = None if classes is None else metrics.classes.labels(model, OTHER)

    def observe(self, top: int, confidence: float, ood_score: float | None) -> None:
        """top: the class that is named."""
        self._confidence.observe(confidence)
        if self._ood_score is not None and ood_score is not None:
            self._ood_score.observe(ood_score)
        if (counter := self._classes.get(top, self._other)) is not None:
            counter.inc()
