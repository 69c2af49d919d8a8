"""Embeddings find a photo by its flipped crop, and class activation maps point at their class.

The 200 photos of ImageNet are not part of the project; they lie beside it, in `../shared/photos`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.outputs import measure_outputs
from tests.e2e.conftest import Server

PHOTOS = Path(__file__).parents[2].parent / "shared" / "photos"


@pytest.mark.weights
@pytest.mark.skipif(not PHOTOS.is_dir(), reason="../shared/photos is not here")
def test_photos_are_found_and_pointed_at(int8_server: Server) -> None:
    found = measure_outputs(int8_server.url, PHOTOS)
    assert found.photos == 200
    assert found.found >= 0.99 * found.photos
    assert found.composites == 100
    assert found.pointed >= 95
