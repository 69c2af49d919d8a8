"""The out-of-distribution score: virtual-logit matching (ViM), Wang et al. 2022 (arXiv 2203.10807).

The features' distance from the subspace of the known images' features, scaled to the size of a
logit, less the energy of the logits (their log-sum-exp): features that the classifier does not see
and logits that are small both raise it. The logits are calibrated ones: of a softmax that is
flat the energy says little. docs/decisions/0023-out-of-distribution.md compares it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from model_builder.artifact.head import Head
from model_builder.errors import InvalidArtifact

Array = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]

METHOD = "ViM"
# Of the subspace: of few images only the first directions are more than chance.
IMAGES_A_DIRECTION, MAX_DIRECTIONS = 6, 128
# As a part of the features' length.
MIN_DISTANCE = 1e-4
# Of the images of the calibration that have a score of 1 or less.
KNOWN_PERCENT = 95
NAMES = ("origin", "basis", "alpha", "median", "spread")


class Detector:
    """tensors: what `fit_detector` gave, read from a file. Raises InvalidArtifact."""

    def __init__(self, tensors: Mapping[str, Array]) -> None:
        if missing := [name for name in NAMES if name not in tensors]:
            raise InvalidArtifact(f"The calibration has no {', '.join(missing)}: calibrate again.")
        self._origin, self._basis = tensors["origin"], np.ascontiguousarray(tensors["basis"])
        features = self._origin.shape
        if len(features) != 1 or self._basis.ndim != 2 or self._basis.shape[:1] != features:
            raise InvalidArtifact("The calibration's subspace has no sense: calibrate again.")
        self._alpha, self._median, self._spread = (float(tensors[name][0]) for name in NAMES[2:])

    @property
    def features(self) -> int:
        """The width of features that it takes."""
        return len(self._origin)

    def score(self, pooled: Array, logits: Array) -> float:
        """Of one image; 95 % of the calibration's have 1 or less, half of them 0 or less.

        pooled: what the classifier's last layer takes, float32 [features]. logits: float32
        [classes], calibrated.
        """
        centered = pooled - self._origin
        within = centered @ self._basis
        residual = math.sqrt(max(0.0, float(centered @ centered) - float(within @ within)))
        top = float(logits.max())
        energy = top + math.log(float(np.exp(logits - top).sum()))
        return (self._alpha * residual - energy - self._median) / self._spread


def fit_detector(
    known: tuple[Array, Array], held_out: tuple[Array, Array], head: Head
) -> dict[str, Array]:
    """The tensors of a `Detector`.

    known, held_out: features, float32 [N, features], and calibrated logits, float32 [N, classes],
    of the images that the subspace is fitted to, and of those that the scores are scaled by.
    """
    features, logits = (np.asarray(one, np.float64) for one in known)
    # Where the classifier's logits are all 0: the paper's section 4.1.
    origin = -np.linalg.lstsq(head.kernel.T.astype(np.float64), head.bias, rcond=None)[0]
    directions = min(MAX_DIRECTIONS, len(features) // IMAGES_A_DIRECTION)
    basis = _basis(features - origin, directions)
    # The paper's alpha is of the fitted images. Of few, the subspace comes too near to those.
    half = len(features) // 2
    distances = np.concatenate(
        [
            _distances(features[test] - origin, _basis(features[fit] - origin, directions))
            for fit, test in (
                (slice(None, half), slice(half, None)),
                (slice(half, None), slice(None, half)),
            )
        ]
    )
    # Where the subspace has every feature, what is left of them is rounding.
    least = MIN_DISTANCE * np.linalg.norm(features - origin, axis=1).mean()
    alpha = logits.max(axis=1).mean() / distances.mean() if distances.mean() > least else 0.0
    unscaled = {"alpha": alpha, "median": 0.0, "spread": 1.0}
    tensors = {
        "origin": origin.astype(np.float32),
        "basis": basis.astype(np.float32),
        **{name: np.array([value], np.float32) for name, value in unscaled.items()},
    }
    detector = Detector(tensors)
    scores = [detector.score(*row) for row in zip(*held_out, strict=True)]
    median, bound = np.percentile(scores, (50, KNOWN_PERCENT))
    tensors["median"] = np.array([median], np.float32)
    # Scores that are all equal have no spread.
    tensors["spread"] = np.array([max(bound - median, 1e-6)], np.float32)
    return tensors


def _basis(centered: Values, directions: int) -> Values:
    """The first principal directions, [features, directions], of rows, [N, features]."""
    count, features = centered.shape
    if count < features:
        return np.asarray(np.linalg.svd(centered, full_matrices=False)[2][:directions].T)
    return np.asarray(np.linalg.eigh(centered.T @ centered)[1][:, ::-1][:, :directions])


def _distances(centered: Values, basis: Values) -> Values:
    """Of rows, [N, features], from the subspace."""
    squares = (centered**2).sum(axis=1) - ((centered @ basis) ** 2).sum(axis=1)
    return np.asarray(np.sqrt(np.maximum(squares, 0)), np.float64)
