"""The function that is fuzzed: decodes one file, with limits that small files can reach."""

from __future__ import annotations

from pathlib import Path

from service.imaging.decoder import Pixels, decode
from tests.service.images import recipe

RECIPE = recipe(16, 14)
MAX_PIXELS, MAX_FRAMES = 100_000, 3
# The minimized corpus of earlier runs.
CORPUS = Path(__file__).with_name("corpus.zip")


def decoded(data: bytes) -> Pixels:
    """uint8 [14, 14, 3]. Raises what `decode` raises."""
    pixels = decode(data, RECIPE, max_pixels=MAX_PIXELS, max_frames=MAX_FRAMES)
    assert pixels.shape == (14, 14, 3), pixels.shape
    return pixels
