"""What decoding a photo costs, large and small, with fractions and without.

    python -m tests.fuzz.large_photos

The two take turns; what is printed are medians, and the ratios that hold on other machines.
"""

from __future__ import annotations

import io
import statistics
import time
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from model_builder.artifact.preprocessing import CAFFE
from service.imaging import transforms as framing
from service.imaging.decoder import decode
from tests.service.images import encoded

PHOTO = Path(__file__).parents[1] / "photos" / "chelsea_cat.jpg"
MAX_PIXELS = 50_000_000
SECONDS = 4.0


def scaled(width: int) -> Image.Image:
    """The photo, with a sensor's noise: bits that a real photo of that size would have too."""
    photo = Image.open(io.BytesIO(PHOTO.read_bytes())).convert("RGB")
    image = photo.resize((width, width * 3 // 4), Image.Resampling.BICUBIC)
    noise = np.random.default_rng(0).normal(0, 4, (image.height, image.width, 3))
    return Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))


def milliseconds(data: bytes) -> tuple[float, float]:
    """With fractions, and without."""
    times: dict[int, list[float]] = {framing.DRAFT_GAP: [], MAX_PIXELS: []}
    until = time.monotonic() + SECONDS
    usual = framing.DRAFT_GAP
    while time.monotonic() < until:
        for gap, taken in times.items():
            framing.DRAFT_GAP = gap
            started = time.perf_counter()
            decode(data, CAFFE, max_pixels=MAX_PIXELS)
            taken.append(1000 * (time.perf_counter() - started))
    framing.DRAFT_GAP = usual
    return statistics.median(times[usual]), statistics.median(times[MAX_PIXELS])


def main() -> None:
    table = Table("image", "MB", "ms", "ms without fractions", "ratio", "times the first")
    small, large = scaled(500), scaled(4000)
    images = {
        "500 x 375 JPEG": encoded(small, "JPEG", quality=90),
        "1600 x 1200 JPEG": encoded(scaled(1600), "JPEG", quality=90),
        "4000 x 3000 JPEG": encoded(large, "JPEG", quality=90),
        "4000 x 3000 JPEG, progressive": encoded(large, "JPEG", quality=90, progressive=True),
        "500 x 375 PNG": encoded(small, "PNG"),
        "4000 x 3000 PNG": encoded(large, "PNG", compress_level=1),
    }
    first = 0.0
    for name, data in images.items():
        taken, whole = milliseconds(data)
        first = first or taken
        table.add_row(
            name,
            f"{len(data) / 1e6:.2f}",
            f"{taken:.1f}",
            f"{whole:.1f}",
            f"{whole / taken:.1f}",
            f"{taken / first:.1f}",
        )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
