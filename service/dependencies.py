"""What routes are handed, by type."""

from __future__ import annotations

from typing import Annotated, cast

from fastapi import Depends, Request

from service.metrics import Metrics
from service.registry import Registry
from service.settings import Settings
from service.tracing import Spans


def _settings(request: Request) -> Settings:
    return cast(Settings, request.app.state.settings)


def _registry(request: Request) -> Registry:
    return cast(Registry, request.app.state.registry)


def _metrics(request: Request) -> Metrics:
    return cast(Metrics, request.app.state.metrics)


def _spans(request: Request) -> Spans | None:
    return cast("Spans | None", request.app.state.spans)


SettingsDep = Annotated[Settings, Depends(_settings)]
RegistryDep = Annotated[Registry, Depends(_registry)]
SpansDep = Annotated[Spans | None, Depends(_spans)]
MetricsDep = Annotated[Metrics, Depends(_metrics)]
