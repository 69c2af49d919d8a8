"""Decoding in threads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from model_builder.preprocessing import Preprocessing
from service.decoder import Decoded, Decoder
from service.errors import DeadlineExceeded, ImageTooLarge, InvalidImage, QueueFull
from tests.service.pictures import plain

T = TypeVar("T")

PREPROCESSING = Preprocessing(8, 8, "bilinear", "RGB", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
LATER = float("inf")
RED = plain("red")


@pytest.fixture
def seconds() -> list[float]:
    return []


@pytest.fixture
def decoder(seconds: list[float]) -> Iterator[Decoder]:
    decoder = Decoder(threads=2, limit=3, max_pixels=2000, observe=seconds.append)
    yield decoder
    decoder.close()


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, 30))


def test_pixels_and_how_long_they_took(decoder: Decoder, seconds: list[float]) -> None:
    decoded = run(decoder.decode(RED, PREPROCESSING, deadline=LATER))
    assert decoded.pixels.shape == (8, 8, 3)
    assert decoded.pixels[0, 0].tolist() == [255, 0, 0]
    assert seconds == [decoded.seconds]


@pytest.mark.parametrize(
    ("data", "error"), [(RED[:60], InvalidImage), (plain("red", (50, 41)), ImageTooLarge)]
)
def test_what_is_wrong_with_a_picture_is_raised(
    decoder: Decoder, seconds: list[float], data: bytes, error: type[Exception]
) -> None:
    with pytest.raises(error):
        run(decoder.decode(data, PREPROCESSING, deadline=LATER))
    assert seconds == []


def test_past_its_deadline_a_picture_is_not_decoded(decoder: Decoder, seconds: list[float]) -> None:
    with pytest.raises(DeadlineExceeded, match="before the picture was decoded"):
        run(decoder.decode(RED, PREPROCESSING, deadline=time.monotonic()))
    assert seconds == []


def test_pictures_beyond_the_limit_are_refused(decoder: Decoder) -> None:
    async def work() -> list[Decoded | BaseException]:
        return await asyncio.gather(
            *(decoder.decode(RED, PREPROCESSING, deadline=LATER) for _ in range(5)),
            return_exceptions=True,
        )

    outcomes = run(work())
    assert [type(outcome) for outcome in outcomes] == [Decoded] * 3 + [QueueFull] * 2
    assert str(outcomes[-1]).startswith("3 pictures wait to be decoded")


def test_places_are_given_back_whatever_happens(decoder: Decoder) -> None:
    async def work() -> int:
        decoded = 0
        for turn in range(12):
            waiting = asyncio.ensure_future(
                decoder.decode(RED[:60] if turn % 3 == 0 else RED, PREPROCESSING, deadline=LATER)
            )
            if turn % 3 == 1:
                await asyncio.sleep(0)
                waiting.cancel()
            (outcome,) = await asyncio.gather(waiting, return_exceptions=True)
            decoded += isinstance(outcome, Decoded)
        return decoded

    assert run(work()) == 4
