"""POST /predict: images in, classes out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response

from model_builder.artifact.labels import Label
from service.errors import ServiceError
from service.http.deadline import RequestDeadline
from service.http.dependencies import ServiceDep, SettingsDep, SpansDep
from service.http.disconnect import cancel_on_disconnect
from service.http.headers import REQUEST_TIMEOUT_MS, SERVER_TIMING
from service.http.parameters import check_query
from service.http.paths import PREDICT
from service.http.problem_details import documented, problem_of
from service.http.schemas import (
    ClassProbability,
    ImageResult,
    ModelUsed,
    OneImage,
    Problem,
    SeveralImages,
    Timing,
)
from service.http.uploads import PART, read_images
from service.inference.outputs import top_k as top_classes
from service.inference.request import InferenceRequest, InferenceResult, RowResult, RowTiming
from service.observability.logging import bind_log_fields, request_id
from service.settings import Settings

IMAGE = {"type": "string", "format": "binary"}
MODEL_EXAMPLE = {
    "name": "resnet50.keras_in1k",
    "checkpoint": "resnet50.keras_in1k",
    "precision": "bfloat16",
}
TIMING_EXAMPLE = {"decode": 5.1, "queue": 0.2, "inference": 27.4, "total": 34.0}
PREDICTIONS_EXAMPLE = [
    {"class_id": 967, "wnid": "n07920052", "label": "espresso", "probability": 0.9944},
    {"class_id": 968, "wnid": "n07930864", "label": "cup", "probability": 0.0023},
]
ANSWER_EXAMPLES: dict[str, Any] = {
    "one image": {
        "value": {
            "request_id": "1f0c5c1c8d5b4a6f9d3f5d0b7a1e2c33",
            "model": MODEL_EXAMPLE,
            "predictions": PREDICTIONS_EXAMPLE,
            "timing_ms": TIMING_EXAMPLE,
        }
    },
    "several images": {
        "value": {
            "request_id": "1f0c5c1c8d5b4a6f9d3f5d0b7a1e2c33",
            "model": MODEL_EXAMPLE,
            "results": [
                {"predictions": PREDICTIONS_EXAMPLE},
                {
                    "error": {
                        "type": "about:blank",
                        "title": "Unprocessable Entity",
                        "status": 422,
                        "code": "invalid_image",
                        "detail": "The image is empty: 0 bytes.",
                        "request_id": "1f0c5c1c8d5b4a6f9d3f5d0b7a1e2c33",
                    }
                },
            ],
            "timing_ms": TIMING_EXAMPLE,
        }
    },
}
# Status -> code, description, and the detail of an example.
ERRORS: dict[int, tuple[str, str, str]] = {
    400: (
        "malformed_request",
        "The body is not what its headers say, or has no image",
        "The body is empty.",
    ),
    401: (
        "unauthorized",
        "API keys are set up, and there is none or an unknown one",
        "The API key is not known here.",
    ),
    403: (
        "forbidden",
        "The API key is turned off",
        "The API key of example-client has been turned off.",
    ),
    404: (
        "model_not_found",
        "The model is not served here",
        "This server does not serve 'resnet18'. It serves resnet50.keras_in1k; see /models.",
    ),
    408: (
        "upload_timeout",
        "The body took too long to arrive",
        "The body did not arrive within 30 s.",
    ),
    413: (
        "image_too_large",
        "Too many bytes, pixels, frames or images",
        "An image may have 50000000 pixels. Received: 60000 x 60000 = 3600000000",
    ),
    415: (
        "unsupported_media_type",
        "Not an image format that is served",
        "Images are taken as JPEG, PNG, WEBP, AVIF, GIF, BMP, TIFF. Received: PDF",
    ),
    422: (
        "invalid_parameter",
        "An invalid parameter, or an image that can't be decoded",
        "top_k must be 1 to 1000 for resnet50.keras_in1k. Received: 1001",
    ),
    429: (
        "rate_limited",
        "This client has sent too many requests: try again after Retry-After",
        "example-client has sent too many requests. The next one may be sent in 0.4 s.",
    ),
    500: (
        "inference_failed",
        "Inference failed; the cause is in the log",
        "Inference failed.",
    ),
    503: (
        "overloaded",
        "Loading, overloaded or shutting down: try again after Retry-After",
        "The wait is about 12.5 s, and 10 s is the limit.",
    ),
    504: (
        "deadline_exceeded",
        "No result before the deadline",
        "The deadline passed before there was a result.",
    ),
}
# Of a probability. float32 has no more than seven digits.
DECIMALS = 6
PARAMETERS = ("model", "top_k")


def make_router(settings: Settings) -> APIRouter:
    """POST /predict, described with the limits that are set."""
    router = APIRouter(tags=["predict"])
    router.post(
        PREDICT,
        summary="The most probable classes of each image",
        description=(
            f"One image as the raw body, or one to {settings.limits.max_files} as multipart parts "
            f"named `{PART}`.\n\nOf several images, one that can't be decoded fails alone: its "
            "result has an `error`."
        ),
        response_model=OneImage | SeveralImages,
        openapi_extra={"requestBody": _request_body(settings.limits.max_files)},
        responses={
            200: {"content": {"application/json": {"examples": ANSWER_EXAMPLES}}},
            **{
                status: documented(status, code, description, detail)
                for status, (code, description, detail) in ERRORS.items()
            },
        },
    )(predict)
    return router


def _request_body(max_files: int) -> dict[str, Any]:
    parts = {"type": "array", "items": IMAGE, "minItems": 1, "maxItems": max_files}
    return {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {"type": "object", "required": [PART], "properties": {PART: parts}},
                "encoding": {PART: {"contentType": "image/jpeg, image/png, image/webp, image/gif"}},
            },
            "image/*": {"schema": IMAGE},
        },
    }


async def predict(
    request: Request,
    service: ServiceDep,
    settings: SettingsDep,
    spans: SpansDep,
    model: Annotated[
        str | None,
        Query(min_length=1, description="A served model's name. Default: the first model served."),
    ] = None,
    top_k: Annotated[
        int | None,
        Query(
            ge=1, description="How many classes to name: by default 5, or all if there are fewer."
        ),
    ] = None,
    timeout_ms: Annotated[
        float | None,
        Header(
            alias=REQUEST_TIMEOUT_MS,
            gt=0,
            allow_inf_nan=False,
            description="From the request's arrival; the server's own limit holds as well.",
        ),
    ] = None,
) -> Response:
    """Raises ServiceError and its subclasses; the application's handler maps them."""
    started = time.monotonic()
    check_query(request.query_params, PARAMETERS)
    chosen = service.model(model)
    k = chosen.top_k(top_k)
    deadline = RequestDeadline(started, timeout_ms, settings.http.request_timeout_seconds)
    # Before the body is read, a refusal costs next to nothing.
    service.check_room(model, deadline=deadline.at(started))
    bind_log_fields(model=chosen.name)
    images = await read_images(request, settings, PARAMETERS)
    bind_log_fields(images=len(images))
    due = deadline.at(time.monotonic())
    work = service.infer(InferenceRequest(images, due, model=model))
    result = await cancel_on_disconnect(request.receive, work)
    timings = [row.timing for row in result.rows if isinstance(row, RowResult)]
    if spans is not None:
        spans.record(timings)
    timing = _timing(timings, time.monotonic() - started)
    bind_log_fields(timing_ms=timing.model_dump())
    parts = ", ".join(f"{part};dur={duration}" for part, duration in timing.model_dump().items())
    body = _body(result, k, timing)
    # A Response: FastAPI would validate the body a second time.
    return Response(
        body.model_dump_json(exclude_none=True),
        media_type="application/json",
        headers={SERVER_TIMING: parts},
    )


