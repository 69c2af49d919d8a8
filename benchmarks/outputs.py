"""What embeddings and class activation maps are worth, through a server, on a folder of photos.

Retrieval: each photo is flipped and cropped, and looks for itself among all of them by the cosine
of embeddings. Pointing: two photos side by side in one image, each squeezed to half of its width;
the map of each one's class has its peak on that one's half. The photos are those whose class is the
most probable one where the other half is grey. Photos are named by the WordNet id of their class:
`n02124075_cat.JPEG`.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

Array = npt.NDArray[np.float32]

TIMEOUT_SECONDS = 60.0
BATCH = 8
SEED = 18
# Of each edge of a photo, at a place chosen at random.
CROP = 0.8
PAIRS = 100
GREY = (128, 128, 128)
# Of a composite, whose center is what the network sees.
COMPOSITE_EDGE = 256


@dataclass(frozen=True, slots=True)
class OutputsQuality:
    """found: photos whose flipped crop found them first. pointed: composites on which each map has
    its peak on the half of its class.
    """

    photos: int
    found: int
    composites: int
    pointed: int


def measure_outputs(url: str, folder: Path) -> OutputsQuality:
    """url: of a server. Raises ValueError for a folder without photos, and httpx2's errors."""
    paths = sorted(folder.glob("*.JPEG"))
    if len(paths) < 2:
        raise ValueError(f"{folder} has no photos named *.JPEG")
    photos = {path: ImageOps.exif_transpose(Image.open(path)).convert("RGB") for path in paths}
    with httpx2.Client(base_url=url, timeout=TIMEOUT_SECONDS) as client:
        found = _retrieval(client, photos)
        pointed = _pointing(client, photos)
    return OutputsQuality(len(photos), found, len(pointed), sum(pointed))


def _retrieval(client: Any, photos: Mapping[Path, Image.Image]) -> int:
    """How many found themselves."""
    random = np.random.default_rng(SEED)
    originals = _results(client, [path.read_bytes() for path in photos])
    changed = _results(client, [_png(_changed(photo, random)) for photo in photos.values()])
    similarity = _embeddings(changed) @ _embeddings(originals).T
    return int((similarity.argmax(axis=1) == np.arange(len(photos))).sum())


def _pointing(client: Any, photos: Mapping[Path, Image.Image]) -> list[bool]:
    """Of PAIRS composites, random but the same each time: whether both maps point right."""
    recognized = _recognized(client, photos)
    random = np.random.default_rng(SEED)
    pairs = [random.choice(len(recognized), 2, replace=False) for _ in range(PAIRS)]
    return [
        _points(client, photos, (recognized[int(left)], recognized[int(right)]))
        for left, right in pairs
    ]


def _recognized(client: Any, photos: Mapping[Path, Image.Image]) -> list[Path]:
    """Photos whose class is the most probable one of a composite that is grey on the right."""
    results = _results(client, [_png(_composite(photo)) for photo in photos.values()])
    return [
        path
        for path, result in zip(photos, results, strict=True)
        if result["predictions"][0]["wnid"] == _wnid(path)
    ]


def _composite(*halves: Image.Image) -> Image.Image:
    whole = Image.new("RGB", (COMPOSITE_EDGE, COMPOSITE_EDGE), GREY)
    for place, photo in enumerate(halves):
        half = photo.resize((COMPOSITE_EDGE // 2, COMPOSITE_EDGE))
        whole.paste(half, (place * COMPOSITE_EDGE // 2, 0))
    return whole


def _results(client: Any, images: Sequence[bytes]) -> list[Any]:
    query = {"outputs": "predictions,embedding", "normalized": "true", "top_k": 1}
    results: list[Any] = []
    for start in range(0, len(images), BATCH):
        files = [("file", (str(start), image)) for image in images[start : start + BATCH]]
        response = client.post(
            "/predict", files=files, params={**query, "encoding_format": "base64"}
        ).raise_for_status()
        body = response.json()
        results += body["results"] if len(files) > 1 else [body]
    return results


def _embeddings(results: Sequence[Any]) -> Array:
    return np.stack(
        [np.frombuffer(base64.b64decode(result["embedding"]), "<f4") for result in results]
    )


def _changed(photo: Image.Image, random: np.random.Generator) -> Image.Image:
    width, height = (round(CROP * edge) for edge in photo.size)
    left = int(random.integers(photo.width - width + 1))
    top = int(random.integers(photo.height - height + 1))
    return ImageOps.mirror(photo.crop((left, top, left + width, top + height)))


def _points(client: Any, photos: Mapping[Path, Image.Image], pair: tuple[Path, Path]) -> bool:
    """Whether both maps have their peak on their own half; the middle column is on neither."""
    query = {"outputs": "class_activation_map", "classes": ",".join(map(_wnid, pair))}
    files = {"file": ("pair.png", _png(_composite(*(photos[path] for path in pair))))}
    body = client.post("/predict", files=files, params=query).raise_for_status().json()
    left, right = (np.array(one["map"]) for one in body["class_activation_maps"])
    columns = [int(np.unravel_index(one.argmax(), one.shape)[1]) for one in (left, right)]
    middle = (left.shape[1] - 1) / 2
    return bool(columns[0] < middle < columns[1])


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _wnid(path: Path) -> str:
    return path.name.partition("_")[0]
