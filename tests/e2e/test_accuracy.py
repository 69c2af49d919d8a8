"""Accuracy through the server, against keras.applications fed with the same pixels.

The 200 photos of ImageNet, one a class, are not part of the project; they lie beside it, in
`../shared/photos`, named by WordNet id.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx2
import numpy as np
import pytest

from model_builder.artifact.labels import imagenet1k
from tests.e2e.conftest import Server
from tests.e2e.test_predict import PHOTOS as OUR_PHOTOS
from tests.e2e.test_predict import WHAT_THEY_ARE
from tests.golden.reference import checkpoint_file, keras_logits, keras_network, pixels_of

PHOTOS = Path(__file__).parents[2].parent / "shared" / "photos"

REFERENCE_BATCH_SIZE = 8

pytestmark = pytest.mark.weights


@dataclass(frozen=True)
class Accuracy:
    """In percent."""

    top1: float
    top5: float


def measured(answers: list[list[int]], truths: list[int]) -> Accuracy:
    """answers: the five most probable class ids of each photo."""
    pairs = list(zip(answers, truths, strict=True))
    return Accuracy(
        top1=100 * sum(answer[0] == truth for answer, truth in pairs) / len(pairs),
        top5=100 * sum(truth in answer[:5] for answer, truth in pairs) / len(pairs),
    )


@pytest.fixture(scope="module")
def photos() -> list[Path]:
    return sorted(PHOTOS.glob("*.JPEG"))


@pytest.fixture(scope="module")
def truths(photos: list[Path]) -> list[int]:
    class_ids = {label.wnid: index for index, label in enumerate(imagenet1k())}
    return [class_ids[photo.name.partition("_")[0]] for photo in photos]


@pytest.fixture(scope="module")
def reference(photos: list[Path], truths: list[int], float32_server: Server) -> Accuracy:
    """keras.applications with the same weights, in float32, with batch norm."""
    assert float32_server.url  # it has fetched the checkpoint, if need be
    network = keras_network(checkpoint_file())
    pixels = np.concatenate([pixels_of(photo) for photo in photos])
    batches = range(0, len(pixels), REFERENCE_BATCH_SIZE)
    logits = [keras_logits(network, pixels[i : i + REFERENCE_BATCH_SIZE]) for i in batches]
    return measured(np.argsort(-np.concatenate(logits))[:, :5].tolist(), truths)


def through(server: Server, photos: list[Path]) -> list[list[int]]:
    with httpx2.Client(base_url=server.url, timeout=60) as client, ThreadPoolExecutor(16) as pool:

        def answer(photo: Path) -> list[int]:
            with photo.open("rb") as file:
                response = client.post("/predict", files={"file": file})
            assert response.status_code == 200, response.text
            return [one["class_id"] for one in response.json()["predictions"]]

        return list(pool.map(answer, photos))


# Points of top-1 and of top-5 by which each may differ from the reference.
DIFFERENCES = {"float32": 0.5, "bfloat16": 0.5, "int8": 1.0}


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="../shared/photos is not here")
@pytest.mark.parametrize("precision", DIFFERENCES)
def test_top_1_and_top_5_through_the_server(
    precision: str,
    photos: list[Path],
    truths: list[int],
    reference: Accuracy,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, str], None],
) -> None:
    assert len(photos) == 200
    server: Server = request.getfixturevalue(f"{precision}_server")
    accuracy = measured(through(server, photos), truths)
    record_property("accuracy", str(accuracy))
    record_property("reference", str(reference))
    assert accuracy.top1 >= 90
    assert accuracy.top5 >= 98
    allowed = DIFFERENCES[precision]
    assert accuracy.top1 >= reference.top1 - allowed
    assert accuracy.top5 >= reference.top5 - allowed
    if precision != "int8":
        # What int8 loses here and gains there is chance; what the others gain is an error.
        assert accuracy.top1 <= reference.top1 + allowed
        assert accuracy.top5 <= reference.top5 + allowed


def test_bfloat16_says_what_photos_are(bfloat16_server: Server) -> None:
    """Here, so that its server's memory is free again for those of other files."""
    for photo, label in WHAT_THEY_ARE.items():
        with (OUR_PHOTOS / photo).open("rb") as file:
            answer = httpx2.post(f"{bfloat16_server.url}/predict", files={"file": file}, timeout=60)
        assert answer.json()["model"]["precision"] == "bfloat16"
        assert answer.json()["predictions"][0]["label"] == label
