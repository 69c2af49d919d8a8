"""Parameters and MACs of the family, compared with those that torchvision and Keras publish."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict

import pytest
from pydantic import TypeAdapter, ValidationError

from model_builder.networks.config import (
    DEPTHS,
    RESNETS,
    BlockKind,
    ResNetConfig,
    Shortcut,
    name_of_depth,
)

# Depth, shortcut, trainable parameters, all parameters, millions of MACs at 224.
# Option B agrees with `num_params` and `_ops` of torchvision's weights at every depth.
NUMBERS: list[tuple[int, Shortcut, int, int, int]] = [
    (18, "A", 11_515_688, 11_523_496, 1795),
    (18, "B", 11_689_512, 11_699_112, 1814),
    (18, "C", 12_043_816, 12_055_464, 1878),
    (34, "A", 21_623_848, 21_639_080, 3644),
    (34, "B", 21_797_672, 21_814_696, 3664),
    (34, "C", 22_716_840, 22_739_624, 3831),
    (50, "A", 22_780_456, 22_825_896, 3730),
    (50, "B", 25_557_032, 25_610_152, 4089),
    (50, "C", 40_128_552, 40_204_200, 6555),
    (101, "A", 41_772_584, 41_870_248, 7442),
    (101, "B", 44_549_160, 44_654_504, 7801),
    (101, "C", 76_981_288, 77_143_976, 13762),
    (152, "A", 57_416_232, 57_559_976, 11154),
    (152, "B", 60_192_808, 60_344_232, 11514),
    (152, "C", 107_335_720, 107_575_208, 20968),
]
PROJECTIONS: dict[Shortcut, dict[int, int]] = {
    "none": {18: 0, 34: 0, 50: 0, 101: 0, 152: 0},
    "A": {18: 0, 34: 0, 50: 0, 101: 0, 152: 0},
    "B": {18: 3, 34: 3, 50: 4, 101: 4, 152: 4},
    "C": {18: 8, 34: 16, 50: 16, 101: 33, 152: 50},
}


@pytest.mark.parametrize(("depth", "shortcut", "trainable"), [row[:3] for row in NUMBERS])
def test_parameters(depth: int, shortcut: Shortcut, trainable: int) -> None:
    assert ResNetConfig.of(name_of_depth(depth), shortcut).parameters() == trainable


@pytest.mark.parametrize(("depth", "shortcut", "trainable", "total"), [row[:4] for row in NUMBERS])
def test_the_network_has_as_many_parameters(
    depth: int, shortcut: Shortcut, trainable: int, total: int
) -> None:
    from tests.model_builder.random_networks import shapes_only

    network = shapes_only(ResNetConfig.of(name_of_depth(depth), shortcut))
    assert sum(math.prod(v.shape) for v in network.trainable_variables) == trainable
    assert network.count_params() == total


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_plain_network_has_the_parameters_of_option_a(depth: int) -> None:
    assert (
        ResNetConfig.of(name_of_depth(depth), "none").parameters()
        == ResNetConfig.of(name_of_depth(depth), "A").parameters()
    )


def test_parameters_of_another_classifier() -> None:
    # torchvision's ResNet-18 less its classifier, and one of ten classes.
    assert ResNetConfig.of("resnet18", classes=10).parameters() == 11_176_512 + 512 * 10 + 10


@pytest.mark.parametrize(
    ("depth", "shortcut", "million"), [(row[0], row[1], row[4]) for row in NUMBERS]
)
def test_macs(depth: int, shortcut: Shortcut, million: int) -> None:
    assert round(ResNetConfig.of(name_of_depth(depth), shortcut).macs() / 1e6) == million


@pytest.mark.parametrize(("depth", "million"), [(50, 3858), (101, 7570), (152, 11282)])
def test_macs_with_the_stride_in_the_1x1(depth: int, million: int) -> None:
    architecture = ResNetConfig.of(name_of_depth(depth), stride_in_1x1=True)
    assert round(architecture.macs() / 1e6) == million


def test_macs_for_other_images() -> None:
    architecture = ResNetConfig.of("resnet18")
    without_classifier = architecture.macs(64) - 512 * 1000
    assert architecture.macs(128) - 512 * 1000 == 4 * without_classifier
    # One pixel more, and every map is one larger: 33, 17, 17, 9, 5, 3.
    assert architecture.macs(65) > architecture.macs(64)


@pytest.mark.parametrize(
    ("depth", "kind", "blocks", "features"),
    [
        (18, "basic", (2, 2, 2, 2), 512),
        (34, "basic", (3, 4, 6, 3), 512),
        (50, "bottleneck", (3, 4, 6, 3), 2048),
        (101, "bottleneck", (3, 4, 23, 3), 2048),
        (152, "bottleneck", (3, 8, 36, 3), 2048),
    ],
)
def test_blocks_of_a_depth(
    depth: int, kind: BlockKind, blocks: tuple[int, ...], features: int
) -> None:
    architecture = ResNetConfig.of(name_of_depth(depth))
    stages = [block.stage for block in architecture.blocks()]
    assert architecture.block == kind
    assert tuple(stages.count(stage) for stage in (1, 2, 3, 4)) == blocks
    assert architecture.feature_width == features
    trunk = sum(len(block.convolutions) for block in architecture.blocks())
    assert 1 + trunk + 1 == depth  # the stem and the classifier count, projections do not


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("shortcut", PROJECTIONS)
def test_projections(depth: int, shortcut: Shortcut) -> None:
    blocks = list(ResNetConfig.of(name_of_depth(depth), shortcut).blocks())
    projections = [block.projection for block in blocks if block.projection is not None]
    assert len(projections) == PROJECTIONS[shortcut][depth]
    assert all(block.has_shortcut for block in blocks) == (shortcut != "none")


@pytest.mark.parametrize("depth", DEPTHS)
def test_blocks_fit_together(depth: int) -> None:
    channels = 64
    for block in ResNetConfig.of(name_of_depth(depth), "C").blocks():
        assert block.in_channels == block.convolutions[0].in_channels == channels
        for first, second in zip(block.convolutions, block.convolutions[1:], strict=False):
            assert first.filters == second.in_channels
        assert block.convolutions[-1].filters == block.filters
        assert math.prod(c.stride for c in block.convolutions) == block.stride
        assert block.projection is not None
        assert (block.projection.in_channels, block.projection.filters) == (channels, block.filters)
        assert block.projection.stride == block.stride
        channels = block.filters
    assert channels == ResNetConfig.of(name_of_depth(depth)).feature_width


def test_strides() -> None:
    assert [block.name for block in ResNetConfig.of("resnet50").blocks() if block.stride == 2] == [
        "layer2_0",
        "layer3_0",
        "layer4_0",
    ]


@pytest.mark.parametrize(("stride_in_1x1", "strides"), [(True, (2, 1, 1)), (False, (1, 2, 1))])
def test_which_convolution_of_a_bottleneck_has_the_stride(
    stride_in_1x1: bool, strides: tuple[int, ...]
) -> None:
    blocks = {b.name: b for b in ResNetConfig.of("resnet50", stride_in_1x1=stride_in_1x1).blocks()}
    assert tuple(c.stride for c in blocks["layer2_0"].convolutions) == strides
    assert tuple(c.stride for c in blocks["layer2_1"].convolutions) == (1, 1, 1)


def test_a_basic_block_has_no_1x1_to_stride_in() -> None:
    v1, v15 = (
        ResNetConfig.of("resnet34", stride_in_1x1=True),
        ResNetConfig.of("resnet34", stride_in_1x1=False),
    )
    assert list(v1.convolutions()) == list(v15.convolutions())


@pytest.mark.parametrize("depth", DEPTHS)
def test_names_are_unique(depth: int) -> None:
    convolutions = list(ResNetConfig.of(name_of_depth(depth), "C").convolutions())
    names = [c.name for c in convolutions] + [c.batch_norm for c in convolutions]
    assert len(set(names)) == len(names)


def test_names_are_those_of_torchvision() -> None:
    names = [(c.name, c.batch_norm) for c in ResNetConfig.of("resnet18").convolutions()]
    assert names[:3] == [
        ("conv1", "bn1"),
        ("layer1_0_conv1", "layer1_0_bn1"),
        ("layer1_0_conv2", "layer1_0_bn2"),
    ]
    assert [pair for pair in names if "downsample" in pair[0]] == [
        ("layer2_0_downsample_0", "layer2_0_downsample_1"),
        ("layer3_0_downsample_0", "layer3_0_downsample_1"),
        ("layer4_0_downsample_0", "layer4_0_downsample_1"),
    ]
    assert names[-1] == ("layer4_1_conv2", "layer4_1_bn2")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": ""}, "name must be letters, digits, '.', '_' and '-'. Received: ''"),
        ({"name": "[/b]"}, "name must be letters, digits, '.', '_' and '-'. Received: '[/b]'"),
        ({"block": "wide"}, "block must be basic or bottleneck. Received: 'wide'"),
        ({"layers": (2, 2, 2)}, "layers must be four counts of 1 or more. Received: (2, 2, 2)"),
        (
            {"layers": (2, 2, 2, 0)},
            "layers must be four counts of 1 or more. Received: (2, 2, 2, 0)",
        ),
        (
            {"layers": (2, 2, 2, 2)},
            "resnet50 has ('bottleneck', (3, 4, 6, 3)). Received: ('bottleneck', (2, 2, 2, 2))",
        ),
        ({"shortcut": "D"}, "shortcut must be A, B, C or none. Received: 'D'"),
        ({"shortcut": "b"}, "shortcut must be A, B, C or none. Received: 'b'"),
        ({"classes": 0}, "classes must be at least 1. Received: 0"),
        ({"stem_width": 32}, "stem_width must be 64, or 1 and more in a deep stem. Received: 32"),
        ({"activation": "relu"}, "activation must be softmax or sigmoid. Received: 'relu'"),
        ({"input_channels": 4}, "input_channels must be 1 or 3. Received: 4"),
        (
            {"cardinality": 0},
            "cardinality and width_per_group must be at least 1. Received: 0, 64",
        ),
        (
            {"stem": "deep", "stem_widths": (9,)},
            "stem must be 7x7 or 3x3 without stem_widths, or deep with two. Received: 'deep', (9,)",
        ),
        (
            {"stem": "5x5"},
            "stem must be 7x7 or 3x3 without stem_widths, or deep with two. Received: '5x5', ()",
        ),
        (
            {"stem": "deep", "stem_widths": (32, 0)},
            "stem_widths must be at least 1. Received: (32, 0)",
        ),
    ],
)
def test_invalid_arguments(arguments: dict[str, object], message: str) -> None:
    valid = asdict(ResNetConfig.of("resnet50"))
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        ResNetConfig(**(valid | arguments))


def test_unknown_names() -> None:
    known = "resnet18, resnet34, resnet50, resnet101, resnet152, wide_resnet50_2"
    with pytest.raises(
        ValueError, match=rf"^name must be one of {known}, .* Received: 'resnet20'$"
    ):
        ResNetConfig.of("resnet20")
    with pytest.raises(ValueError, match=r"^depth must be one of 18, .*, 152\. Received: 20$"):
        name_of_depth(20)


@pytest.mark.parametrize("name", RESNETS)
def test_every_name_of_the_table_states_its_depth(name: str) -> None:
    config = ResNetConfig.of(name)
    assert name_of_depth(config.depth) == config.name == name
    assert name == f"resnet{config.depth}"


def test_a_configuration_need_not_be_in_the_table() -> None:
    config = ResNetConfig("resnet26", "bottleneck", (2, 2, 2, 2))
    assert config.depth == 26
    assert sum(len(block.convolutions) for block in config.blocks()) == 24


ADAPTER = TypeAdapter(ResNetConfig)


def test_json_of_earlier_versions_is_read() -> None:
    """They stated a depth in place of name, block and layers."""
    earlier = {
        "depth": 50,
        "shortcut": "C",
        "stride_in_1x1": True,
        "batch_norm_epsilon": 1.001e-5,
        "classes": 3,
    }
    expected = ResNetConfig.of("resnet50", "C", True, 1.001e-5, 3)
    assert ADAPTER.validate_json(json.dumps(earlier)) == expected
    assert ADAPTER.validate_python(earlier) == expected


@pytest.mark.parametrize("depth", [20, "fifty", [50], None])
def test_json_of_earlier_versions_with_no_such_depth(depth: object) -> None:
    with pytest.raises(ValidationError, match=r"depth must be one of 18, 34, 50, 101, 152"):
        ADAPTER.validate_json(json.dumps({"depth": depth, "shortcut": "B"}))


@pytest.mark.parametrize("name", RESNETS)
def test_json_names_the_configuration(name: str) -> None:
    config = ResNetConfig.of(name, "A", classes=7)
    written = json.loads(ADAPTER.dump_json(config))
    assert (written["name"], tuple(written["layers"])) == (name, config.layers)
    assert "depth" not in written
    assert ADAPTER.validate_python(written) == config
