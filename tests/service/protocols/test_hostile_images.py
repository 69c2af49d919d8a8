"""The limits of docs/images.md hold by every way in, with one error."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from service.protocols.bytes_tensor import join_elements
from tests.service.conftest import MODEL_NAME, Serve, Service
from tests.service.grpc.client import (
    INFER,
    PREDICTION,
    client_of,
    infer_request,
    predict_request,
)
from tests.service.grpc.test_wire import classify_request
from tests.service.http.protocols import v2
from tests.service.images import encoded, header_alone, noise, plain
from tests.service.imaging.avif import avif_items

MAX_PIXELS, MAX_FRAMES, MAX_BODY_BYTES, MAX_REQUEST_PIXELS = 10_000, 3, 100_000, 9000
LIMITS = {
    "max_image_pixels": MAX_PIXELS,
    "max_image_frames": MAX_FRAMES,
    "max_body_bytes": MAX_BODY_BYTES,
    "max_request_pixels": MAX_REQUEST_PIXELS,
}
RED = plain("red")
PHOTO = encoded(noise(90, 90), "JPEG")
FRAMES = [noise(8, 8, seed) for seed in range(MAX_FRAMES + 1)]
FILM: dict[str, Any] = {"save_all": True, "append_images": FRAMES[1:]}

# Each with the error's code.
IMAGES: dict[str, tuple[bytes, str]] = {
    "no image": (b"GIF? no: words", "unsupported_media_type"),
    "a PDF": (b"%PDF-1.7\n" + bytes(200), "unsupported_media_type"),
    "empty": (b"", "invalid_image"),
    "a bomb": (header_alone("PNG", 60_000, 60_000), "image_too_large"),
    "too many pixels": (plain("red", (101, 100)), "image_too_large"),
    "an edge too long": (header_alone("PNG", 70_000, 1), "image_too_large"),
    "too many pixels in a request": (plain("red", (95, 100)), "too_many_pixels"),
    "truncated": (PHOTO[: len(PHOTO) // 2], "invalid_image"),
    "a header alone": (header_alone("PNG", 50, 50), "invalid_image"),
    "too many frames of a GIF": (encoded(FRAMES[0], "GIF", **FILM), "image_too_large"),
    "too many frames of a WebP": (encoded(FRAMES[0], "WEBP", **FILM), "image_too_large"),
    "too many pages of a TIFF": (encoded(FRAMES[0], "TIFF", **FILM), "image_too_large"),
    "too many entries": (avif_items(3000), "invalid_image"),
    "too large a body": (RED + bytes(MAX_BODY_BYTES), "payload_too_large"),
}
# What a way says before there is an image.
OTHERWISE = {
    ("empty", "body"): "malformed_request",
    ("empty", "embeddings"): "invalid_parameter",
}
# A refusal in each form; nothing of the service's own.
STATUSES = {400, 413, 415, 422, "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"}


# Sends an image. The status, and the text of an answer over HTTP or of an error.
Way = Callable[[Service, bytes], tuple[Any, str]]


def json_of(service: Service, path: str, body: Any) -> Any:
    return service.client.post(path, json=body)


def text(image: bytes) -> str:
    return base64.b64encode(image).decode()


def http(make: Callable[[Service, bytes], Any]) -> Way:
    def way(service: Service, image: bytes) -> tuple[Any, str]:
        response = make(service, image)
        return response.status_code, response.text

    return way


def called(method: str, make: Callable[[bytes], Any]) -> Way:
    def way(service: Service, image: bytes) -> tuple[Any, str]:
        with client_of(service) as client:
            try:
                client.call(method, make(image))
            except grpc.RpcError as error:
                return error.code().name, error.details()
        return "OK", ""

    return way


def streamed(service: Service, image: bytes) -> tuple[Any, str]:
    with client_of(service) as client:
        try:
            (answer,) = client.stream([infer_request(image)])
        except grpc.RpcError as error:
            return error.code().name, error.details()
    return ("INVALID_ARGUMENT" if answer.error_message else "OK"), answer.error_message


V1 = f"/v1/models/{MODEL_NAME}"
WAYS: dict[str, Way] = {
    "form": http(lambda s, i: s.client.post("/predict", files={"file": ("a", i)})),
    "body": http(
        lambda s, i: s.client.post("/predict", content=i, headers={"Content-Type": "image/png"})
    ),
    "json": http(lambda s, i: json_of(s, "/predict", {"images": [text(i)]})),
    "v1 predict": http(lambda s, i: json_of(s, f"{V1}:predict", {"instances": [{"b64": text(i)}]})),
    "v1 columns": http(
        lambda s, i: json_of(s, f"{V1}:predict", {"inputs": {"image_bytes": [{"b64": text(i)}]}})
    ),
    "v1 classify": http(
        lambda s, i: json_of(s, f"{V1}:classify", {"examples": [{"image": {"b64": text(i)}}]})
    ),
    "v2 json": http(lambda s, i: v2.post(s.client, {"inputs": [v2.image_input(i)]})),
    "v2 binary": http(
        lambda s, i: v2.post(
            s.client,
            {"inputs": [v2.sized(v2.image_input(i), join_elements([i]))]},
            join_elements([i]),
        )
    ),
    "embeddings": http(lambda s, i: json_of(s, "/v1/embeddings", {"input": [text(i)]})),
    "grpc raw": called(INFER, infer_request),
    "grpc typed": called(INFER, lambda image: infer_request(image, typed=True)),
    "grpc stream": streamed,
    "tf predict": called(f"{PREDICTION}/Predict", predict_request),
    "tf classify": called(f"{PREDICTION}/Classify", classify_request),
}


def reasons(service: Service) -> Counter[str]:
    """How many requests were refused, by the error's code."""
    samples = [
        sample
        for family in service.metrics.registry.collect()
        if family.name == "resnet_rejections"
        for sample in family.samples
        if sample.name == "resnet_rejections_total"
    ]
    return Counter({one.labels["reason"]: int(one.value) for one in samples})


@pytest.mark.parametrize("way", WAYS)
def test_a_hostile_image_has_the_same_error_by_every_way(serve: Serve, way: str) -> None:
    service = serve(grpc_port=0, **LIMITS)
    wrong = {}
    for name, (image, code) in IMAGES.items():
        before = reasons(service)
        status, text = WAYS[way](service, image)
        seen = dict(reasons(service) - before)
        expected = {OTHERWISE.get((name, way), code): 1}
        if status == "RESOURCE_EXHAUSTED":
            # gRPC refuses the message itself; the service sees a call without one, or its end.
            assert code == "payload_too_large"
            expected = seen
        if status not in STATUSES or seen != expected or not text:
            wrong[name] = (status, seen, text)
    assert not wrong
    assert not service.engine.batches
    assert WAYS[way](service, RED)[0] in (200, "OK")
