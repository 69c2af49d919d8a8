"""Ten thousand damaged files: pixels or a refusal, and the same again in a server's processes."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

import pytest

from service.errors import ImageTooLarge, InvalidImage, UnsupportedMedia
from service.images import decode
from tests.fuzz.mutations import mutated, seeds
from tests.service.pictures import recipe

RECIPE = recipe(16, 14)
MAX_PIXELS = 100_000
COUNT = 10_000
FINDINGS = Path(__file__).parents[1] / "fuzz" / "findings"


def outcome(data: bytes) -> str:
    try:
        pixels = decode(data, RECIPE, max_pixels=MAX_PIXELS)
    except (ImageTooLarge, InvalidImage, UnsupportedMedia) as refusal:
        return type(refusal).__name__ if str(refusal) else "silence"
    assert pixels.shape == (14, 14, 3)
    return "pixels"


@pytest.mark.parametrize("name", seeds())
def test_what_is_mutated_is_valid_to_begin_with(name: str) -> None:
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
    # That they are neither all harmless nor all hopeless: each kind of answer is really tried.
    assert outcomes.keys() == {"pixels", "InvalidImage", "UnsupportedMedia", "ImageTooLarge"}
    assert outcomes["pixels"] > COUNT / 10
    assert outcomes["InvalidImage"] > COUNT / 10


def test_mutations_are_the_same_for_the_same_seed() -> None:
    assert list(mutated(50, seed=1)) == list(mutated(50, seed=1))
    assert list(mutated(50, seed=1)) != list(mutated(50, seed=2))


@pytest.mark.parametrize("file", sorted(FINDINGS.glob("*")), ids=lambda file: file.name)
def test_what_fuzzing_found(file: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcome(file.read_bytes())
