"""POST /predict: pictures in, classes out."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from service.dependencies import RegistryDep, SettingsDep
from service.disconnect import unless_disconnected
from service.errors import ServiceError
from service.log import request_id
from service.model import Answer, Model
from service.problems import documented, problem_of
from service.schemas import (
    ClassProbability,
    ModelUsed,
    OnePicture,
    PictureResult,
    Problem,
    SeveralPictures,
    Timing,
)
from service.uploads import PART, read_pictures

router = APIRouter(tags=["predict"])

PICTURE = {"type": "string", "format": "binary"}
REQUEST_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": [PART],
                "properties": {
                    PART: {"type": "array", "items": PICTURE, "minItems": 1, "maxItems": 32}
                },
            },
            "encoding": {PART: {"contentType": "image/jpeg, image/png, image/webp, image/gif"}},
        },
        "image/*": {"schema": PICTURE},
    },
}
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
    "one picture": {
        "value": {
            "request_id": "1f0c5c1c8d5b4a6f9d3f5d0b7a1e2c33",
            "model": MODEL_EXAMPLE,
            "predictions": PREDICTIONS_EXAMPLE,
            "timing_ms": TIMING_EXAMPLE,
        }
    },
    "several pictures": {
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
                        "detail": "The picture is empty: 0 bytes.",
                        "request_id": "1f0c5c1c8d5b4a6f9d3f5d0b7a1e2c33",
                    }
                },
            ],
            "timing_ms": TIMING_EXAMPLE,
        }
    },
}
ERRORS: dict[int, str] = {
    400: "The body is not what its headers say, or has no picture",
    404: "The model is not served here",
    408: "The body took too long to arrive",
    413: "Too many bytes, or too many pixels",
    415: "Not a picture format that is served",
    422: "A bad parameter, or a picture that can't be decoded",
    500: "Inference failed; the cause is in the log",
    503: "Loading, overloaded or shutting down: try again after Retry-After",
    504: "No answer before the deadline",
}


@router.post(
    "/predict",
    summary="The most probable classes of each picture",
    response_model=OnePicture | SeveralPictures,
    response_model_exclude_none=True,
    openapi_extra={"requestBody": REQUEST_BODY},
    responses={
        200: {"content": {"application/json": {"examples": ANSWER_EXAMPLES}}},
        **{status: documented(description) for status, description in ERRORS.items()},
    },
)
async def predict(
    request: Request,
    response: Response,
    registry: RegistryDep,
    settings: SettingsDep,
    model: Annotated[
        str | None, Query(description="A served model's name; the default's if left out.")
    ] = None,
    top_k: Annotated[int, Query(ge=1, description="How many classes to name.")] = 5,
) -> OnePicture | SeveralPictures:
    """One picture as the raw body, or one to 32 as multipart parts named `file`.

    Of several pictures, one that can't be decoded fails alone: its result has an `error`.
    """
    started = time.monotonic()
    chosen = registry.get(model)
    chosen.check_top_k(top_k)
    pictures = await read_pictures(request, settings)
    deadline = time.monotonic() + settings.request_timeout_seconds
    work = chosen.predict_each(pictures, k=top_k, deadline=deadline)
    outcomes = await unless_disconnected(request.receive, work)
    timing = _timing([o for o in outcomes if isinstance(o, Answer)], time.monotonic() - started)
    response.headers["Server-Timing"] = ", ".join(
        f"{part};dur={milliseconds}" for part, milliseconds in timing.model_dump().items()
    )
    return _body(chosen, outcomes, timing)


def _body(
    model: Model, outcomes: list[Answer | ServiceError], timing: Timing
) -> OnePicture | SeveralPictures:
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
        return OnePicture(
            request_id=request_id.get(),
            model=used,
            predictions=_classes(outcome),
            timing_ms=timing,
        )
    return SeveralPictures(
        request_id=request_id.get(),
        model=used,
        results=[
            PictureResult(error=Problem(**problem_of(outcome)))
            if isinstance(outcome, ServiceError)
            else PictureResult(predictions=_classes(outcome))
            for outcome in outcomes
        ],
        timing_ms=timing,
    )


def _classes(answer: Answer) -> list[ClassProbability]:
    return [
        ClassProbability(
            class_id=one.class_id, wnid=one.wnid, label=one.label, probability=one.probability
        )
        for one in answer.predictions
    ]


def _timing(answers: list[Answer], total_seconds: float) -> Timing:
    def milliseconds(seconds: float) -> float:
        return round(seconds * 1000, 2)

    return Timing(
        decode=milliseconds(max((a.decode_seconds for a in answers), default=0)),
        queue=milliseconds(max((a.queue_seconds for a in answers), default=0)),
        inference=milliseconds(max((a.inference_seconds for a in answers), default=0)),
        total=milliseconds(total_seconds),
    )
