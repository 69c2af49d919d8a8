"""The last layers, against the same arithmetic written plainly."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from model_builder.artifact.head import Head, softmax
from model_builder.artifact.labels import Label
from service.inference.outputs import logits, top_k

Array = npt.NDArray[np.float32]

LABELS = tuple(Label(f"class {index}", f"n{index:08}") for index in range(6))


def random(*shape: int) -> Array:
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def test_logits_are_pooled_features_times_the_kernel() -> None:
    features, head = random(3, 7, 5, 8), Head(random(8, 6), random(6))
    found = logits(features, head)
    assert found.dtype == np.float32
    assert found.shape == (3, 6)
    for image in range(3):
        for label in range(6):
            expected = float(head.bias[label])
            for channel in range(8):
                pooled = math.fsum(features[image, :, :, channel].ravel()) / 35
                expected += pooled * float(head.kernel[channel, label])
            assert found[image, label] == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_features_of_half_precision_are_pooled_in_float32() -> None:
    """Float16 has no 2049, nor room for the sum of 49 of them."""
    features = np.full((1, 7, 8, 1), 2048, np.float16)
    features[:, :, ::2] = 2050
    head = Head(np.ones((1, 1), np.float32), np.zeros(1, np.float32))
    np.testing.assert_array_equal(logits(features, head), [[2049]])  # type: ignore[arg-type]


def test_softmax_against_plain_arithmetic() -> None:
    values = random(4, 6) * 5
    found = softmax(values)
    assert found.dtype == np.float32
    for row, probabilities in zip(values.tolist(), found, strict=True):
        total = math.fsum(math.exp(value) for value in row)
        expected = [math.exp(value) / total for value in row]
        np.testing.assert_allclose(probabilities, expected, rtol=1e-5)


def test_softmax_of_large_logits_does_not_overflow() -> None:
    found = softmax(np.array([[1e4, 1e4, -1e4], [-1e30, -1e30, 0]], np.float32))
    np.testing.assert_array_equal(found, [[0.5, 0.5, 0], [0, 0, 1]])


@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 3), st.integers(1, 20)),
        elements=st.floats(-80, 80, width=32),
    )
)
def test_softmax_gives_probabilities(values: Array) -> None:
    found = softmax(values)
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(
        np.take_along_axis(found, values.argmax(axis=1)[:, None], 1)[:, 0], found.max(axis=1)
    )


def test_top_k_is_in_order() -> None:
    found = top_k(np.array([0.1, 0.4, 0.05, 0.3, 0.05, 0.1], np.float32), LABELS, 3)
    assert [(one.class_id, one.label, one.wnid) for one in found] == [
        (1, "class 1", "n00000001"),
        (3, "class 3", "n00000003"),
        (0, "class 0", "n00000000"),
    ]
    assert [one.probability for one in found] == pytest.approx([0.4, 0.3, 0.1])


def test_ties_go_to_the_lower_class() -> None:
    found = top_k(np.full(6, 1 / 6, np.float32), LABELS, 6)
    assert [one.class_id for one in found] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("k", [1, 5, 6])
def test_as_many_as_were_asked_for(k: int) -> None:
    assert len(top_k(random(6), LABELS, k)) == k


@given(arrays(np.float32, st.integers(1, 6), elements=st.floats(0, 1, width=32)), st.integers(1, 6))
def test_top_k_against_sorting(probabilities: Array, k: int) -> None:
    found = [one.class_id for one in top_k(probabilities, LABELS, k)]
    rows = sorted(enumerate(probabilities.tolist()), key=lambda row: (-row[1], row[0]))
    assert found == [index for index, _ in rows[:k]]


def test_what_is_given_out_is_plain_python() -> None:
    """Numpy's scalars are no JSON."""
    (best,) = top_k(random(6), LABELS, 1)
    assert type(best.class_id) is int
    assert type(best.probability) is float