def _body(result: InferenceResult, k: int, timing: Timing) -> OneImage | SeveralImages:
    manifest = result.model.artifact.manifest
    labels = result.model.artifact.labels
    used = ModelUsed(
        name=manifest.name,
        checkpoint=manifest.provenance.checkpoint,
        precision=manifest.precision,
    )
    if len(result.rows) == 1:
        (row,) = result.rows
        if isinstance(row, ServiceError):
            raise row
        return OneImage(
            request_id=request_id.get(),
            model=used,
            predictions=_classes(row, labels, k),
            timing_ms=timing,
        )
    return SeveralImages(
        request_id=request_id.get(),
        model=used,
        results=[
            ImageResult(error=Problem(**problem_of(row)))
            if isinstance(row, ServiceError)
            else ImageResult(predictions=_classes(row, labels, k))
            for row in result.rows
        ],
        timing_ms=timing,
    )


def _classes(row: RowResult, labels: Sequence[Label], k: int) -> list[ClassProbability]:
    return [
        ClassProbability(
            class_id=one.class_id,
            wnid=one.wnid,
            label=one.label,
            probability=round(one.probability, DECIMALS),
        )
        for one in top_classes(row.outputs["probabilities"], labels, k)
    ]


def _timing(timings: Sequence[RowTiming], total_seconds: float) -> Timing:
    def milliseconds(seconds: float) -> float:
        return round(seconds * 1000, 2)

    return Timing(
        decode=milliseconds(max((one.decode_seconds for one in timings), default=0)),
        queue=milliseconds(max((one.queue_seconds for one in timings), default=0)),
        inference=milliseconds(max((one.inference_seconds for one in timings), default=0)),
        total=milliseconds(total_seconds),
    )
