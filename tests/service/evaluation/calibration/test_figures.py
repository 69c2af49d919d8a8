"""The figures of calibration against values that are known or computed by another formula."""

from __future__ import annotations

import numpy as np
import pytest

from service.evaluation.calibration.coverage import coverage_rows
from service.evaluation.calibration.diagram import reliability_svg
from service.evaluation.calibration.figures import (
    BINS,
    brier_score,
    expected_calibration_error,
    negative_log_likelihood,
    reliability_bins,
)
from service.evaluation.calibration.report import calibration_figures

CONFIDENCES = np.array([0.95, 0.95, 0.52, 0.52, 1.0])
RIGHT = np.array([True, False, True, False, True])


def test_the_calibration_error_is_the_gap_weighted_by_the_images() -> None:
    # Two at 0.95 of which one is right, two at 0.52 of which one is, and one at 1 with the former.
    first, second = reliability_bins(CONFIDENCES, RIGHT)
    assert (first.count, second.count) == (2, 3)
    assert first.low == pytest.approx(7 / BINS)
    assert second.high == 1
    expected = 2 / 5 * abs(0.52 - 0.5) + 3 / 5 * abs(2.9 / 3 - 2 / 3)
    assert expected_calibration_error(CONFIDENCES, RIGHT) == pytest.approx(expected)


def test_likelihood_and_brier_score_are_those_of_their_definitions() -> None:
    logits = np.log(np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]], np.float32)) + 5
    class_ids = np.array([0, 1])
    assert negative_log_likelihood(logits, class_ids) == pytest.approx(
        -(np.log(0.7) + np.log(0.3)) / 2, abs=1e-6
    )
    first = (0.7 - 1) ** 2 + 0.2**2 + 0.1**2
    second = 0.1**2 + (0.3 - 1) ** 2 + 0.6**2
    assert brier_score(np.exp(logits - 5), class_ids) == pytest.approx((first + second) / 2)
    figures = calibration_figures(logits, class_ids)
    assert figures.brier_score == pytest.approx((first + second) / 2)
    # The second one names class 2, with 0.6.
    assert figures.expected_calibration_error == pytest.approx((0.3 + 0.6) / 2)


def test_large_logits_overflow_nothing() -> None:
    logits = np.array([[1e4, 0.0], [-1e4, 1e4]], np.float32)
    assert negative_log_likelihood(logits, np.array([0, 1])) == 0
    assert negative_log_likelihood(logits, np.array([1, 1])) == pytest.approx(5e3)


def test_abstaining_gives_accuracy_for_coverage() -> None:
    confidences = np.linspace(0.05, 1, 100, dtype=np.float32)
    right = confidences > 0.3
    rows = coverage_rows(confidences, right)
    assert rows[0].abstain_below == 0
    assert rows[0].coverage_percent == 100
    assert rows[0].wrong == int((~right).sum())
    for row in rows:
        kept = confidences >= row.abstain_below
        assert row.coverage_percent == pytest.approx(100 * kept.mean(), abs=0.01)
        assert row.accuracy_percent == pytest.approx(100 * right[kept].mean(), abs=0.01)
        assert row.wrong == (~right[kept]).sum()
    assert [row.coverage_percent for row in rows] == [100, 99, 98, 95, 90, 85, 80, 70, 60, 50]
    assert rows[-1].accuracy_percent == 100


def test_equal_confidences_have_one_row_and_not_one_a_coverage() -> None:
    rows = coverage_rows(np.full(10, 0.5, np.float32), np.ones(10, bool))
    assert [(row.abstain_below, row.coverage_percent) for row in rows] == [(0, 100), (0.5, 100)]


def test_the_diagram_has_a_bar_for_each_bin_and_escapes_its_titles() -> None:
    bins = reliability_bins(CONFIDENCES, RIGHT)
    drawn = reliability_svg([("before <&>", bins), ("after", bins[:1])])
    assert drawn.count("<title>") == 3 * (len(bins) + 1)
    assert "before &lt;&amp;&gt;" in drawn
    assert "3 images, confidence 0.967, accuracy 0.667" in drawn
