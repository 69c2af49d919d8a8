"""Temperature and vector scaling: Guo et al. 2017 (arXiv 1706.04599), section 4.2."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from model_builder.artifact.confidence import Scaling
from service.evaluation.calibration.figures import negative_log_likelihood

Array = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

# Reached only where all labels are right, or few.
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
GOLDEN_SECTION = (5**0.5 - 1) / 2
SECTIONS = 40
# Vector scaling has two parameters a class: only for few classes, each with images to fit them.
MAX_VECTOR_CLASSES = 50
MIN_IMAGES_A_CLASS = 20
NEWTON_STEPS = 50
# As one image more: without it the parameters of classes that are always right are unbounded.
RIDGE = 1.0
ROWS_AT_ONCE = 4096


def fit_temperature(logits: Array, class_ids: Indices) -> Scaling:
    """Minimizes the negative log-likelihood over one temperature.

    logits: float [N, classes]. class_ids: the labels [N]. The likelihood is convex in 1/T, and so
    has one minimum in log T.
    """
    low, high = np.log(MIN_TEMPERATURE), np.log(MAX_TEMPERATURE)

    def loss(log_temperature: float) -> float:
        return negative_log_likelihood(logits / np.float32(np.exp(log_temperature)), class_ids)

    inner = [high - GOLDEN_SECTION * (high - low), low + GOLDEN_SECTION * (high - low)]
    losses = [loss(inner[0]), loss(inner[1])]
    for _ in range(SECTIONS):
        if losses[0] <= losses[1]:
            high = inner[1]
            inner = [high - GOLDEN_SECTION * (high - low), inner[0]]
            losses = [loss(inner[0]), losses[0]]
        else:
            low = inner[0]
            inner = [inner[1], low + GOLDEN_SECTION * (high - low)]
            losses = [losses[1], loss(inner[1])]
    scale = np.exp(-(low + high) / 2)
    return Scaling("temperature", np.array([scale], np.float32), np.zeros(1, np.float32))


def may_fit_vector(class_ids: Indices, classes: int) -> bool:
    """Whether the images are enough for vector scaling. class_ids: the labels [N]."""
    if classes > MAX_VECTOR_CLASSES:
        return False
    return bool(np.bincount(class_ids, minlength=classes).min() >= MIN_IMAGES_A_CLASS)


def fit_vector(logits: Array, class_ids: Indices, start: Scaling) -> Scaling:
    """Minimizes the negative log-likelihood over a factor and a bias for each class.

    Newton's method, from a fitted temperature, to which a small ridge ties the parameters.
    Arguments as `fit_temperature`'s.
    """
    classes = logits.shape[1]
    given = np.asarray(logits, np.float64)
    ridge = RIDGE / len(given)
    center = np.concatenate([np.full(classes, float(start.scale[0])), np.zeros(classes)])
    parameters = center.copy()

    def scaled(at: Values) -> Values:
        return np.asarray(given * at[:classes] + at[classes:])

    def loss(at: Values) -> float:
        distance = float(((at - center) ** 2).sum())
        return negative_log_likelihood(scaled(at), class_ids) + ridge / 2 * distance

    least = loss(parameters)
    for _ in range(NEWTON_STEPS):
        gradient, hessian = _derivatives(given, scaled(parameters), class_ids)
        gradient += ridge * (parameters - center)
        hessian += ridge * np.eye(2 * classes)
        step = np.linalg.solve(hessian, gradient)
        size = 1.0
        while size > 1e-6 and (found := loss(parameters - size * step)) >= least:
            size /= 2
        if size <= 1e-6:
            break
        parameters, least = parameters - size * step, found
    return Scaling(
        "vector", parameters[:classes].astype(np.float32), parameters[classes:].astype(np.float32)
    )


def _derivatives(given: Values, scaled: Values, class_ids: Indices) -> tuple[Values, Values]:
    """Gradient and Hessian of the mean loss by the factors and biases."""
    count, classes = given.shape
    gradient, hessian = np.zeros(2 * classes), np.zeros((2 * classes, 2 * classes))
    for start in range(0, count, ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        logits, values = given[rows], scaled[rows]
        values = np.exp(values - values.max(axis=1, keepdims=True))
        probabilities = values / values.sum(axis=1, keepdims=True)
        residuals = probabilities.copy()
        residuals[np.arange(len(residuals)), class_ids[rows]] -= 1
        gradient += np.concatenate([(residuals * logits).sum(axis=0), residuals.sum(axis=0)])
        # Of the logits' parameters: each class has its factor's and its bias's column.
        weighted = np.concatenate([probabilities * logits, probabilities], axis=1)
        hessian -= weighted.T @ weighted
        squares = ((probabilities * logits * logits), (probabilities * logits), probabilities)
        factor, mixed, bias = (np.diag(one.sum(axis=0)) for one in squares)
        hessian += np.block([[factor, mixed], [mixed, bias]])
    return gradient / count, hessian / count
