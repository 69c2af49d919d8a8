"""Measures the values for each byte of large images: photos, diagrams, text, and one color.

    python -m tests.fuzz.values_per_byte

VALUES_PER_BYTE in `service/imaging/limits/dimensions.py` must lie above those of the first and
below that of the last. Takes a minute or two.
"""

from __future__ import annotations

import io
import random
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter, ImageFont
from rich.console import Console
from rich.table import Table

from service.imaging.limits.dimensions import channels_of
from tests.service.images import encoded

PHOTO = Path(__file__).parents[1] / "photos" / "chelsea_cat.jpg"
SIZE = (8160, 6120)
FORMATS: dict[str, dict[str, object]] = {
    "PNG": {},
    "TIFF": {"compression": "tiff_adobe_deflate"},
    "GIF": {},
    "WEBP": {"quality": 75, "method": 0},
    "JPEG": {"quality": 75, "progressive": True},
    "AVIF": {"quality": 50, "speed": 10},
}
LOWEST: dict[str, dict[str, object]] = {
    "WEBP": {"quality": 5, "method": 0},
    "JPEG": {"quality": 5, "progressive": True},
    "AVIF": {"quality": 10, "speed": 10},
}


def photo() -> Image.Image:
    """Enlarged, which is the worst case: it lacks the detail of a real photo of that size."""
    image = Image.open(io.BytesIO(PHOTO.read_bytes())).convert("RGB")
    return image.resize(SIZE, Image.Resampling.BICUBIC)


def diagram() -> Image.Image:
    image = Image.new("RGB", SIZE, "white")
    draw, chance = ImageDraw.Draw(image), random.Random(1)
    for number in range(4):
        level = SIZE[1] / 2
        points = []
        for place in range(0, SIZE[0], 20):
            level += chance.uniform(-60, 60)
            points.append((place, level))
        draw.line(points, fill=(200, 40 * number, 80), width=8)
    for place in range(0, SIZE[0], SIZE[0] // 10):
        draw.line((place, 0, place, SIZE[1]), fill=(200, 200, 200), width=3)
    return image.filter(ImageFilter.BoxBlur(1))


def text(width: int, height: int, lines: int) -> Image.Image:
    image = Image.new("RGB", (width, height), "white")
    draw, chance, font = ImageDraw.Draw(image), random.Random(1), ImageFont.load_default(28)
    draw.rectangle((0, 0, width, 120), fill=(40, 60, 90))
    for line in range(lines):
        letters = "".join(
            chance.choice("abcdefghij klmnop qrst uvwxyz") for _ in range(width // 22)
        )
        draw.text((200, 200 + 44 * line), letters, fill="black", font=font)
    return image


def main() -> None:
    images = {
        "photo": (photo(), FORMATS),
        "photo, lowest quality": (photo(), LOWEST),
        "diagram": (diagram(), FORMATS),
        "screen of 5120 x 2880, three lines": (text(5120, 2880, 3), FORMATS),
        "page of 4960 x 7016, fourteen lines": (text(4960, 7016, 14), FORMATS),
        "one color": (Image.new("RGB", SIZE, "red"), FORMATS),
    }
    table = Table("image", *FORMATS)
    for name, (image, formats) in images.items():
        row = []
        for format in FORMATS:
            if format not in formats:
                row.append("")
                continue
            data = encoded(image.copy(), format, **formats[format])
            values = image.width * image.height * channels_of(Image.open(io.BytesIO(data)))
            row.append(f"{values / len(data):.0f}")
        table.add_row(name, *row)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
