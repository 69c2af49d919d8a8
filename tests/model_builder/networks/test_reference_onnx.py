"""ONNX networks, folded and not, against the reference in NumPy."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from model_builder.checkpoints.loader import assign, read_checkpoint
from model_builder.networks.resnet import build_resnet
from tests.model_builder.onnx_files import save_onnx
from tests.model_builder.published import TOLERANCE
from tests.model_builder.random_networks import relative_difference
from tests.model_builder.reference import Reference, normalized, random_images, random_reference

# Name that it is recognized as, depth, what `random_reference` makes of it.
CASES: dict[str, tuple[str, int, dict[str, object]]] = {
    "v1.5": ("resnet50", 50, {}),
    "v1": ("resnet50", 50, {"stride_in_1x1": True}),
    "resnext": ("resnext50_32x4d", 50, {"groups": 32, "width_per_group": 4}),
    "wide": ("wide_resnet50_2", 50, {"width_per_group": 128}),
    "d": ("resnet50d", 50, {"stem": (32, 32), "average_pool": True, "size": 49}),
    "cifar": ("resnet18", 18, {"stem": (3,), "size": 24}),
    "grey": ("resnet18", 18, {"channels": 1}),
}


@cache
def reference_of(key: str) -> Reference:
    _, depth, changes = CASES[key]
    return random_reference(depth, seed=depth, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("folded", [True, False], ids=["folded", "unfolded"])
@pytest.mark.parametrize("key", CASES)
def test_the_logits_are_those_of_the_reference(key: str, folded: bool, tmp_path: Path) -> None:
    name, _, changes = CASES[key]
    reference = reference_of(key)
    published = read_checkpoint(save_onnx(tmp_path / "a.onnx", reference, folded=folded))
    assert published.format == "onnx"
    assert published.has_statistics is not folded
    # Nothing is left to be stated: strides and epsilon are in the graph.
    architecture = published.architecture()
    assert architecture.name == name
    assert architecture.stride_in_1x1 == reference.stride_in_1x1
    size = int(str(changes.get("size", 64)))
    network = build_resnet(architecture, input_size=size)
    assign(network, published.tensors, architecture)
    inputs = normalized(random_images(2, seed=1, size=size))[:, : architecture.input_channels]
    received = np.asarray(network(inputs.transpose(0, 2, 3, 1), training=False))
    assert relative_difference(received, reference.logits(inputs)) < TOLERANCE
