"""The limit on the pixels of one request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from service.errors import ImageTooLarge, TooManyPixels
from service.imaging.header import PixelBudget
from service.imaging.pool import DecoderPool
from service.inference.model import OneModel
from service.inference.request import InferenceRequest, InferenceResult, RowResult
from service.inference.service import InferenceService
from tests.service.conftest import MODEL_NAME, MakeModel, Serve
from tests.service.fakes import WAIT_SECONDS
from tests.service.images import header_alone, plain

# Of 1600 pixels each; two of them and no more.
RED, LIMIT = plain("red"), 3200


@pytest.fixture
def decoded() -> list[float]:
    return []


@pytest.fixture
def limited(make_model: MakeModel, decoded: list[float]) -> Iterator[InferenceService]:
    pool = DecoderPool(
        threads=1, max_pixels=10_000, timeout_seconds=WAIT_SECONDS, observe=decoded.append
    )
    yield InferenceService(OneModel(make_model(MODEL_NAME)), pool, max_request_pixels=LIMIT)
    pool.close()


def infer(service: InferenceService, *rows: bytes) -> InferenceResult:
    request = InferenceRequest(rows, deadline=time.monotonic() + WAIT_SECONDS)
    return asyncio.run(asyncio.wait_for(service.infer(request), WAIT_SECONDS))


def test_up_to_the_limit_and_not_beyond() -> None:
    budget = PixelBudget(100)
    budget.add(60)
    budget.add(40)
    with pytest.raises(TooManyPixels, match=r"100 pixels together\. Received: 101 or"):
        budget.add(1)
    PixelBudget(None).add(10**12)


def test_by_the_headers_before_anything_is_decoded(
    limited: InferenceService, decoded: list[float]
) -> None:
    with pytest.raises(TooManyPixels, match=r"3200 pixels together\. Received: 4800"):
        infer(limited, RED, RED, RED)
    assert decoded == []
    assert [type(row) for row in infer(limited, RED, RED).rows] == [RowResult, RowResult]


def test_by_what_a_header_hid_when_it_is_known(
    limited: InferenceService, decoded: list[float]
) -> None:
    """Its screen is smaller than its first frame, of 4800 pixels."""
    gif = bytearray(plain("red", (80, 60), "GIF"))
    gif[6:10] = b"\x01\0\x01\0"
    with pytest.raises(TooManyPixels, match="Received: 4800"):
        infer(limited, bytes(gif))
    assert len(decoded) == 1


def test_an_image_that_is_too_large_fails_alone(limited: InferenceService) -> None:
    """It is not decoded, and counts for nothing."""
    rows = infer(limited, RED, header_alone("PNG", 101, 100)).rows
    assert [type(row) for row in rows] == [RowResult, ImageTooLarge]


def test_the_setting_and_the_answer(serve: Serve) -> None:
    service = serve(max_request_pixels=LIMIT)
    files = [("file", (f"{index}.png", RED, "image/png")) for index in range(3)]
    response = service.client.post("/predict", files=files)
    assert response.status_code == 413
    assert response.json()["code"] == "too_many_pixels"
    assert "3200" in response.json()["detail"]
    assert "4800" in response.json()["detail"]
    assert service.client.post("/predict", files=files[:2]).status_code == 200
