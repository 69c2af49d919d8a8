"""What routes receive, by type.

Each is `async`: FastAPI sends plain functions through a pool of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from service.auth.rate_limit import RateLimit
from service.http.model_list import ModelList
from service.http.outputs.overlays import Overlays
from service.http.prediction_json import PredictionWriter
from service.http.request.body import Bodies
from service.inference.runtime import Runtime
from service.inference.service import InferenceService
from service.observability.exposition import Exposition
from service.observability.metrics import Metrics
from service.observability.tracing import Spans
from service.settings import Settings


async def _runtime(request: Request) -> Runtime:
    return cast(Runtime, request.app.state.runtime)


async def _metrics(request: Request) -> Metrics:
    return (await _runtime(request)).metrics


async def _exposition(request: Request) -> Exposition:
    return cast(Exposition, request.app.state.exposition)


async def _spans(request: Request) -> Spans | None:
    return cast("Spans | None", request.app.state.spans)


async def _rate_limit(request: Request) -> RateLimit | None:
    return cast("RateLimit | None", request.app.state.rate_limit)


@dataclass(frozen=True, slots=True)
class Predicting:
    """What `/predict` works with: made once, since FastAPI takes its time for each dependency."""

    service: InferenceService
    settings: Settings
    spans: Spans | None
    rate_limit: RateLimit | None
    bodies: Bodies
    writer: PredictionWriter
    overlays: Overlays


def predicting_of(request: Request) -> Predicting:
    return cast(Predicting, request.app.state.predicting)


async def _model_list(request: Request) -> ModelList:
    return cast(ModelList, request.app.state.model_list)


async def _bodies(request: Request) -> Bodies:
    return cast(Bodies, request.app.state.bodies)


RuntimeDep = Annotated[Runtime, Depends(_runtime)]
ExpositionDep = Annotated[Exposition, Depends(_exposition)]
SpansDep = Annotated[Spans | None, Depends(_spans)]
RateLimitDep = Annotated[RateLimit | None, Depends(_rate_limit)]
MetricsDep = Annotated[Metrics, Depends(_metrics)]
ModelListDep = Annotated[ModelList, Depends(_model_list)]
BodiesDep = Annotated[Bodies, Depends(_bodies)]
