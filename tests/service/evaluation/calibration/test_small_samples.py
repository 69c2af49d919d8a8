"""Estimates of the calibration error against true ones that are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from service.evaluation.calibration.figures import expected_calibration_error
from service.evaluation.calibration.small_samples import (
    chance_error,
    debiased_calibration_error,
    debiased_squared_error,
)

Values = npt.NDArray[np.float64]

IMAGES = 200
DATA_SETS = 400


def drawn(distorted: Callable[[Values], Values]) -> list[tuple[Values, npt.NDArray[np.bool_]]]:
    """Data sets of IMAGES, whose confidences are distorted from the chances of being right."""
    generator = np.random.default_rng(3)
    sets = []
    for _ in range(DATA_SETS):
        chances = generator.uniform(0.3, 0.9, IMAGES)
        sets.append((distorted(chances), generator.random(IMAGES) < chances))
    return sets


def mean_and_error(values: list[float]) -> tuple[float, float]:
    """With the standard error of the mean."""
    return float(np.mean(values)), float(np.std(values) / np.sqrt(len(values)))


def test_a_perfectly_calibrated_model_has_about_none() -> None:
    sets = drawn(lambda chances: chances)
    mean, error = mean_and_error([debiased_squared_error(*one) for one in sets])
    assert abs(mean) < 4 * error
    assert error < 5e-4
    # What chance alone gives is far above it, and told beforehand by the confidences.
    plain, error = mean_and_error([expected_calibration_error(*one) for one in sets])
    assert plain > 0.05
    told = chance_error(sets[0][0])
    assert told.mean == pytest.approx(plain, abs=0.004)
    found = np.std([expected_calibration_error(*one) for one in sets])
    assert told.standard_deviation == pytest.approx(found, rel=0.2)


def test_a_constant_gap_is_found_in_its_size() -> None:
    sets = drawn(lambda chances: chances + 0.1)
    mean, error = mean_and_error([debiased_squared_error(*one) for one in sets])
    assert mean == pytest.approx(0.1**2, abs=4 * error)


def test_the_gap_of_a_temperature_is_that_of_its_integral() -> None:
    """Two classes, logits twice as large as they should be: p to p^2 / (p^2 + (1 - p)^2)."""

    def distorted(chances: Values) -> Values:
        return np.asarray(chances**2 / (chances**2 + (1 - chances) ** 2))

    grid = np.linspace(0.3, 0.9, 100_001)
    true = float(((distorted(grid) - grid) ** 2).mean())
    sets = drawn(distorted)
    mean, error = mean_and_error([debiased_squared_error(*one) for one in sets])
    # Within a bin the mean gap hides some of the squared one, and most where its sign changes.
    assert mean == pytest.approx(true, abs=4 * error + 0.02 * true)


def test_chance_in_one_bin_is_that_of_a_mean() -> None:
    """Half of a normal distribution: its mean is sqrt(2 / pi) standard deviations."""
    deviation = np.sqrt(0.5 * 0.5 / 1000)
    told = chance_error(np.full(1000, 0.5), draws=4000)
    assert told.mean == pytest.approx(np.sqrt(2 / np.pi) * deviation, rel=0.05)
    assert told.standard_deviation == pytest.approx(np.sqrt(1 - 2 / np.pi) * deviation, rel=0.1)
    assert chance_error(np.full(1000, 0.5)) == chance_error(np.full(1000, 0.5))


def test_few_images_have_figures_too() -> None:
    assert debiased_calibration_error([0.9], [True]) == pytest.approx(0.1)
    assert debiased_calibration_error([1, 1], [True, True]) == 0
    assert debiased_squared_error([0.5, 0.5], [True, False]) == pytest.approx(-0.25)
    assert debiased_calibration_error([0.5, 0.5], [True, False]) == 0
