"""Members of the family beyond the paper's, against the reference in NumPy.

The reference's logits are torchvision's and timm's (docs/decisions/0022-family.md).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from model_builder.artifact.preprocessing import LUMA
from model_builder.build.builder import golden
from model_builder.checkpoints.formats import torch
from model_builder.checkpoints.infer_config import infer
from model_builder.checkpoints.loader import assign, read_checkpoint
from model_builder.errors import ConversionFailed
from model_builder.networks.config import RESNETS, ResNetConfig
from model_builder.networks.members import MEMBERS, Member, member_name
from model_builder.networks.resnet import build_resnet
from tests.model_builder.checkpoints.test_infer_config import contents
from tests.model_builder.published import PREPROCESSING, TOLERANCE, served_logits
from tests.model_builder.random_networks import relative_difference
from tests.model_builder.reference import Reference, normalized, random_images, random_reference
from tests.model_builder.torch_layout import save_safetensors


@dataclass(frozen=True)
class Case:
    """depth, changes: what `random_reference` makes of it. name, stem: what it is recognized as."""

    name: str
    depth: int
    changes: dict[str, Any]
    stem: str = "7x7"

    @property
    def channels(self) -> int:
        found: int = self.changes.get("channels", 3)
        return found

    @property
    def size(self) -> int:
        """Edge of its images."""
        found: int = self.changes.get("size", 64)
        return found


# What one shares with another is not repeated: the logits of the reference take seconds.
CASES = {
    "resnext": Case("resnext50_32x4d", 50, {"groups": 32, "width_per_group": 4, "size": 33}),
    # An odd size: the last row and column have no neighbor in an average pool.
    "d": Case("resnet50d", 50, {"stem": (32, 32), "average_pool": True, "size": 49}, "deep"),
    "cifar": Case("resnet18", 18, {"stem": (3,), "size": 24}, "3x3"),
    "grey": Case("resnet18", 18, {"channels": 1}),
}
EACH = pytest.mark.parametrize("key", CASES)


@cache
def reference_of(key: str) -> Reference:
    case = CASES[key]
    return random_reference(case.depth, seed=case.depth, **case.changes)


def imported(key: str, folder: Path) -> tuple[keras.Model, ResNetConfig]:
    """Our network with the reference's weights, by way of a file."""
    path = save_safetensors(folder / "model.safetensors", reference_of(key).state_dict)
    published = read_checkpoint(path)
    path.unlink()
    architecture = published.architecture(stride_in_1x1=False, batch_norm_epsilon=1e-5)
    network = build_resnet(architecture, input_size=CASES[key].size)
    assign(network, published.tensors, architecture)
    return network, architecture


@EACH
def test_a_member_is_recognized_and_gives_the_logits_of_the_reference(
    key: str, tmp_path: Path
) -> None:
    case = CASES[key]
    network, architecture = imported(key, tmp_path)
    assert (architecture.name, architecture.stem) == (case.name, case.stem)
    assert architecture.input_channels == case.channels
    images = random_images(2, seed=1, size=case.size)
    inputs = normalized(images)[:, : case.channels]
    expected = reference_of(key).logits(inputs)
    received = network(inputs.transpose(0, 2, 3, 1), training=False)
    assert relative_difference(received, expected) < TOLERANCE
    statistics = 2 * sum(spec.filters for spec in architecture.convolutions())
    assert network.count_params() == architecture.parameters() + statistics
    if case.channels == 3:
        recipe = replace(PREPROCESSING, crop_size=case.size)
        served = served_logits(network, architecture, images, recipe)
        assert relative_difference(served, expected) < TOLERANCE


GREY = replace(PREPROCESSING, mean=(120.0,) * 3, std=(60.0,) * 3)


