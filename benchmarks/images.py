"""The posted images, and the requests that contain them."""

from __future__ import annotations

import base64
import io
import json
import random
import statistics
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from benchmarks.results import Images

OURS = Path(__file__).parents[1] / "tests" / "photos"
COUNT = 64
SUFFIXES = {".jpg", ".jpeg"}
# The usual size of a photo of ImageNet.
SIZE = (500, 375)
QUALITY = 92
BOUNDARY = "----------------image"


def of_folder(folder: Path) -> list[Path]:
    """Every JPEG in a folder and its subfolders, by name. Raises ValueError where there is none."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise ValueError(f"There must be JPEG files. Received: {folder}")
    return found


def spread_over(paths: Sequence[Path], count: int = COUNT) -> list[bytes]:
    """At most `count` of the files, evenly spread over their order."""
    count = min(count, len(paths))
    return [paths[i * len(paths) // count].read_bytes() for i in range(count)]


def random_crops(paths: Sequence[Path], count: int = COUNT, seed: int = 0) -> list[bytes]:
    """Different JPEGs of SIZE, so that no cache helps."""
    chance = random.Random(seed)
    originals = [Image.open(path).convert("RGB") for path in paths]
    crops = []
    for index in range(count):
        image = originals[index % len(originals)]
        width = chance.uniform(0.7, 1.0) * min(image.width, image.height * SIZE[0] / SIZE[1])
        height = width * SIZE[1] / SIZE[0]
        left, top = chance.uniform(0, image.width - width), chance.uniform(0, image.height - height)
        crop = image.resize(
            SIZE, Image.Resampling.BICUBIC, box=(left, top, left + width, top + height)
        )
        file = io.BytesIO()
        crop.save(file, "JPEG", quality=QUALITY)
        crops.append(file.getvalue())
    return crops


def described(jpegs: Sequence[bytes], source: str) -> Images:
    sizes = [Image.open(io.BytesIO(jpeg)).size for jpeg in jpegs]
    return Images(
        source=source,
        count=len(jpegs),
        width=round(statistics.median(width for width, _ in sizes)),
        height=round(statistics.median(height for _, height in sizes)),
        jpeg_bytes=round(statistics.median(len(jpeg) for jpeg in jpegs)),
    )


def as_form(jpeg: bytes) -> bytes:
    """The request that `curl -F file=@image.jpg` makes."""
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="image.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    )
    body = head.encode() + jpeg + f"\r\n--{BOUNDARY}--\r\n".encode()
    return _request(f"multipart/form-data; boundary={BOUNDARY}", body)


def as_json(jpeg: bytes) -> bytes:
    """The request of LitServe's image example."""
    body = json.dumps({"image_data": base64.b64encode(jpeg).decode()}).encode()
    return _request("application/json", body)


def as_body(jpeg: bytes) -> bytes:
    """The request with an image as its body."""
    return _request("image/jpeg", jpeg)


def write_requests(folder: Path, requests: Sequence[bytes]) -> None:
    """Writes one file for each request, `0.http`, `1.http`, ..., with all of its bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, request in enumerate(requests):
        (folder / f"{index}.http").write_bytes(request)


def read_requests(folder: Path) -> list[bytes]:
    count = len(list(folder.glob("*.http")))
    return [(folder / f"{index}.http").read_bytes() for index in range(count)]


def _request(content_type: str, body: bytes) -> bytes:
    head = (
        "POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
