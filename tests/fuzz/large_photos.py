"""Measures the decoding of small and large photos, at a fraction and whole.

    python -m tests.fuzz.large_photos

Alternates between the two and prints medians in milliseconds, and their ratio.
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
from service.imaging import transforms
from service.imaging.decoder import decode
from tests.service.images import encoded

PHOTO = Path(__file__).parents[1] / "photos" / "chelsea_cat.jpg"
MAX_PIXELS = 50_000_000
SECONDS = 4.0


def scaled(width: int) -> Image.Image:
    """The photo with noise added, since a real photo of that size has a sensor's noise."""
    photo = Image.open(io.BytesIO(PHOTO.read_bytes())).convert("RGB")
    image = photo.resize((width, width * 3 // 4), Image.Resampling.BICUBIC)
    noise = np.random.default_rng(0).normal(0, 4, (image.height, image.width, 3))
    return Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))


def milliseconds(data: bytes) -> tuple[float, float]:
    """Medians at a fraction, and whole."""
    times: dict[int, list[float]] = {transforms.DRAFT_GAP: [], MAX_PIXELS: []}
    until = time.monotonic() + SECONDS
    usual = transforms.DRAFT_GAP
    while time.monotonic() < until:
        for gap, taken in times.items():
            transforms.DRAFT_GAP = gap
            started = time.perf_counter()
            decode(data, CAFFE, max_pixels=MAX_PIXELS)
            taken.append(1000 * (time.perf_counter() - started))
    transforms.DRAFT_GAP = usual
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
