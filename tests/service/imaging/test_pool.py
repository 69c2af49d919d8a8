"""A pool of decoding processes: results, refusals, deadlines, closing."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import psutil
import pytest

from model_builder.artifact.preprocessing import Preprocessing
from service.errors import DeadlineExceeded, ImageTooLarge, InvalidImage
from service.imaging import decoder_process
from service.imaging.pool import DecodedImage, DecoderPool
from tests.service.fakes import WAIT_SECONDS
from tests.service.images import plain

T = TypeVar("T")

PREPROCESSING = Preprocessing(8, 8, "bilinear", "RGB", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
LATER = float("inf")
RED = plain("red")


@pytest.fixture
def seconds() -> list[float]:
    return []


@pytest.fixture
def decoder(seconds: list[float]) -> Iterator[DecoderPool]:
    decoder = make(2, seconds)
    yield decoder
    decoder.close()


def make(threads: int, seconds: list[float]) -> DecoderPool:
    return DecoderPool(
        threads=threads,
        max_pixels=2000,
        timeout_seconds=WAIT_SECONDS,
        observe=seconds.append,
    )


def processes() -> set[int]:
    """The IDs of this process's decoding processes."""
    children = psutil.Process().children()
    return {child.pid for child in children if "service.imaging.sandbox" in child.cmdline()}


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(work, 30))


def test_pixels_and_how_long_they_took(decoder: DecoderPool, seconds: list[float]) -> None:
    started = time.monotonic()
    decoded = run(decoder.decode(RED, PREPROCESSING, deadline=LATER))
    assert 0 < decoded.seconds < time.monotonic() - started
    assert decoded.pixels.shape == (8, 8, 3)
    assert decoded.pixels[0, 0].tolist() == [255, 0, 0]
    assert seconds == [decoded.seconds]


@pytest.mark.parametrize(
    ("data", "error"), [(RED[:60], InvalidImage), (plain("red", (50, 41)), ImageTooLarge)]
)
def test_what_is_wrong_with_an_image_is_raised(
    decoder: DecoderPool, seconds: list[float], data: bytes, error: type[Exception]
) -> None:
    with pytest.raises(error):
        run(decoder.decode(data, PREPROCESSING, deadline=LATER))
    assert seconds == []


def test_past_its_deadline_an_image_is_not_decoded(
    decoder: DecoderPool, seconds: list[float]
) -> None:
    with pytest.raises(DeadlineExceeded, match="before the image was decoded"):
        run(decoder.decode(RED, PREPROCESSING, deadline=time.monotonic()))
    assert seconds == []


def test_processes_return_to_the_pool_after_refusals_and_cancels(
    decoder: DecoderPool,
) -> None:
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
            decoded += isinstance(outcome, DecodedImage)
        return decoded

    assert run(work()) == 4


def test_it_starts_with_all_its_processes_and_leaves_none(decoder: DecoderPool) -> None:
    before = processes()
    decoder.start()
    assert len(processes() - before) == 2
    decoder.close()
    assert processes() <= before


def test_closing_waits_for_no_image(monkeypatch: pytest.MonkeyPatch, seconds: list[float]) -> None:
    """The image that is being decoded is refused, and the one that waits is cancelled."""
    decoder, before, under_way = make(1, seconds), processes(), threading.Event()
    write = decoder_process._write

    def written(descriptor: int, data: bytes) -> None:
        write(descriptor, data)
        under_way.set()

    async def work() -> list[DecodedImage | BaseException]:
        await decoder.decode(RED, PREPROCESSING, deadline=LATER)
        (process,) = processes() - before
        os.kill(process, signal.SIGSTOP)
        monkeypatch.setattr(decoder_process, "_write", written)
        images = [
            asyncio.ensure_future(decoder.decode(RED, PREPROCESSING, deadline=LATER))
            for _ in range(2)
        ]
        assert await asyncio.to_thread(under_way.wait, WAIT_SECONDS)
        await asyncio.to_thread(decoder.close)
        return await asyncio.gather(*images, return_exceptions=True)

    first, second = run(work())
    assert isinstance(first, InvalidImage)
    assert "ended its decoder" in str(first)
    assert isinstance(second, asyncio.CancelledError)
    assert processes() <= before
