"""The served ResNet-50, compared with stored logits and keras.applications.

Errors that raise nothing (padding, stride placement, epsilon, channel order) change the logits.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from model_builder.artifact.head import softmax
from model_builder.artifact.labels import imagenet1k
from model_builder.artifact.manifest import Artifact, Precision
from service.engines.base import Hardware
from service.engines.registry import load_divided
from service.inference.outputs import logits
from service.system.cpu import cpu_limit, has_bfloat16
from tests.golden.reference import LOGITS, PHOTOS, STORED_CLASSES, keras_logits, pixels_of

Array = npt.NDArray[np.float32]
Served = Callable[[Precision, Path], Array]

GOLDEN: dict[str, dict[str, float]] = json.loads(LOGITS.read_text())
PHOTO = pytest.mark.parametrize("photo", [PHOTOS / name for name in GOLDEN], ids=list(GOLDEN))

pytestmark = pytest.mark.weights


@pytest.fixture(scope="module", params=["openvino", "tensorflow"])
def served(
    artifact: Callable[[Precision, str], Artifact], request: pytest.FixtureRequest
) -> Served:
    """The logits of a photo, float32 [1, 1000], by an engine and the head of the service."""
    engine: str = request.param
    hardware = Hardware(device="cpu", cpu_threads=cpu_limit())
    engines: dict[Precision, Any] = {}

    def run(precision: Precision, photo: Path) -> Array:
        if precision not in engines:
            (engines[precision],) = load_divided(artifact(precision, engine), hardware)
        return logits(engines[precision].run(pixels_of(photo)), artifact(precision, engine).head)

    return run


def best(values: Array) -> list[int]:
    return [int(i) for i in np.argsort(-values[0], kind="stable")[:STORED_CLASSES]]


@PHOTO
def test_float32_gives_the_stored_logits(served: Served, photo: Path) -> None:
    golden = {int(class_id): value for class_id, value in GOLDEN[photo.name].items()}
    values = served("float32", photo)
    assert best(values) == list(golden)
    np.testing.assert_allclose(values[0, list(golden)], list(golden.values()), rtol=1e-3, atol=1e-3)


@PHOTO
def test_float32_gives_the_logits_of_keras(served: Served, reference: Any, photo: Path) -> None:
    expected = keras_logits(reference, pixels_of(photo))
    difference = np.abs(served("float32", photo) - expected).max()
    assert difference < 1e-4 * np.abs(expected).max()


@PHOTO
def test_bfloat16_gives_the_same_class(served: Served, photo: Path) -> None:
    expected, received = softmax(served("float32", photo)), softmax(served("bfloat16", photo))
    assert received.argmax() == expected.argmax()
    np.testing.assert_allclose(received, expected, atol=0.02)
    # It must differ a little: this is not the float32 network. An engine may have no other.
    assert np.abs(received - expected).max() > 0 or not has_bfloat16()


@pytest.mark.parametrize(
    ("photo", "label"),
    [
        ("chelsea_cat.jpg", "Egyptian cat"),
        ("coffee_cup.jpg", "espresso"),
        ("navy_uniform.jpg", "military uniform"),
    ],
)
def test_the_label_is_right(served: Served, photo: str, label: str) -> None:
    values = served("float32", PHOTOS / photo)
    assert imagenet1k()[int(values.argmax())].name == label
