"""GET /v2 and what is below it: health, metadata, configuration, statistics, the index."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse

from service.errors import MalformedRequest, ModelNotFound, ModelNotReady
from service.http.auth.client import client_of
from service.http.dependencies import ExpositionDep, RuntimeDep
from service.http.headers import RETRY_AFTER
from service.http.paths import V2, V2_LIVE, V2_MODEL, V2_READY, V2_VERSION
from service.http.protocols.description import NAME, READING, errors_of
from service.http.protocols.inference import ExchangeDep
from service.http.request.payload import read_payload
from service.inference.model import Model
from service.protocols.json_text import parse_json
from service.protocols.model_metadata import (
    EXTENSIONS,
    SERVER_NAME,
    configuration,
    index,
    metadata,
    names,
    public_name,
    unknown_model,
)
from service.protocols.model_statistics import statistics
from service.version import __version__

router = APIRouter(tags=["Open Inference Protocol"], responses=errors_of(READING))
# Without a key, for load balancers.
health = APIRouter(tags=["Open Inference Protocol"], responses=errors_of((414, 431, 503)))


@health.get(V2_LIVE, summary="The process answers")
async def live() -> dict[str, bool]:
    return {"live": True}


@health.get(V2_READY, summary="Every model is ready", response_model=None)
async def ready(runtime: RuntimeDep, exposition: ExpositionDep) -> JSONResponse:
    now = runtime.health()
    if now.ready or await exposition.ready_elsewhere():
        return JSONResponse({"ready": True})
    body = {"ready": False, "error": "; ".join(now.problems)}
    return JSONResponse(body, 503, {RETRY_AFTER: "1"})


@router.get(V2, summary="The server and its extensions")
async def server() -> dict[str, Any]:
    return {"name": SERVER_NAME, "version": __version__, "extensions": EXTENSIONS}


@router.get(f"{V2}/models", summary="The names of all models")
async def list_models(runtime: RuntimeDep) -> dict[str, list[str]]:
    return {"models": names(runtime.repository.entries)}


@router.get(f"{V2}/models/stats", summary="Statistics of all models")
async def all_statistics(runtime: RuntimeDep) -> dict[str, Any]:
    loaded = [entry for entry in runtime.repository.entries if entry.model is not None]
    return {
        "model_stats": [
            statistics(public_name(entry), entry.model, runtime.metrics)
            for entry in loaded
            if entry.model is not None
        ]
    }


@router.post(f"{V2}/repository/index", summary="The state of all models", responses=errors_of())
async def repository_index(exchange: ExchangeDep) -> list[dict[str, str]]:
    """The body may be empty, or `{"ready": true}` for those that are ready."""
    runtime, request = exchange.runtime, exchange.request
    asked: Any = {}
    if request.headers.get("Content-Length", "0") != "0":
        with exchange.bodies.open(client_of(request.scope)) as body:
            asked = await parse_json(await read_payload(request, body, runtime.settings))
    if not isinstance(asked, dict) or not isinstance(asked.get("ready", False), bool):
        raise MalformedRequest("The body is empty or an object, and 'ready' is true or false.")
    return index(runtime.repository, ready_only=asked.get("ready", False))


async def _model(request: Request, runtime: RuntimeDep) -> Model:
    """By the path's name and version. Raises ModelNotFound or ModelNotReady."""
    name, version = request.path_params["name"], request.path_params.get("version")
    try:
        return runtime.service.model(name, version)
    except ModelNotFound:
        raise unknown_model(name, version) from None


async def _name(request: Request) -> str:
    return str(request.path_params["name"])


NameDep = Annotated[str, Depends(_name)]
ModelDep = Annotated[Model, Depends(_model)]


@router.get(V2_MODEL, summary="A model's tensors", openapi_extra=NAME)
@router.get(V2_VERSION, include_in_schema=False)
async def model_metadata(name: NameDep, model: ModelDep, runtime: RuntimeDep) -> dict[str, Any]:
    return metadata(name, model, described=runtime.settings.protocols.v2_input)


@router.get(f"{V2_MODEL}/ready", summary="Whether a model is ready", openapi_extra=NAME)
@router.get(f"{V2_VERSION}/ready", include_in_schema=False)
async def model_ready(name: NameDep, model: ModelDep, runtime: RuntimeDep) -> dict[str, Any]:
    if problems := [*model.worker_problems(), *model.self_test_problems()]:
        raise ModelNotReady("; ".join(problems))
    if runtime.repository.draining:
        raise ModelNotReady("The service is shutting down.")
    return {"name": name, "ready": True}


@router.get(f"{V2_MODEL}/config", summary="A model's configuration", openapi_extra=NAME)
@router.get(f"{V2_VERSION}/config", include_in_schema=False)
async def model_config(name: NameDep, model: ModelDep, exchange: ExchangeDep) -> dict[str, Any]:
    described = exchange.runtime.settings.protocols.v2_input
    return configuration(name, model, exchange.max_images, described=described)


@router.get(f"{V2_MODEL}/stats", summary="A model's statistics", openapi_extra=NAME)
@router.get(f"{V2_VERSION}/stats", include_in_schema=False)
async def model_stats(name: NameDep, model: ModelDep, runtime: RuntimeDep) -> dict[str, Any]:
    return {"model_stats": [statistics(name, model, runtime.metrics)]}
