"""Boxes, lines and text on a white page, as SVG or PNG. Lengths are in user units of the SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from PIL import Image, ImageDraw, ImageFont

INK, PAPER = "#1f2933", "#ffffff"
# PNG pixels for each unit, and the factor of the larger image that is averaged down.
PNG_SCALE, SMOOTHING = 2, 2


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle with rounded corners; x and y are its top left corner."""

    x: float
    y: float
    width: float
    height: float
    fill: str
    edge: str
    radius: float = 4


@dataclass(frozen=True, slots=True)
class Line:
    """A polyline, optionally with an arrowhead at its end."""

    points: tuple[tuple[float, float], ...]
    color: str
    arrow: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text. x: its start, middle or end, by `anchor`. y: its middle."""

    x: float
    y: float
    text: str
    size: int = 12
    color: str = INK
    anchor: str = "middle"


Shape = Box | Line | Text


def _head(line: Line) -> tuple[tuple[float, float], ...]:
    """The arrowhead of a line that ends downwards or to the left."""
    (before_x, _), (x, y) = line.points[-2:]
    if before_x == x:
        return (x, y), (x - 3.5, y - 6), (x + 3.5, y - 6)
    return (x, y), (x + 6, y - 3.5), (x + 6, y + 3.5)


def to_svg(width: float, height: float, shapes: Sequence[Shape]) -> str:
    """The page as SVG."""
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
    """The page as an RGB image, PNG_SCALE pixels for each unit."""
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
