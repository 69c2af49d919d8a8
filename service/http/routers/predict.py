"""POST /predict: images in, classes out."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from service.http.auth.client import client_of
from service.http.confidence import ABSTAIN_BELOW
from service.http.dependencies import PredictingDep
from service.http.headers import REQUEST_TIMEOUT_MS, SERVER_TIMING
from service.http.paths import PREDICT
from service.http.request.disconnect import disconnected
from service.http.request.parameters import check_query
from service.http.request.timing import record_timing, server_timing
from service.http.request.uploads import read_images
from service.http.routers.predict_description import description_of
from service.inference.disconnect import cancel_on_disconnect
from service.inference.request import InferenceRequest, RequestDeadline
from service.observability.logging import bind_log_fields
from service.settings import Settings

PARAMETERS = ("model", "top_k", ABSTAIN_BELOW)


def make_router(settings: Settings) -> APIRouter:
    """POST /predict, described with the limits that are set."""
    router = APIRouter(tags=["predict"])
    router.post(PREDICT, **description_of(settings.limits.max_files))(predict)
    return router


async def predict(
    request: Request,
    predicting: PredictingDep,
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
    abstain_below: Annotated[
        float | None,
        Query(
            ge=0,
            le=1,
            allow_inf_nan=False,
            description="A confidence: results say whether theirs is below it. "
            "Default: RESNET_ABSTAIN_BELOW.",
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
    service, settings = predicting.service, predicting.settings
    chosen = service.model(model)
    k = chosen.top_k(top_k)
    deadline = RequestDeadline(started, timeout_ms, settings.http.request_timeout_seconds)
    # Before the body is read, a refusal costs next to nothing.
    client = client_of(request.scope)
    service.check_room(model, deadline=deadline.at(started), client=client)
    bind_log_fields(model=chosen.name)
    with predicting.bodies.open(client) as upload, predicting.bodies.open(client) as document:
        in_body = await read_images(request, upload, document, settings, PARAMETERS)
        document.release()
        bind_log_fields(images=len(upload.images))
        if predicting.rate_limit is not None:
            predicting.rate_limit.take_for_images(client, len(upload.images))
        due = deadline.at(time.monotonic())
        work = service.infer(
            InferenceRequest(
                upload.images, due, model=model, client=client, on_decoded=upload.release
            )
        )
        result = await cancel_on_disconnect(disconnected(request.receive), work)
    timing = record_timing(result, started, predicting.spans)
    thresholds = (abstain_below, in_body, settings.model.abstain_below)
    threshold = next((one for one in thresholds if one is not None), None)
    body = await predicting.writer.write(result, k, timing, threshold)
    # A Response: FastAPI would validate the body a second time.
    return Response(
        body, media_type="application/json", headers={SERVER_TIMING: server_timing(timing)}
    )
