"""Unusual, valid and broken files from another library's tests, posted to a running server.

The files are not part of the repository; they are beside it, in `../shared/corpus`.
"""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import httpx2
import numpy as np
import numpy.typing as npt
import psutil
import pytest
from PIL import Image, ImageCms, ImageOps

from service.errors import ServiceError
from service.imaging.decoder import decode
from service.imaging.formats import ACCEPTED
from tests.service.conftest import Serve, listening
from tests.service.images import recipe, reference

Pixels = npt.NDArray[np.uint8]

CORPUS = Path(__file__).parents[3].parent / "shared" / "corpus"
FILES = sorted(file for file in CORPUS.rglob("*") if file.is_file())
MAX_PIXELS = 50_000_000
REASONS = {"image_too_large": 413, "unsupported_media_type": 415, "invalid_image": 422}
MEBIBYTE = 2**20

pytestmark = [
    pytest.mark.skipif(not FILES, reason="../shared/corpus is not here"),
    # Pillow warns of what is unusual in a file.
    pytest.mark.filterwarnings("ignore"),
]


# Pillow opens these with other colors than they have: YCbCr of other coefficients, uncompressed.
WRONG = {"ycbcr_lzw_broken.tif", "ycbcr_lzw_bt709.tif"}


def opened(file: Path) -> Image.Image | None:
    """The decoded image; None where Pillow can't read it right, or it has more than MAX_PIXELS."""
    if file.name in WRONG:
        return None
    try:
        with Image.open(file, formats=ACCEPTED) as image:
            image.load()
            return image.copy() if image.width * image.height <= MAX_PIXELS else None
    except Exception:
        return None


def resident_bytes() -> int:
    """Of this process, which runs the server, and of its decoding processes."""
    process = psutil.Process()
    return sum(one.memory_info().rss for one in (process, *process.children(recursive=True)))


def test_every_file_is_classified_or_refused(serve: Serve) -> None:
    service = serve(max_image_pixels=MAX_PIXELS, decode_workers=1)
    served: Counter[int] = Counter()
    with (
        listening(service.app) as port,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
    ):
        after: list[int] = []
        for _ in range(3):
            for file in FILES:
                response = client.post("/predict", files=[("file", (file.name, file.read_bytes()))])
                served[response.status_code] += 1
                if opened(file) is not None:
                    assert response.status_code == 200, (file, response.text)
                    continue
                problem = response.json()
                assert response.status_code == REASONS[problem["code"]], (file, response.text)
                assert len(problem["detail"]) > 10
            after.append(resident_bytes())
    assert served.keys() == {200, 413, 415, 422}
    # The first round includes what is allocated once.
    assert after[2] - after[1] < 16 * MEBIBYTE


def rendered(image: Image.Image) -> Image.Image:
    """An independent rendering: every mode is converted through RGBA, or through numpy."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image).astype(np.float64)
        scale = 255 if image.mode == "F" else 1 / 256
        image = Image.fromarray(np.clip(np.floor(values * scale), 0, 255).astype(np.uint8))
    image = ImageOps.exif_transpose(image).convert("RGBA")
    white = Image.new("RGB", image.size, (255, 255, 255))
    white.paste(image, mask=image.getchannel("A"))
    if profile := image.info.get("icc_profile"):
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(white, source, ImageCms.createProfile("sRGB"))
        assert converted is not None
        return converted
    return white


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(CORPUS)))
def test_every_image_equals_an_independent_rendering(file: Path) -> None:
    preprocessing = recipe(64, 56)
    image = opened(file)
    if image is None:
        with pytest.raises(ServiceError):
            decode(file.read_bytes(), preprocessing, max_pixels=MAX_PIXELS)
        return
    pixels = decode(file.read_bytes(), preprocessing, max_pixels=MAX_PIXELS).astype(int)
    expected = np.asarray(reference(rendered(image), preprocessing)).astype(int)
    difference = abs(pixels - expected)
    assert difference.mean() < 1, file
    assert difference.max() <= 12, file
