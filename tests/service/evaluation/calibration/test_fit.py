"""What is fitted to the images, and reported of those that a fit left out."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_builder.artifact.head import Dense, Head, softmax
from service.errors import InvalidParameter, ServiceError
from service.evaluation.accuracy import labeled_images
from service.evaluation.calibration.collect import Collected, collect
from service.evaluation.calibration.fit import (
    FOLDS,
    MIN_IMAGES,
    UNSCALED,
    fit_confidence,
    halves,
    split,
)
from service.evaluation.calibration.report import calibration_figures
from service.evaluation.calibration.scaling import fit_temperature
from service.inference.confidence.assessor import Assessor, scale
from tests.service.conftest import MakeModel
from tests.service.fakes import LABELS, FakeEngine, color_head
from tests.service.images import plain

FEATURES, CLASSES = 32, 8


def collected(
    count: int, *, temperature: float = 1, bias: Any = 0.0, seed: int = 1
) -> tuple[Collected, Head]:
    """Labels drawn from the softmax of the logits over the temperature, with a bias."""
    generator = np.random.default_rng(seed)
    kernel = generator.normal(size=(FEATURES, CLASSES)).astype(np.float32)
    head = Head(kernel, np.zeros(CLASSES, np.float32))
    pooled = generator.normal(scale=0.7, size=(count, FEATURES)).astype(np.float32)
    logits = pooled @ kernel
    sums = softmax(logits / np.float32(temperature) + np.float32(bias)).astype(float).cumsum(axis=1)
    class_ids = (generator.random((count, 1)) * sums[:, -1:] > sums).sum(axis=1)
    return Collected(pooled, logits, class_ids), head


def test_halves_share_the_images_of_each_class() -> None:
    class_ids = np.repeat(np.arange(10), 7)
    fit, held_out = halves(class_ids)
    assert sorted([*fit, *held_out]) == list(range(70))
    for half in (fit, held_out):
        assert set(np.bincount(class_ids[half])) <= {3, 4}
    assert [one.tolist() for one in halves(class_ids)] == [fit.tolist(), held_out.tolist()]


def test_folds_are_disjoint_and_classes_of_one_image_are_spread_by_chance() -> None:
    class_ids = np.arange(100)
    folds = split(class_ids, FOLDS)
    assert sorted(np.concatenate(folds)) == list(range(100))
    assert {len(one) for one in folds} == {20}
    for fold in folds:
        assert set(np.diff(fold)) != {FOLDS}
    assert [one.tolist() for one in split(class_ids, FOLDS, seed=8)] != [
        one.tolist() for one in folds
    ]


def test_the_report_is_of_every_image_scaled_by_a_fit_to_the_others() -> None:
    data, head = collected(2000, temperature=3)
    outcome = fit_confidence(data, head, "drawn", "digest")
    report = outcome.fitted.report
    assert (report.fitted_on, report.held_out, report.folds) == (2000, 2000, FOLDS)
    assert report.method in ("temperature", "vector")
    assert report.before == calibration_figures(data.logits, data.class_ids)
    named = data.logits.argmax(axis=1)
    assert report.top1_percent == round(100 * float((named == data.class_ids).mean()), 2)
    # Far too sure before.
    assert report.before.expected_calibration_error > 0.15
    assert report.before.debiased_calibration_error > 0.15
    assert report.after.expected_calibration_error < report.before.expected_calibration_error / 2
    assert report.after.debiased_calibration_error < 0.03
    assert sum(one.count for one in outcome.bins_before) == 2000
    assert sum(one.count for one in outcome.bins_after) == 2000
    assert outcome.coverage[0].coverage_percent == 100


def test_no_image_is_measured_by_a_fit_that_saw_it() -> None:
    """Too few images for vector scaling: each fold's temperature is that of the others."""
    data, head = collected(100, temperature=3)
    report = fit_confidence(data, head, "drawn", "digest").fitted.report
    scaled = np.empty_like(data.logits)
    for held_out in split(data.class_ids, FOLDS):
        seen = np.isin(np.arange(100), held_out, invert=True)
        scaling = fit_temperature(data.logits[seen], data.class_ids[seen])
        scaled[held_out] = scale(data.logits[held_out], scaling)
    named = data.logits.argmax(axis=1)
    assert report.after == calibration_figures(scaled, data.class_ids, named)
    confidences = softmax(scaled)[np.arange(100), named]
    assert report.mean_confidence == pytest.approx(confidences.mean(), abs=1e-4)
    everything = fit_temperature(data.logits, data.class_ids)
    assert report.temperature == pytest.approx(1 / float(everything.scale[0]), abs=1e-4)


def test_vector_scaling_is_taken_where_classes_have_biases() -> None:
    bias = np.linspace(-3, 3, CLASSES)
    data, head = collected(2000, bias=bias)
    report = fit_confidence(data, head, "drawn", "digest").fitted.report
    assert (report.method, report.temperature) == ("vector", None)
    assert report.after.negative_log_likelihood < report.before.negative_log_likelihood - 0.2


