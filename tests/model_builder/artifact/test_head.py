"""The classifier's layers, against the same arithmetic written plainly."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from model_builder.artifact.head import Dense, Head, sigmoid
from model_builder.artifact.store_format import read_artifact, write_artifact
from model_builder.errors import InvalidArtifact
from model_builder.networks.head import HiddenLayer
from tests.model_builder.tiny_artifact import GOLDEN, HEAD, LABELS, MANIFEST, write_network

Array = npt.NDArray[np.float32]


def random(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


DEEP = Head(
    random(4, 3),
    random(3),
    (Dense(random(512, 7), random(7)), Dense(random(7, 4), random(4), "none")),
    "sigmoid",
)
INFINITE = Dense(np.full((512, 7), np.inf, np.float32), random(7))
DEEP_MANIFEST = replace(
    MANIFEST,
    architecture=replace(
        MANIFEST.architecture,
        hidden_layers=(HiddenLayer(7), HiddenLayer(4, "none")),
        activation="sigmoid",
    ),
    format=3,
)


def test_hidden_layers_come_before_the_last() -> None:
    pooled = random(5, 512)
    for row, found in zip(pooled, DEEP.logits(pooled), strict=True):
        first = [
            max(0.0, sum(map(math.prod, zip(row, column, strict=True))) + bias)
            for column, bias in zip(DEEP.hidden[0].kernel.T, DEEP.hidden[0].bias, strict=True)
        ]
        second = np.array(first) @ DEEP.hidden[1].kernel + DEEP.hidden[1].bias
        assert second.min() < 0  # no ReLU follows it
        np.testing.assert_allclose(found, second @ DEEP.kernel + DEEP.bias, rtol=1e-4, atol=1e-4)
    assert DEEP.logits(pooled).dtype == np.float32


def test_only_one_dense_layer_has_class_activation_maps() -> None:
    assert HEAD.is_linear
    assert not DEEP.is_linear
    assert HEAD.features == DEEP.features == 512


@pytest.mark.parametrize("value", [-1e30, -100.0, -2.5, 0.0, 1e-3, 3.0, 1e30])
def test_a_sigmoid_is_of_each_logit_alone(value: float) -> None:
    head = replace(HEAD, activation="sigmoid")
    found = head.probabilities(np.array([[value, 50, -50]], np.float32))
    expected = 1 / (1 + math.exp(-value)) if value > -700 else 0.0
    np.testing.assert_allclose(found, [[expected, 1, 0]], rtol=1e-6, atol=1e-21)
    assert found.dtype == np.float32
    alone = np.array([value], np.float32)
    np.testing.assert_array_equal(head.probabilities(alone), sigmoid(alone))


def test_answers() -> None:
    logits = np.array([0.5, -1, 3], np.float32)
    assert HEAD.answer(logits) == (2,)
    assert replace(HEAD, activation="sigmoid").answer(logits) == (0, 2)
    assert replace(HEAD, activation="sigmoid").answer(logits - 9) == ()


def test_a_deep_head_is_read_back(tmp_path: Path) -> None:
    folder = tmp_path / "deep"
    write_artifact(folder, DEEP_MANIFEST, LABELS, DEEP, GOLDEN, write_network)
    artifact = read_artifact(folder)
    assert artifact.manifest.format == 3
    head = artifact.head
    assert head.activation == "sigmoid"
    assert [layer.activation for layer in head.hidden] == ["relu", "none"]
    pooled = random(2, 512)
    np.testing.assert_array_equal(head.logits(pooled), DEEP.logits(pooled))


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (HEAD, "hidden_0/kernel"),
        (replace(DEEP, kernel=random(5, 3)), r"should be \(512, 7\) then \(7, 4\) then \(4, 3\)"),
        (replace(DEEP, hidden=(Dense(random(512, 7), random(7)),) * 2), "the head should be"),
        (
            replace(
                DEEP, hidden=(Dense(random(512, 7) * np.float32("inf"), random(7)), DEEP.hidden[1])
            ),
            "infinite or not a number; see its head",
        ),
    ],
)
def test_a_head_of_another_network_is_no_artifact(head: Head, message: str, tmp_path: Path) -> None:
    folder = tmp_path / "deep"
    write_artifact(folder, DEEP_MANIFEST, LABELS, head, GOLDEN, write_network)
    with pytest.raises(InvalidArtifact, match=message):
        read_artifact(folder)
