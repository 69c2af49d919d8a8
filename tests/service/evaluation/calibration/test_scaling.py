"""Scaling on logits whose true temperature or biases are known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from model_builder.artifact.confidence import Scaling
from model_builder.artifact.head import softmax
from service.evaluation.calibration.figures import negative_log_likelihood
from service.evaluation.calibration.scaling import (
    MAX_VECTOR_CLASSES,
    MIN_IMAGES_A_CLASS,
    fit_temperature,
    fit_vector,
    may_fit_vector,
)
from service.inference.confidence.assessor import scale

Array = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]


def drawn(
    classes: int, count: int, factors: Array | float = 1, bias: Array | float = 0
) -> tuple[Array, Indices]:
    """Logits, and labels drawn from softmax(factors * logits + bias)."""
    generator = np.random.default_rng(3)
    logits = generator.normal(scale=3, size=(count, classes)).astype(np.float32)
    probabilities = softmax(np.asarray(logits * factors + bias, np.float32)).astype(np.float64)
    sums = probabilities.cumsum(axis=1)
    class_ids = (generator.random((count, 1)) * sums[:, -1:] > sums).sum(axis=1)
    return logits, class_ids


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_the_temperature_that_labels_were_drawn_with_is_found(temperature: float) -> None:
    logits, class_ids = drawn(20, 5000, 1 / temperature)
    found = fit_temperature(logits, class_ids)
    assert found.method == "temperature"
    assert 1 / found.scale[0] == pytest.approx(temperature, rel=0.05)
    # No other temperature is more likely.
    least = negative_log_likelihood(logits * found.scale, class_ids)
    for other in (0.97, 1.03):
        assert negative_log_likelihood(logits * found.scale * np.float32(other), class_ids) > least


def test_labels_that_are_always_right_give_no_infinite_scale() -> None:
    logits, _ = drawn(5, 100)
    found = fit_temperature(logits, logits.argmax(axis=1))
    assert np.isfinite(found.scale).all()
    assert np.isfinite(fit_vector(logits, logits.argmax(axis=1), found).scale).all()


def test_vector_scaling_finds_factors_and_biases_of_classes() -> None:
    factors = np.array([0.5, 1, 1.5], np.float32)
    bias = np.array([2, 0, -2], np.float32)
    logits, class_ids = drawn(3, 20_000, factors, bias)
    start = fit_temperature(logits, class_ids)
    found = fit_vector(logits, class_ids, start)
    assert found.scale == pytest.approx(factors, abs=0.1)
    # Biases are known but for a constant that softmax does not see.
    assert found.bias - found.bias.mean() == pytest.approx(bias, abs=0.1)
    wanted = softmax(logits * factors + bias)
    assert np.abs(softmax(scale(logits, found)) - wanted).mean() < 0.01
    assert np.abs(softmax(scale(logits, start)) - wanted).mean() > 0.03


def test_vector_scaling_takes_few_classes_and_images_of_each() -> None:
    enough = np.repeat(np.arange(4), MIN_IMAGES_A_CLASS)
    assert may_fit_vector(enough, 4)
    assert not may_fit_vector(enough[1:], 4)
    assert not may_fit_vector(enough, 5)
    many = MAX_VECTOR_CLASSES + 1
    assert not may_fit_vector(np.repeat(np.arange(many), MIN_IMAGES_A_CLASS), many)


def test_calibrated_probabilities_sum_to_one_and_keep_the_order() -> None:
    logits, _ = drawn(1000, 5)
    scaling = Scaling("temperature", np.array([0.4], np.float32), np.zeros(1, np.float32))
    found = softmax(scale(logits, scaling))
    assert found.sum(axis=1) == pytest.approx(np.ones(5), abs=1e-5)
    assert (found.argsort(axis=1) == softmax(logits).argsort(axis=1)).mean() > 0.99
    assert found.max() < softmax(logits).max()