def test_the_gain_is_of_likelihood_and_has_its_standard_error() -> None:
    data, head = collected(500, temperature=3)
    outcome = fit_confidence(data, head, "drawn", "digest")
    report = outcome.fitted.report
    gain = report.before.negative_log_likelihood - report.after.negative_log_likelihood
    assert outcome.likelihood_gain == pytest.approx(gain, abs=2e-4)
    assert 0 < outcome.likelihood_gain_error < gain / 5
    # Its spread over other images drawn alike.
    gains = [
        fit_confidence(*collected(500, temperature=3, seed=seed), "drawn", "").likelihood_gain
        for seed in range(2, 14)
    ]
    assert outcome.likelihood_gain_error == pytest.approx(np.std(gains), rel=0.7)


def test_a_model_that_is_calibrated_is_left_alone_where_scaling_is_worse() -> None:
    chosen = []
    for seed in range(6):
        data, head = collected(60, seed=seed)
        report = fit_confidence(data, head, "drawn", "digest").fitted.report
        assert report.after.negative_log_likelihood <= report.before.negative_log_likelihood
        chosen.append(report.temperature == 1)
        if report.temperature == 1:
            assert report.after == report.before
    assert any(chosen)


def test_scores_are_scaled_by_the_images_that_were_held_out() -> None:
    data, head = collected(2000, temperature=3)
    fitted = fit_confidence(data, head, "drawn", "digest").fitted
    held_out = data.rows(halves(data.class_ids)[1])
    assessor = Assessor(head, fitted)
    scores = [
        assessor.assess(*row).ood_score
        for row in zip(held_out.pooled, held_out.logits, strict=True)
    ]
    assert np.mean(np.array(scores, float) > 1) == pytest.approx(0.05, abs=0.002)


def test_frequent_classes_are_those_that_were_named() -> None:
    data, head = collected(200)
    logits = np.zeros_like(data.logits)
    logits[:, 3], logits[:50, 6] = 1, 2
    fitted = fit_confidence(replace(data, logits=logits), head, "drawn", "digest").fitted
    assert fitted.frequent_classes == (3, 6)


def test_too_few_images_are_refused() -> None:
    data, head = collected(MIN_IMAGES - 1)
    with pytest.raises(InvalidParameter, match=f"Received: {MIN_IMAGES - 1}"):
        fit_confidence(data, head, "drawn", "digest")


def test_independent_classes_are_refused() -> None:
    data, head = collected(100)
    with pytest.raises(InvalidParameter, match="no softmax to calibrate"):
        fit_confidence(data, replace(head, activation="sigmoid"), "drawn", "digest")
    assessed = Assessor(replace(head, activation="sigmoid"), None).assess(
        data.pooled[0], np.array([-1, 0, -3], np.float32)
    )
    assert (assessed.top, assessed.confidence, assessed.ood_score) == (1, 0.5, None)


def test_a_classifier_of_several_layers_is_scored_by_what_the_last_one_takes() -> None:
    data, last = collected(300, temperature=3)
    generator = np.random.default_rng(4)
    kernel = generator.normal(size=(20, FEATURES)).astype(np.float32)
    hidden = Dense(kernel, np.ones(FEATURES, np.float32))
    head = replace(last, hidden=(hidden,))
    pooled = generator.normal(size=(300, 20)).astype(np.float32)
    deep = Collected(pooled, head.logits(pooled), data.class_ids)
    fitted = fit_confidence(deep, head, "drawn", "digest").fitted
    assert fitted.detector["origin"].shape == (FEATURES,)
    assert Assessor(head, fitted).assess(pooled[0], deep.logits[0]).ood_score is not None


def test_unscaled_logits_are_the_same() -> None:
    logits = np.array([1.5, -2], np.float32)
    assert scale(logits, UNSCALED).tolist() == [1.5, -2]


def test_images_go_through_the_service_and_bad_ones_are_skipped(
    make_model: MakeModel, service_of: Any, tmp_path: Path
) -> None:
    for color in ("red", "green"):
        (tmp_path / color).mkdir()
        for index in range(20):
            (tmp_path / color / f"{index:02}.png").write_bytes(plain(color))
    broken = tmp_path / "red" / "broken.png"
    broken.write_bytes(plain("red")[:60])
    engine = FakeEngine()
    service = service_of(make_model("colors", engine))
    skipped: list[tuple[Path, ServiceError]] = []
    advanced: list[int] = []
    found = asyncio.run(
        collect(
            labeled_images(tmp_path, LABELS).images,
            service,
            skipped=lambda path, error: skipped.append((path, error)),
            advance=advanced.append,
        )
    )
    assert [path for path, _ in skipped] == [broken]
    assert sum(advanced) == 41
    assert found.class_ids.tolist() == [1] * 20 + [0] * 20
    assert (found.logits.argmax(axis=1) == found.class_ids).all()
    head = color_head()
    assert found.logits == pytest.approx(found.pooled @ head.kernel + head.bias, abs=1e-5)
