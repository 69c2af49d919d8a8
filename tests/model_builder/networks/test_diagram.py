"""The drawing of networks, read back from the SVG and the PNG."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image, ImageColor

from model_builder.networks.config import DEPTHS, ResNetConfig, name_of_depth
from model_builder.networks.diagram.canvas import PNG_SCALE
from model_builder.networks.diagram.drawing import SHORTCUT_INK, draw
from model_builder.networks.summary import describe, label

SVG = "{http://www.w3.org/2000/svg}"


def drawn(folder: Path, *architectures: ResNetConfig) -> ElementTree.Element:
    file = folder / "drawing.svg"
    draw([describe(one) for one in architectures], file)
    return ElementTree.parse(file).getroot()


def texts(drawing: ElementTree.Element) -> Counter[str]:
    return Counter(text.text or "" for text in drawing.iter(f"{SVG}text"))


def shortcuts(drawing: ElementTree.Element) -> int:
    lines = drawing.iter(f"{SVG}polyline")
    return sum(line.get("stroke") == SHORTCUT_INK for line in lines)


@pytest.mark.parametrize("depth", DEPTHS)
def test_every_kind_of_block_and_every_shape_is_drawn(tmp_path: Path, depth: int) -> None:
    architecture = ResNetConfig.of(name_of_depth(depth))
    said = texts(drawn(tmp_path, architecture))
    assert said["224 x 224 x 3"] == 1
    for stage in describe(architecture).stages[2:6]:
        assert said[stage.name] == 1
        assert said[f"{stage.output_size} x {stage.output_size} x {stage.channels}"]
        for block in stage.blocks:
            assert all(said[label(one)] for one in block.all_convolutions())


def test_equal_blocks_are_counted_not_repeated(tmp_path: Path) -> None:
    assert texts(drawn(tmp_path, ResNetConfig.of("resnet152")))["35 x"] == 1


def test_a_plain_network_has_no_shortcuts(tmp_path: Path) -> None:
    assert shortcuts(drawn(tmp_path, ResNetConfig.of("resnet34", "none"))) == 0
    # One for the three equal blocks of layer1, two for each later stage.
    assert shortcuts(drawn(tmp_path, ResNetConfig.of("resnet34", "B"))) == 7


def test_the_padding_of_option_a_is_labeled(tmp_path: Path) -> None:
    said = texts(drawn(tmp_path, ResNetConfig.of("resnet34", "A")))
    assert said["every 2nd pixel"] == 3
    assert [said[f"zeros up to {filters}"] for filters in (128, 256, 512)] == [1, 1, 1]


def test_networks_side_by_side_fit_the_page_and_align_their_stages(tmp_path: Path) -> None:
    drawing = drawn(tmp_path, *(ResNetConfig.of(name_of_depth(depth)) for depth in DEPTHS))
    width, height = (float(drawing.get(name, "")) for name in ("width", "height"))
    boxes = [box for box in drawing.iter(f"{SVG}rect") if box.get("x")]
    assert all(float(box.get("x", "")) + float(box.get("width", "")) <= width for box in boxes)
    assert all(float(box.get("y", "")) + float(box.get("height", "")) <= height for box in boxes)
    heights = {text.get("y") for text in drawing.iter(f"{SVG}text") if text.text == "layer4"}
    assert len(heights) == 1


def test_the_png_has_the_shapes_of_the_svg(tmp_path: Path) -> None:
    drawing = drawn(tmp_path, ResNetConfig.of("resnet18"))
    draw([describe(ResNetConfig.of("resnet18"))], tmp_path / "drawing.png")
    with Image.open(tmp_path / "drawing.png") as image:
        for length, name in zip(image.size, ("width", "height"), strict=True):
            assert length == PNG_SCALE * float(drawing.get(name, ""))
        colors = {color for _, color in image.getcolors(1 << 24)}
    fills = {ImageColor.getrgb(box.get("fill", "")) for box in drawing.iter(f"{SVG}rect")}
    assert fills <= colors


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Received: drawing\.pdf$"):
        draw([describe(ResNetConfig.of("resnet18"))], tmp_path / "drawing.pdf")
    assert list(tmp_path.iterdir()) == []
