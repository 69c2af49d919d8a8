"""POST /predict: images in, classes out."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from service.http.auth.client import client_of
from service.http.confidence import ABSTAIN_BELOW, AbstainBelowQuery, threshold
from service.http.dependencies import predicting_of
from service.http.headers import REQUEST_TIMEOUT_MS, SERVER_TIMING
from service.http.outputs.held_response import HeldResponse
from service.http.outputs.image_json import ImageOutputWriter
from service.http.outputs.query import (
    ClassesQuery,
    EncodingQuery,
    NormalizedQuery,
    OutputsQuery,
    OverlayQuery,
    given_options,
)
from service.http.paths import PREDICT
from service.http.request.disconnect import disconnected
from service.http.request.parameters import check_query
from service.http.request.timing import record_timing, server_timing
from service.http.request.uploads import read_images
from service.http.routers.direct_route import DirectRoute
from service.http.routers.predict_description import description_of
from service.inference.disconnect import cancel_on_disconnect
from service.inference.request import InferenceRequest, InferenceResult, RequestDeadline
from service.inference.service import InferenceService
from service.observability.logging import bind_log_fields
from service.protocols.outputs.wanted import OPTIONS, PREDICTIONS, WantedOutputs, wanted_outputs
from service.settings import Settings

DEFAULT = WantedOutputs()
PARAMETERS = ("model", "top_k", ABSTAIN_BELOW, *OPTIONS)
MEMBERS = (ABSTAIN_BELOW, *OPTIONS)


def make_router(settings: Settings) -> APIRouter:
    """POST /predict, described with the limits that are set."""
    router = APIRouter(tags=["predict"], route_class=DirectRoute)
    router.post(PREDICT, **description_of(settings.limits.max_files))(predict)
    return router


async def predict(
    request: Request,
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
    abstain_below: AbstainBelowQuery = None,
    outputs: OutputsQuery = None,
    classes: ClassesQuery = None,
    normalized: NormalizedQuery = None,
    encoding_format: EncodingQuery = None,
    overlay: OverlayQuery = None,
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
    predicting = predicting_of(request)
    service, settings = predicting.service, predicting.settings
    chosen = service.model(model)
    k = chosen.top_k(top_k)
    query = dict(
        zip(OPTIONS, (outputs, classes, normalized, encoding_format, overlay), strict=True)
    )
    wanted = wanted_outputs(given_options(query, {}), chosen, k)
    deadline = RequestDeadline(started, timeout_ms, settings.http.request_timeout_seconds)
    # LoadSheddingMiddleware has found room for it, as far as that is known before the body is read.
    client = client_of(request.scope)
    bind_log_fields(model=chosen.name)
    with (
        predicting.bodies.open(client) as upload,
        predicting.bodies.open(client) as document,
        service.budget.hold(client) as held,
    ):
        members = await read_images(request, upload, document, settings, PARAMETERS, MEMBERS)
        document.release()
        below = threshold(abstain_below, members, settings.model.abstain_below)
        if members:
            wanted = wanted_outputs(given_options(query, members), chosen, k)
        wanted.check_images(len(upload.images))
        bind_log_fields(images=len(upload.images))
        if predicting.rate_limit is not None:
            predicting.rate_limit.take_for_images(client, len(upload.images))
        due = deadline.at(time.monotonic())
        writer = ImageOutputWriter(wanted, predicting.overlays, held, deadline=due)
        work = _infer(
            service,
            InferenceRequest(
                upload.images,
                due,
                outputs=wanted.outputs,
                map_classes=wanted.map_classes,
                model=model,
                client=client,
                on_decoded=upload.release,
            ),
            writer if wanted != DEFAULT else None,
        )
        result, written = await cancel_on_disconnect(disconnected(request.receive), work)
        timing = record_timing(result, started, predicting.spans)
        k = k if PREDICTIONS in wanted.names else 0
        body = await predicting.writer.write(result, k, timing, written, below)
    # A Response: FastAPI would validate the body a second time.
    return HeldResponse(
        body, media_type="application/json", headers={SERVER_TIMING: server_timing(timing)}
    )


async def _infer(
    service: InferenceService, request: InferenceRequest, writer: ImageOutputWriter | None
) -> tuple[InferenceResult, list[str] | None]:
    """With what the answer has of each image beside its classes; None where nothing was asked."""
    result = await service.infer(request)
    return result, None if writer is None else await writer.write(result)
