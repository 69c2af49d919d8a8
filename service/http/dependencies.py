"""What routes are handed, by type.

All of them `async`, for FastAPI sends what is not through a pool of threads.
"""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Request

from service.inference.repository import ModelRepository
from service.observability.metrics import Metrics
from service.observability.tracing import Spans
from service.settings import Settings


async def _settings(request: Request) -> Settings:
    return cast(Settings, request.app.state.settings)


async def _registry(request: Request) -> ModelRepository:
    return cast(ModelRepository, request.app.state.registry)


async def _metrics(request: Request) -> Metrics:
    return cast(Metrics, request.app.state.metrics)


async def _spans(request: Request) -> Spans | None:
    return cast("Spans | None", request.app.state.spans)


SettingsDep = Annotated[Settings, Depends(_settings)]
RegistryDep = Annotated[ModelRepository, Depends(_registry)]
SpansDep = Annotated[Spans | None, Depends(_spans)]
MetricsDep = Annotated[Metrics, Depends(_metrics)]
