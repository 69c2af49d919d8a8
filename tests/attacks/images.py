"""The most expensive images that the service accepts, made once and kept in a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from model_builder.system.atomic_write import atomic_write
from service.settings import LimitsSettings
from tests.attacks.attackers.requests import parts_that_fit
from tests.fuzz.worst_files import cost, flat, jpeg_allowed_scans, large
from tests.service.images import encoded, noise

# The answer of `cost` for an image that is accepted.
SERVED = "served"

Make = Callable[[], bytes]


def _blurred(format: str, **options: object) -> Make:
    """Makes 50 megapixels with detail everywhere, strongly compressed."""

    def make() -> bytes:
        image = noise(1500, 1500, seed=1).resize((8000, 6200), Image.Resampling.BICUBIC)
        return encoded(image, format, **options)

    return make


CANDIDATES: Mapping[str, Mapping[str, Make]] = {
    "png": {
        "50-megapixels-padded": lambda: large("PNG")() + bytes(100_000),
        "40-megapixels-grey": lambda: encoded(Image.new("L", (8000, 5000)), "PNG"),
        "13-megapixels": lambda: flat("PNG", 4210, 3160),
    },
    "jpeg": {
        "scans": jpeg_allowed_scans,
        "50-megapixels-progressive": large("JPEG", progressive=True),
        "50-megapixels": large("JPEG"),
    },
    "webp": {
        "50-megapixels": _blurred("WEBP", quality=1, method=0),
        "13-megapixels": lambda: flat("WEBP", 4210, 3160, method=0),
    },
    "avif": {
        "50-megapixels": _blurred("AVIF", quality=1, speed=10),
        "13-megapixels": lambda: flat("AVIF", 4210, 3160, speed=10),
    },
}


@dataclass(frozen=True)
class ExpensiveImage:
    """The chosen image of a format. count: how many a request may have. seconds: to decode so many
    on one CPU."""

    format: str
    name: str
    count: int
    seconds: float


def prepare(folder: Path, report_progress: Callable[[str], None]) -> list[ExpensiveImage]:
    """Writes one file for each format, named after it: the candidate that costs the most.

    A candidate that the service refuses is left out. Raises RuntimeError where it refuses all.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chosen = []
    for format, candidates in CANDIDATES.items():
        made = {}
        for name, make in candidates.items():
            path = folder / f"{format}-{name}"
            if not path.exists():
                report_progress(f"making {path.name}")
                atomic_write(path, make())
            made[name] = path.read_bytes()
        costs = [_cost(format, name, data) for name, data in made.items()]
        accepted = [image for image in costs if image is not None]
        if not accepted:
            raise RuntimeError(f"Every candidate in {format} is refused.")
        most_expensive = max(accepted, key=lambda image: image.seconds)
        atomic_write(folder / format, made[most_expensive.name])
        chosen.append(most_expensive)
    return chosen


def _cost(format: str, name: str, data: bytes) -> ExpensiveImage | None:
    """None for an image that is refused."""
    answer, milliseconds, _ = cost(data)
    if answer != SERVED:
        return None
    limits = LimitsSettings()
    count = parts_that_fit(data, limits.max_body_bytes, limits.max_files)
    return ExpensiveImage(format, name, count, count * milliseconds / 1000)
