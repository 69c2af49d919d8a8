"""The summary of a network, compared with the paper's table and with Keras's network."""

from __future__ import annotations

import math
from collections import Counter
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from shutil import which

import pytest

from model_builder.errors import BuilderError
from model_builder.networks.config import DEPTHS, ResNetConfig, Shortcut, name_of_depth
from model_builder.networks.summary import (
    describe,
    label,
    layer_summary,
    plot_layers,
    title,
)

SHORTCUTS: tuple[Shortcut, ...] = ("none", "A", "B", "C")
LAYERS = ("layer1", "layer2", "layer3", "layer4")
GRAPHVIZ = find_spec("pydot") is not None and which("dot") is not None

# Table 1 of the paper: a block's kernels, how many blocks, and MACs in billions.
PAPER = {
    18: (("3x3, {w}", "3x3, {w}"), (2, 2, 2, 2), 1.8),
    34: (("3x3, {w}", "3x3, {w}"), (3, 4, 6, 3), 3.6),
    50: (("1x1, {w}", "3x3, {w}", "1x1, {wide}"), (3, 4, 6, 3), 3.8),
    101: (("1x1, {w}", "3x3, {w}", "1x1, {wide}"), (3, 4, 23, 3), 7.6),
    152: (("1x1, {w}", "3x3, {w}", "1x1, {wide}"), (3, 8, 36, 3), 11.3),
}


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_table_is_the_papers(depth: int) -> None:
    kernels, counts, billions = PAPER[depth]
    network = describe(ResNetConfig.of(name_of_depth(depth), stride_in_1x1=True))
    assert [stage.output_size for stage in network.stages] == [112, 56, 56, 28, 14, 7, 1]
    for stage, width, count in zip(network.stages[2:6], (64, 128, 256, 512), counts, strict=True):
        assert len(stage.blocks) == count
        expected = [kernel.format(w=width, wide=4 * width) for kernel in kernels]
        for block in stage.blocks:
            assert [label(one).removesuffix(", /2") for one in block.convolutions] == expected
    # The paper gives two digits, and does not state which shortcuts it counts.
    assert network.macs / 1e9 == pytest.approx(billions, rel=0.02)


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_costs_of_the_stages_add_up(depth: int) -> None:
    for shortcut, stride_in_1x1, size in product(SHORTCUTS, (True, False), (224, 225, 33, 1)):
        architecture = ResNetConfig.of(name_of_depth(depth), shortcut, stride_in_1x1, classes=7)
        network = describe(architecture, size)
        assert network.parameters == architecture.parameters()
        assert network.macs == architecture.macs(size)


@pytest.mark.parametrize(
    "architecture",
    [
        ResNetConfig.of("resnet18", "A"),
        ResNetConfig.of("resnet34", "none"),
        ResNetConfig.of("resnet50", stride_in_1x1=True),
    ],
    ids=title,
)
def test_every_stage_is_what_keras_builds(architecture: ResNetConfig) -> None:
    from tests.model_builder.random_networks import shapes_only

    network = shapes_only(architecture, input_size=75)
    for stage in describe(architecture, 75).stages:
        beginnings = ("conv1", "bn1") if stage.name == "conv1" else (stage.name,)
        layers = [one for one in network.layers if one.name.startswith(beginnings)]
        variables = [one for layer in layers for one in layer.trainable_variables]
        assert stage.parameters == sum(math.prod(one.shape) for one in variables)
        size = () if stage.name == "fc" else (stage.output_size, stage.output_size)
        assert layers[-1].output.shape == (None, *size, stage.channels)


@pytest.mark.parametrize(
    ("shortcut", "of_layer1", "of_layer2"),
    [
        ("none", {"none": 3}, {"none": 4}),
        ("A", {"zero-padded": 1, "identity": 2}, {"zero-padded": 1, "identity": 3}),
        ("B", {"projection": 1, "identity": 2}, {"projection": 1, "identity": 3}),
        ("C", {"projection": 3}, {"projection": 4}),
    ],
)
def test_shortcuts_of_a_bottleneck(
    shortcut: Shortcut, of_layer1: dict[str, int], of_layer2: dict[str, int]
) -> None:
    stages = {stage.name: stage for stage in describe(ResNetConfig.of("resnet50", shortcut)).stages}
    assert stages["layer1"].shortcuts() == Counter(of_layer1)
    assert stages["layer2"].shortcuts() == Counter(of_layer2)


def test_equal_blocks_are_grouped() -> None:
    counts = {
        depth: [[group.count for group in stage.groups()] for stage in describe(one).stages[2:6]]
        for depth, one in ((18, ResNetConfig.of("resnet18")), (152, ResNetConfig.of("resnet152")))
    }
    assert counts == {18: [[2], [1, 1], [1, 1], [1, 1]], 152: [[1, 2], [1, 7], [1, 35], [1, 2]]}


def test_titles_are_unique() -> None:
    networks = [
        ResNetConfig.of(name_of_depth(depth), shortcut, v1)
        for depth, shortcut, v1 in product(DEPTHS, SHORTCUTS, (True, False))
        if depth >= 50 or v1
    ]
    titles = [title(one) for one in networks]
    assert len(set(titles)) == len(titles)
    assert title(ResNetConfig.of("resnet34", "none")) == "resnet34, plain"
    assert title(ResNetConfig.of("resnet50", stride_in_1x1=True)) == "resnet50 v1, option B"


def test_the_layer_summary_has_every_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.model_builder.random_networks import shapes_only

    monkeypatch.setenv("COLUMNS", "200")
    architecture = ResNetConfig.of("resnet18", "A", classes=10)
    summary = layer_summary(architecture, 32)
    for layer in shapes_only(architecture, input_size=32).layers:
        assert f" {layer.name} " in summary
    assert f"Trainable params: {architecture.parameters():,}" in summary


def test_without_graphviz_the_error_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuilderError, match=r"pip install pydot.*graphviz"):
        plot_layers(ResNetConfig.of("resnet18"), 32, tmp_path / "layers.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not GRAPHVIZ, reason="needs pydot and graphviz")
def test_keras_draws_every_layer(tmp_path: Path) -> None:
    from tests.model_builder.random_networks import shapes_only

    plot_layers(ResNetConfig.of("resnet18"), 32, tmp_path / "layers.svg")
    drawing = (tmp_path / "layers.svg").read_text(encoding="utf-8")
    for layer in shapes_only(ResNetConfig.of("resnet18"), input_size=32).layers:
        assert f">{layer.name}<" in drawing
