"""What a row's logits and features tell about how sure the model is of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_builder.artifact.confidence import FittedConfidence, Scaling
from model_builder.artifact.head import softmax
from service.inference.confidence.out_of_distribution import Detector

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Assessment:
    """How sure a model is of one image.

    top: the class that it names. confidence: the top class's, 0 to 1: calibrated where the model
    is, else its probability. confidences: calibrated, float32 [classes]; None without calibration.
    ood_score: higher for what is less like the images of the calibration, of which 95 % have 1 or
    less; None where it was not fitted.
    """

    top: int
    confidence: float
    confidences: Array | None = None
    ood_score: float | None = None

    @property
    def out_of_distribution(self) -> bool:
        return self.ood_score is not None and self.ood_score > 1

    def abstains(self, below: float) -> bool:
        """Whether the confidence is under the threshold, 0 to 1."""
        return self.confidence < below


class Assessor:
    """One model's. fitted: None without calibration. observe: receives the top class, its
    confidence and the out-of-distribution score of each image.
    """

    def __init__(
        self,
        fitted: FittedConfidence | None,
        observe: Callable[[int, float, float | None], None] = lambda *_: None,
    ) -> None:
        self.fitted = fitted
        self._observe = observe
        self._detector: Detector | None = None if fitted is None else Detector(fitted.detector)

    def assess(self, pooled: Array, logits: Array) -> Assessment:
        """pooled: float32 [features]. logits: float32 [classes]."""
        top = int(logits.argmax())
        if self.fitted is None:
            found = Assessment(top, float(1 / np.exp(logits - logits[top]).sum()))
        else:
            scaled = scale(logits, self.fitted.scaling)
            confidences = softmax(scaled)
            assert self._detector is not None
            score = self._detector.score(pooled, scaled)
            found = Assessment(top, float(confidences[top]), confidences, score)
        self._observe(top, found.confidence, found.ood_score)
        return found


def scale(logits: Array, scaling: Scaling) -> Array:
    """Logits, float32 [..., classes], to those whose softmax is calibrated."""
    return logits * scaling.scale + scaling.bias
