"""A class activation map's mean plus the class's bias is the class's logit, by every engine."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from model_builder.artifact.manifest import Artifact, Precision
from service.engines.base import Hardware
from service.engines.registry import load_engines
from service.inference.outputs import batch_output, compute_outputs, map_class_ids
from service.system.cpu import cpu_limit
from tests.golden.reference import PHOTOS, pixels_of

pytestmark = pytest.mark.weights

MAPS = "class_activation_map"
ENGINES: list[tuple[str, Precision]] = [
    ("openvino", "float32"),
    ("openvino", "bfloat16"),
    ("openvino", "int8"),
    ("tensorflow", "float32"),
    ("tensorflow", "bfloat16"),
    ("litert", "int8"),
]


@pytest.mark.parametrize(("engine", "precision"), ENGINES)
def test_its_mean_and_the_bias_are_the_logit(
    artifact: Callable[[Precision, str], Artifact], engine: str, precision: Precision
) -> None:
    found = artifact(precision, engine)
    (loaded,) = load_engines(found, Hardware(device="cpu", cpu_threads=cpu_limit()))
    head = found.head
    for photo in sorted(PHOTOS.glob("*.jpg")):
        (row,) = (batch_output(loaded.run(pixels_of(photo)), head, (MAPS,))[0],)
        assert row.feature_map is not None
        probabilities = head.probabilities(row.logits)
        # The most probable classes, the least probable one, and others.
        ids = (*map_class_ids(probabilities, 5), int(probabilities.argmin()), 0, 500, 999)
        maps = compute_outputs((MAPS,), row, head, ids)[MAPS]
        assert maps.shape == (len(ids), 7, 7)
        assert maps.dtype == np.float32
        means = maps.mean(axis=(1, 2), dtype=np.float64)
        difference = np.abs(means + head.bias[[*ids]] - row.logits[[*ids]]).max()
        assert difference < 1e-4, (photo.name, difference)
