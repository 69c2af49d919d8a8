"""Draws networks side by side, block by block, as SVG or PNG, without pydot or graphviz."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import wrap

from model_builder.networks.diagram.canvas import INK, PAPER, Box, Line, Shape, Text, to_png, to_svg
from model_builder.networks.summary import BlockGroup, Description, Stage, label, shortcut_kind

SUFFIXES = (".png", ".svg")

MARGIN, COLUMN, COLUMN_GAP = 24, 300, 20
BOX_LEFT, BOX_WIDTH, BOX_HEIGHT = 44, 130, 24
ARROW, PLUS = 14, 16
LANE = 22
HEADER, CAPTION, PANEL_HEADER, PANEL_GAP = 60, 30, 26, 14

FAINT, PLAIN_FILL, SHORTCUT_INK = "#7b8794", "#f1f3f5", "#c05621"
# Fill of the panel and of its boxes, for each of the four stages.
STAGE_FILLS = (
    ("#f3f0ff", "#d6c9ff"),
    ("#ebfbee", "#b9e8c0"),
    ("#fff4e6", "#ffd9a8"),
    ("#e7f5ff", "#b5dcfb"),
)
FOOTNOTE = (
    "Batch norm follows every convolution. ReLU follows the stem, a block's inner convolutions, "
    "and the block as a whole."
)


def draw(networks: Sequence[Description], file: Path) -> None:
    """Writes a diagram with a column for each network and the output shape of each stage.

    Raises ValueError unless the file's suffix is one of SUFFIXES.
    """
    suffix = file.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"A diagram is one of {', '.join(SUFFIXES)}. Received: {file.name}")
    heights = [
        max(_stage_height(one.stages[index]) for one in networks)
        for index in range(len(networks[0].stages))
    ]
    shapes: list[Shape] = []
    for index, network in enumerate(networks):
        left = MARGIN + index * (COLUMN + COLUMN_GAP)
        shapes.extend(_column(left, network, heights))
    width = 2 * MARGIN + len(networks) * (COLUMN + COLUMN_GAP) - COLUMN_GAP
    height = 2 * MARGIN + HEADER + CAPTION + sum(heights) + PANEL_GAP * (len(heights) + 1)
    for index, line in enumerate(wrap(FOOTNOTE, 60 * len(networks))):
        y = height - MARGIN - CAPTION / 2 + 15 * index
        shapes.append(Text(MARGIN, y, line, 11, FAINT, "start"))
    if suffix == ".svg":
        file.write_text(to_svg(width, height, shapes), encoding="utf-8")
    else:
        to_png(width, height, shapes).save(file)


def _column(left: float, network: Description, heights: Sequence[float]) -> Iterator[Shape]:
    middle = left + BOX_LEFT + BOX_WIDTH / 2
    y: float = MARGIN
    cost = f"{network.parameters / 1e6:.1f} M parameters"
    cost += f" · {network.macs / 1e9:.2f} G MACs"
    yield Text(left, y + 10, network.title, 17, anchor="start")
    yield Text(left, y + 32, cost, 12, FAINT, "start")
    y += HEADER
    size = network.input_size
    yield Text(middle, y, f"{size} x {size} x 3", 12, FAINT)
    y += 10
    for stage, height in zip(network.stages, heights, strict=True):
        yield Line(((middle, y), (middle, y + PANEL_GAP)), INK, arrow=not stage.blocks)
        y += PANEL_GAP
        yield from _stage(left, y, height, stage)
        y += height


def _stage(left: float, top: float, height: float, stage: Stage) -> Iterator[Shape]:
    middle = left + BOX_LEFT + BOX_WIDTH / 2
    edge = stage.output_size
    shape = f"{edge} x {edge} x {stage.channels}" if stage.name != "fc" else f"{stage.channels}"
    if not stage.blocks:
        y = top
        for text in stage.layers:
            yield from _box(left, y, text, PLAIN_FILL)
            y += BOX_HEIGHT
            if text != stage.layers[-1]:
                yield Line(((middle, y), (middle, y + ARROW)), INK, arrow=True)
                y += ARROW
        right = left + BOX_LEFT + BOX_WIDTH + 10
        yield Text(right, y - BOX_HEIGHT / 2, shape, 12, FAINT, "start")
        return
    panel, fill = STAGE_FILLS[stage.blocks[0].stage - 1]
    yield Box(left, top, COLUMN, height, panel, panel, 8)
    yield Text(left + 10, top + PANEL_HEADER / 2, stage.name, 12, anchor="start")
    yield Text(left + COLUMN - 10, top + PANEL_HEADER / 2, shape, 12, FAINT, "end")
    yield Line(((middle, top), (middle, top + PANEL_HEADER)), INK)
    y = top + PANEL_HEADER
    for group in stage.groups():
        yield from _group(left, y, group, fill)
        y += _group_height(group)
    # Fills the panel where another column has taller blocks.
    yield Line(((middle, y), (middle, top + height)), INK)


def _group(left: float, top: float, group: BlockGroup, fill: str) -> Iterator[Shape]:
    block = group.block
    middle = left + BOX_LEFT + BOX_WIDTH / 2
    bottom = top + _group_height(group)
    y = top
    for convolution in block.convolutions:
        yield Line(((middle, y), (middle, y + ARROW)), INK, arrow=True)
        y += ARROW
        yield from _box(left, y, label(convolution), fill)
        y += BOX_HEIGHT
    if group.count > 1:
        center = (top + ARROW + y) / 2
        yield Text(left + BOX_LEFT - 10, center, f"{group.count} x", 14, anchor="end")
    if not block.has_shortcut:
        yield Line(((middle, y), (middle, bottom)), INK)
        return
    plus = y + ARROW
    yield from _shortcut(left, top + 2, plus + PLUS / 2, group)
    yield Line(((middle, y), (middle, plus)), INK, arrow=True)
    yield Box(middle - PLUS / 2, plus, PLUS, PLUS, PAPER, INK, PLUS / 2)
    center = plus + PLUS / 2
    for dx, dy in ((4, 0), (0, 4)):
        yield Line(((middle - dx, center - dy), (middle + dx, center + dy)), INK)
    yield Line(((middle, plus + PLUS), (middle, bottom)), INK)


def _shortcut(left: float, top: float, bottom: float, group: BlockGroup) -> Iterator[Shape]:
    """The line from above the first convolution, to the right and down, to the addition."""
    block = group.block
    middle = left + BOX_LEFT + BOX_WIDTH / 2
    right = left + BOX_LEFT + BOX_WIDTH
    kind = shortcut_kind(block)
    lane = right + (LANE if kind == "identity" else COLUMN - BOX_LEFT - BOX_WIDTH - 8 - 54)
    corner = 6
    path = (
        (middle, top),
        (lane - corner, top),
        (lane, top + corner),
        (lane, bottom - corner),
        (lane - corner, bottom),
        (middle + PLUS / 2, bottom),
    )
    yield Line(path, SHORTCUT_INK, arrow=True)
    if kind == "identity":
        return
    lines = _padding(block.stride, block.filters)
    if block.projection is not None:
        lines = ["2x2 mean, /2"] * block.average_pool + [label(block.projection)]
    height = 8 + 16 * len(lines)
    y = (top + bottom - height) / 2
    yield Box(lane - 54, y, 108, height, PAPER, SHORTCUT_INK)
    for index, line in enumerate(lines):
        yield Text(lane, y + 12 + 16 * index, line, 12, SHORTCUT_INK)


def _padding(stride: int, filters: int) -> list[str]:
    lines = [f"every {stride}nd pixel"] if stride > 1 else []
    return [*lines, f"zeros up to {filters}"]


def _box(left: float, y: float, text: str, fill: str) -> Iterator[Shape]:
    yield Box(left + BOX_LEFT, y, BOX_WIDTH, BOX_HEIGHT, fill, FAINT)
    yield Text(left + BOX_LEFT + BOX_WIDTH / 2, y + BOX_HEIGHT / 2, text)


def _stage_height(stage: Stage) -> float:
    if stage.blocks:
        return PANEL_HEADER + sum(map(_group_height, stage.groups()))
    return len(stage.layers) * (BOX_HEIGHT + ARROW) - ARROW


def _group_height(group: BlockGroup) -> float:
    return len(group.block.convolutions) * (ARROW + BOX_HEIGHT) + ARROW + PLUS + ARROW
