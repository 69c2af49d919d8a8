"""Boxes, lines and words on white paper, as SVG or PNG. Lengths are in points of the SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from PIL import Image, ImageDraw, ImageFont

INK, PAPER = "#1f2933", "#ffffff"
# Pixels of a PNG to the point, and of the larger image that it is averaged from.
PNG_SCALE, SMOOTHING = 2, 2


@dataclass(frozen=True, slots=True)
class Box:
    x: float
    y: float
    width: float
    height: float
    fill: str
    edge: str
    radius: float = 4


@dataclass(frozen=True, slots=True)
class Line:
    points: tuple[tuple[float, float], ...]
    color: str
    arrow: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """`x` is the left end, the middle or the right end of the text; `y` its middle."""

    x: float
    y: float
    text: str
    size: int = 12
    color: str = INK
    anchor: str = "middle"


Shape = Box | Line | Text


def _head(line: Line) -> tuple[tuple[float, float], ...]:
    """The triangle at the end of a line that runs down or to the left."""
    (before_x, _), (x, y) = line.points[-2:]
    if before_x == x:
        return (x, y), (x - 3.5, y - 6), (x + 3.5, y - 6)
    return (x, y), (x + 6, y - 3.5), (x + 6, y + 3.5)


def to_svg(width: float, height: float, shapes: Sequence[Shape]) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
            f'width="{width:g}" height="{height:g}" font-family="Helvetica, Arial, sans-serif">',
            f'<rect width="100%" height="100%" fill="{PAPER}"/>',
            *map(_element, shapes),
            "</svg>\n",
        ]
    )


def _element(shape: Shape) -> str:
    if isinstance(shape, Box):
        return (
            f'<rect x="{shape.x:g}" y="{shape.y:g}" width="{shape.width:g}" '
            f'height="{shape.height:g}" rx="{shape.radius:g}" '
            f'fill="{shape.fill}" stroke="{shape.edge}"/>'
        )
    if isinstance(shape, Text):
        return (
            f'<text x="{shape.x:g}" y="{shape.y:g}" font-size="{shape.size}" fill="{shape.color}" '
            f'text-anchor="{shape.anchor}" dominant-baseline="central">{escape(shape.text)}</text>'
        )
    line = f'<polyline points="{_points(shape.points)}" fill="none" stroke="{shape.color}"/>'
    if shape.arrow:
        line += f'<polygon points="{_points(_head(shape))}" fill="{shape.color}"/>'
    return line


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)


def to_png(width: float, height: float, shapes: Sequence[Shape]) -> Image.Image:
    scale = PNG_SCALE * SMOOTHING
    image = Image.new("RGB", (round(width * scale), round(height * scale)), PAPER)
    pen = ImageDraw.Draw(image)
    anchors = {"start": "lm", "middle": "mm", "end": "rm"}
    for shape in shapes:
        if isinstance(shape, Box):
            corners = (shape.x, shape.y, shape.x + shape.width, shape.y + shape.height)
            scaled = tuple(value * scale for value in corners)
            pen.rounded_rectangle(scaled, shape.radius * scale, shape.fill, shape.edge, scale)
        elif isinstance(shape, Text):
            place = (shape.x * scale, shape.y * scale)
            font = ImageFont.load_default(shape.size * scale)
            pen.text(place, shape.text, shape.color, font, anchors[shape.anchor])
        else:
            points = [(x * scale, y * scale) for x, y in shape.points]
            pen.line(points, shape.color, scale, joint="curve")
            if shape.arrow:
                pen.polygon([(x * scale, y * scale) for x, y in _head(shape)], shape.color)
    return image.reduce(SMOOTHING)
