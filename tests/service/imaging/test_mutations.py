"""Ten thousand damaged files give pixels or a refusal; some are posted to a server."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path
from zipfile import ZipFile

import httpx2
import pytest

from service.errors import ImageTooLarge, InvalidImage, UnsupportedMedia
from tests.fuzz.mutations import mutated, seeds
from tests.fuzz.target import CORPUS, MAX_PIXELS, decoded
from tests.service.conftest import Serve, listening

COUNT = 10_000
POSTED = 500
FINDINGS = CORPUS.with_name("findings")


def outcome(data: bytes) -> str:
    try:
        decoded(data)
    except (ImageTooLarge, InvalidImage, UnsupportedMedia) as refusal:
        return type(refusal).__name__ if str(refusal) else "no message"
    return "pixels"


@pytest.mark.parametrize("name", seeds())
def test_a_seed_is_valid(name: str) -> None:
    assert outcome(seeds()[name]) == "pixels"


def test_ten_thousand_mutations() -> None:
    outcomes: Counter[str] = Counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, data in mutated(COUNT, seed=20):
            try:
                outcomes[outcome(data)] += 1
            except Exception as error:
                raise AssertionError(f"{name}: {data.hex()}") from error
    # Each kind of result occurs, and the two frequent ones often.
    assert outcomes.keys() == {"pixels", "InvalidImage", "UnsupportedMedia", "ImageTooLarge"}
    assert outcomes["pixels"] > COUNT / 10
    assert outcomes["InvalidImage"] > COUNT / 10


def test_mutations_are_the_same_for_the_same_seed() -> None:
    assert list(mutated(50, seed=1)) == list(mutated(50, seed=1))
    assert list(mutated(50, seed=1)) != list(mutated(50, seed=2))


@pytest.mark.parametrize("file", sorted(FINDINGS.glob("*")), ids=lambda file: file.name)
def test_findings_of_fuzzing(file: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcome(file.read_bytes())


def test_corpus_of_fuzzing() -> None:
    outcomes: Counter[str] = Counter()
    with warnings.catch_warnings(), ZipFile(CORPUS) as corpus:
        warnings.simplefilter("ignore")
        for name in corpus.namelist():
            outcomes[outcome(corpus.read(name))] += 1
    assert outcomes.keys() == {"pixels", "InvalidImage", "UnsupportedMedia", "ImageTooLarge"}


def test_mutations_posted_to_a_server(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """No 5xx, and no file that ends its decoding process."""
    service = serve(decode_workers=1, max_image_pixels=MAX_PIXELS)
    url = "http://127.0.0.1:{}/predict"
    headers = {"Content-Type": "application/octet-stream"}
    statuses: Counter[int] = Counter()
    with listening(service.app) as port, httpx2.Client(headers=headers, timeout=60) as client:
        for name, data in mutated(POSTED, seed=21):
            response = client.post(url.format(port), content=data)
            # An empty body is a bad request.
            allowed = {200, 413, 415, 422} if data else {400}
            assert response.status_code in allowed, (name, response.text)
            statuses[response.status_code] += 1
    assert {200, 415, 422} <= statuses.keys()
    assert "ended its decoder" not in caplog.text