def test_a_grey_network_sees_what_pillow_converts(tmp_path: Path) -> None:
    """Equal channels, as the service gives them for the channel order L, are exactly their grey;
    of color the grey is not rounded, and Pillow's is half a level away at most.
    """
    network, architecture = imported("grey", tmp_path)
    images = random_images(2, seed=1)
    grey = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in images])
    inputs = ((grey[:, None].astype(np.float32) - 120) / 60).astype(np.float32)
    expected = reference_of("grey").logits(inputs)
    equal_channels = grey[..., None].repeat(3, axis=-1)
    served = served_logits(network, architecture, equal_channels, GREY)
    assert relative_difference(served, expected) < TOLERANCE
    of_color = served_logits(network, architecture, images, GREY)
    assert relative_difference(of_color, expected) < 0.02
    assert np.abs(images @ LUMA - grey).max() <= 0.5
    assert LUMA.sum() == 1


def test_golden_logits_of_a_grey_network(tmp_path: Path) -> None:
    network, architecture = imported("grey", tmp_path)
    made = golden(network, GREY)
    served = served_logits(network, architecture, made.pixels, GREY)
    assert relative_difference(served, made.logits) < TOLERANCE


@pytest.mark.parametrize("name", MEMBERS)
def test_every_member_is_recognized_by_its_shapes(name: str) -> None:
    architecture = ResNetConfig.of(name, classes=7)
    pooled = architecture.average_pool_shortcut
    published = infer("torch", contents(architecture, average_pool_shortcut=pooled))
    assert published.architecture(stride_in_1x1=False, batch_norm_epsilon=1e-5) == architecture
    assert member_name(architecture.member) == name
    assert architecture.base in RESNETS
    assert published.depth == ResNetConfig.of(architecture.base).depth
    published.check(architecture)


# Trainable parameters and multiply-accumulates at 224 pixels, as torchvision's documentation of
# each weight states them: num_params and _ops, in 1e9.
COSTS = {
    "wide_resnet50_2": (68_883_240, 11.398),
    "wide_resnet101_2": (126_886_696, 22.753),
    "resnext50_32x4d": (25_028_904, 4.23),
    "resnext101_32x8d": (88_791_336, 16.414),
    "resnext101_64x4d": (83_455_272, 15.46),
}


@pytest.mark.parametrize("name", COSTS)
def test_costs_are_those_that_torchvision_states(name: str) -> None:
    parameters, macs = COSTS[name]
    config = ResNetConfig.of(name)
    assert config.parameters() == parameters
    assert config.macs() / 1e9 == pytest.approx(macs, abs=0.01)


def test_other_combinations_have_names_of_their_own() -> None:
    names = [
        member_name(member)
        for member in (
            Member("resnet50", width_per_group=96),
            Member("resnet50", cardinality=8, width_per_group=16),
            Member("resnet50", "deep", (16, 48)),
            Member("resnet50", "deep", (16, 48), average_pool_shortcut=True),
            Member("resnet50", average_pool_shortcut=True),
        )
    ]
    assert names[:2] == ["resnet50_1x96d", "resnet50_8x16d"]
    assert len({*names, *MEMBERS, *RESNETS}) == len(names) + len(MEMBERS) + len(RESNETS)


def test_a_row_of_another_member_is_not_the_files() -> None:
    published = infer("torch", contents(ResNetConfig.of("resnext50_32x4d")))
    with pytest.raises(ConversionFailed, match=r"holds a resnext50_32x4d .* Expected: resnet50,"):
        published.check(ResNetConfig.of("resnet50"))
    grey = infer("torch", contents(replace(ResNetConfig.of("resnet50"), input_channels=1)))
    with pytest.raises(ConversionFailed, match="holds a resnet50 "):
        grey.check(ResNetConfig.of("resnet50"))


@pytest.mark.parametrize("name", ["resnet18d", "resnet50c", "resnext50d_32x4d"])
def test_the_names_of_a_deep_stem(name: str) -> None:
    config = ResNetConfig.of(name)
    theirs = {
        "conv1.0.weight": "conv1_0/kernel",
        "conv1.1.running_mean": "conv1_1/moving_mean",
        "conv1.4.weight": "conv1_4/gamma",
        "conv1.6.weight": "conv1_6/kernel",
        "bn1.bias": "bn1/beta",
    }
    assert {key: torch.our_name(key) for key in theirs} == theirs
    ours = {f"{spec.name}/kernel" for spec in config.stem_convolutions}
    assert ours == {"conv1_0/kernel", "conv1_3/kernel", "conv1_6/kernel"}
