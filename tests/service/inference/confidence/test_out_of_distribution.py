"""The score against the paper's formulas, and what it is fitted to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from model_builder.artifact.manifest import Head
from model_builder.errors import InvalidArtifact
from service.inference.confidence.out_of_distribution import (
    IMAGES_A_DIRECTION,
    KNOWN_PERCENT,
    MAX_DIRECTIONS,
    Detector,
    fit_detector,
)

Array = npt.NDArray[np.float32]

FEATURES, CLASSES = 48, 6


@pytest.fixture
def head() -> Head:
    generator = np.random.default_rng(1)
    kernel = generator.normal(size=(FEATURES, CLASSES)).astype(np.float32)
    return Head(kernel, generator.normal(size=CLASSES).astype(np.float32))


@pytest.fixture
def draw(head: Head) -> Callable[..., tuple[Array, Array]]:
    """Features on five directions with some noise, or on all; and their logits."""
    directions = np.random.default_rng(2).normal(size=(5, FEATURES))

    def draw(count: int, seed: int, *, everywhere: bool = False) -> tuple[Array, Array]:
        generator = np.random.default_rng(seed)
        features = generator.normal(scale=0.1, size=(count, FEATURES))
        if everywhere:
            features += generator.normal(size=(count, FEATURES))
        else:
            features += generator.normal(size=(count, 5)) @ directions
        pooled = features.astype(np.float32)
        return pooled, pooled @ head.kernel + head.bias

    return draw


def test_other_features_have_a_greater_score(head: Head, draw: Any) -> None:
    held_out = draw(500, 4)
    tensors = fit_detector(draw(200, 3), held_out, head)
    detector = Detector(tensors)
    scores = np.array([detector.score(*row) for row in zip(*held_out, strict=True)])
    assert np.median(scores) == pytest.approx(0, abs=1e-3)
    assert (scores <= 1).mean() == pytest.approx(KNOWN_PERCENT / 100, abs=0.005)
    others = [detector.score(*row) for row in zip(*draw(200, 5, everywhere=True), strict=True)]
    assert np.mean(np.array(others) > 1) > 0.95
    again = [detector.score(*row) for row in zip(*draw(500, 6), strict=True)]
    assert np.mean(np.array(again) > 1) == pytest.approx(0.05, abs=0.04)


def test_the_score_is_the_papers(head: Head, draw: Any) -> None:
    """Equations 3 to 7, by another way: projections on the complement, the virtual logit's softmax.

    Its probability orders images as the score does.
    """
    tensors = fit_detector(draw(200, 3), draw(100, 4), head)
    origin = -np.linalg.pinv(head.kernel.T.astype(float)) @ head.bias
    assert tensors["origin"] == pytest.approx(origin, abs=1e-4)
    basis = tensors["basis"].astype(float)
    assert basis.shape == (FEATURES, 200 // IMAGES_A_DIRECTION)
    assert basis.T @ basis == pytest.approx(np.eye(basis.shape[1]), abs=1e-5)
    complement = np.eye(FEATURES) - basis @ basis.T
    pooled, logits = draw(50, 7)
    detector = Detector(tensors)
    scores = [detector.score(*row) for row in zip(pooled, logits, strict=True)]
    virtual = tensors["alpha"][0] * np.linalg.norm((pooled - origin) @ complement, axis=1)
    probability = np.exp(virtual) / (np.exp(logits.astype(float)).sum(axis=1) + np.exp(virtual))
    raw = np.array(scores) * tensors["spread"][0] + tensors["median"][0]
    assert 1 / (1 + np.exp(-raw)) == pytest.approx(probability, rel=1e-3, abs=2e-3)


def test_directions_are_bounded(head: Head, draw: Any) -> None:
    tensors = fit_detector(draw(2000, 3), draw(20, 4), head)
    assert tensors["basis"].shape[1] <= min(MAX_DIRECTIONS, FEATURES)
    # All features are in the subspace: what is left is the energy.
    assert np.isfinite(Detector(tensors).score(*(one[0] for one in draw(1, 5))))


def test_images_that_are_all_alike_give_a_finite_score(head: Head) -> None:
    pooled = np.ones((20, FEATURES), np.float32)
    logits = pooled @ head.kernel + head.bias
    detector = Detector(fit_detector((pooled, logits), (pooled, logits), head))
    assert np.isfinite(detector.score(pooled[0], logits[0]))


@pytest.mark.parametrize(
    "broken",
    [
        {"basis": None},
        {"spread": None},
        {"basis": np.ones((3, 2), np.float32)},
        {"origin": np.ones((2, 2), np.float32)},
        {"basis": np.ones(FEATURES, np.float32)},
    ],
)
def test_tensors_without_sense_are_refused(head: Head, draw: Any, broken: dict[str, Any]) -> None:
    tensors = fit_detector(draw(20, 3), draw(20, 4), head) | broken
    present = {name: array for name, array in tensors.items() if array is not None}
    with pytest.raises(InvalidArtifact, match="calibrate again"):
        Detector(present)
