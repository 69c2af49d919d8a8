"""Which classes of a model the drift metrics name."""

from __future__ import annotations

from model_builder.artifact.confidence import FittedConfidence
from model_builder.artifact.manifest import Artifact
from service.observability.drift import DriftMetrics, ModelDrift

# A model with more classes is counted by its most frequent ones.
MAX_CLASSES = 50
FREQUENT_CLASSES = 20
MAX_NAME_LENGTH = 100


def drift_of(
    artifact: Artifact, fitted: FittedConfidence | None, metrics: DriftMetrics
) -> ModelDrift:
    """The metrics of a model that is loaded. Sets the confidence that its calibration expects."""
    name = artifact.manifest.name
    if fitted is not None:
        metrics.expected_confidence.labels(name).set(fitted.report.mean_confidence)
    labels = artifact.labels
    counted: range | tuple[int, ...] | None = None
    if len(labels) <= MAX_CLASSES:
        counted = range(len(labels))
    elif fitted is not None:
        counted = fitted.frequent_classes[:FREQUENT_CLASSES]
    # Two classes may have one name: the index tells them apart.
    classes = counted and {one: f"{one}:{labels[one].name}"[:MAX_NAME_LENGTH] for one in counted}
    return ModelDrift(metrics, name, classes or None, scored=fitted is not None)
