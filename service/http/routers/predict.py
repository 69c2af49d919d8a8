"""POST /predict: images in, classes out."""

from __future__ import annotations

import math
import time
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response

from service.errors import ServiceError
from service.http.dependencies import RegistryDep, SettingsDep, SpansDep
from service.http.disconnect import cancel_on_disconnect
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
from service.inference.model import Model, Prediction
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
ERRORS: dict[int, str] = {
    400: "The body is not what its headers say, or has no image",
    401: "API keys are set up, and there is none or an unknown one",
    403: "The API key has been turned off",
    404: "The model is not served here",
    408: "The body took too long to arrive",
    413: "Too many bytes, or too many pixels",
    415: "Not an image format that is served",
    422: "A bad parameter, or an image that can't be decoded",
    429: "This client has asked too often: try again after Retry-After",
    500: "Inference failed; the cause is in the log",
    503: "Loading, overloaded or shutting down: try again after Retry-After",
    504: "No answer before the deadline",
}


def make_router(settings: Settings) -> APIRouter:
    """POST /predict, described with the limits that are set."""
    router = APIRouter(tags=["predict"])
    router.post(
        "/predict",
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
            **{status: documented(description) for status, description in ERRORS.items()},
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
    registry: RegistryDep,
    settings: SettingsDep,
    spans: SpansDep,
    model: Annotated[
        str | None, Query(description="A served model's name; the default's if left out.")
    ] = None,
    top_k: Annotated[int, Query(ge=1, description="How many classes to name.")] = 5,
    timeout_ms: Annotated[
        float | None,
        Header(
            alias="X-Request-Timeout-Ms",
            gt=0,
            allow_inf_nan=False,
            description="From the request's arrival; the server's own limit holds as well.",
        ),
    ] = None,
) -> Response:
    """The answer to a request. Raises ServiceError and its kin; the app's handler answers them."""
    started = time.monotonic()
    chosen = registry.get(model)
    chosen.check_top_k(top_k)
    last = started + timeout_ms / 1000 if timeout_ms is not None else math.inf
    # Before the body is read: what comes too much costs next to nothing.
    chosen.check_room(1, deadline=min(last, started + settings.http.request_timeout_seconds))
    bind_log_fields(model=chosen.name)
    images = await read_images(request, settings)
    bind_log_fields(images=len(images))
    deadline = min(last, time.monotonic() + settings.http.request_timeout_seconds)
    work = chosen.predict_each(images, k=top_k, deadline=deadline)
    outcomes = await cancel_on_disconnect(request.receive, work)
    answers = [outcome for outcome in outcomes if isinstance(outcome, Prediction)]
    if spans is not None:
        spans.record(answers)
    timing = _timing(answers, time.monotonic() - started)
    bind_log_fields(timing_ms=timing.model_dump())
    parts = ", ".join(f"{part};dur={duration}" for part, duration in timing.model_dump().items())
    body = _body(chosen, outcomes, timing)
    # Made of the model already: FastAPI would validate it once more.
    return Response(
        body.model_dump_json(exclude_none=True),
        media_type="application/json",
        headers={"Server-Timing": parts},
    )


def _body(
    model: Model, outcomes: list[Prediction | ServiceError], timing: Timing
) -> OneImage | SeveralImages:
    manifest = model.artifact.manifest
    used = ModelUsed(
        name=manifest.name,
        checkpoint=manifest.provenance.checkpoint,
        precision=manifest.precision,
    )
    if len(outcomes) == 1:
        (outcome,) = outcomes
        if isinstance(outcome, ServiceError):
            raise outcome
        return OneImage(
            request_id=request_id.get(),
            model=used,
            predictions=_classes(outcome),
            timing_ms=timing,
        )
    return SeveralImages(
        request_id=request_id.get(),
        model=used,
        results=[
            ImageResult(error=Problem(**problem_of(outcome)))
            if isinstance(outcome, ServiceError)
            else ImageResult(predictions=_classes(outcome))
            for outcome in outcomes
        ],
        timing_ms=timing,
    )


def _classes(answer: Prediction) -> list[ClassProbability]:
    return [
        ClassProbability(
            class_id=one.class_id, wnid=one.wnid, label=one.label, probability=one.probability
        )
        for one in answer.predictions
    ]


def _timing(answers: list[Prediction], total_seconds: float) -> Timing:
    def milliseconds(seconds: float) -> float:
        return round(seconds * 1000, 2)

    return Timing(
        decode=milliseconds(max((a.decode_seconds for a in answers), default=0)),
        queue=milliseconds(max((a.queue_seconds for a in answers), default=0)),
        inference=milliseconds(max((a.inference_seconds for a in answers), default=0)),
        total=milliseconds(total_seconds),
    )
