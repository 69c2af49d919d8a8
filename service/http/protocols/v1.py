"""/v1: TensorFlow Serving's REST API, and of KServe's v1 what differs from it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from service.errors import InvalidParameter, ModelNotFound
from service.fairness.paced import pause
from service.http.dependencies import RuntimeDep
from service.http.headers import SERVER_TIMING
from service.http.outputs.held_response import HeldResponse
from service.http.paths import CLASSIFY_METHOD, PREDICT_METHOD, V1, V1_MODELS
from service.http.protocols.description import NAME, READING, description_of, errors_of
from service.http.protocols.inference import Exchange, ExchangeDep
from service.inference.model import Model
from service.inference.outputs import top_k
from service.inference.request import RowResult
from service.protocols.asked import Asked
from service.protocols.json_text import parse_json
from service.protocols.model_metadata import names, signature, unknown_servable, version_status
from service.protocols.predict_request import (
    ANSWERS,
    PredictRequest,
    classify_request,
    images_of,
    predict_request,
)
from service.protocols.tensor_outputs import rows_or_error
from service.protocols.tensor_rows import ImageBuffer

# The label of the version that is served.
STABLE = "stable"
MAX_LABEL_LENGTH = 200

router = APIRouter(tags=["TensorFlow Serving"])


def _row_schema(key: str) -> dict[str, Any]:
    return {"type": "object", "properties": {key: {"type": "array"}}}


@router.get(f"{V1}/models", summary="The names of all models", responses=errors_of(READING))
async def list_models(runtime: RuntimeDep) -> dict[str, list[str]]:
    """As KServe has it; TensorFlow Serving has none."""
    return {"models": names(runtime.repository.entries)}


def _status(path: str, *, shown: bool) -> None:
    """Adds the routes that read, of a model, a version or a label."""
    options: dict[str, Any] = {
        "include_in_schema": shown,
        "response_model": None,
        "responses": errors_of(READING),
        "openapi_extra": NAME,
    }

    @router.get(f"{path}/metadata", summary="A model's signature", **options)
    async def metadata(request: Request, runtime: RuntimeDep) -> JSONResponse:
        name, version = _named(request)
        try:
            model = runtime.service.model(name, version)
        except ModelNotFound:
            raise unknown_servable(name, version) from None
        return JSONResponse(signature(name, model))

    @router.get(path, summary="A model's state", **options)
    async def status(request: Request, runtime: RuntimeDep) -> JSONResponse:
        """KServe's clients read `ready`."""
        name, version = _named(request)
        try:
            entry = runtime.repository.entry(name, version)
        except ModelNotFound:
            raise unknown_servable(name, version) from None
        ready = entry.state == "ready"
        statuses = [version_status(entry)]
        return JSONResponse({"name": name, "ready": ready, "model_version_status": statuses})


def _inference(path: str, *, shown: bool) -> None:
    """Adds the routes of inference, of a model, a version or a label."""
    hidden: dict[str, Any] = {"include_in_schema": shown}
    form = {"anyOf": [_row_schema("instances"), _row_schema("inputs")]}

    @router.post(path + PREDICT_METHOD, **hidden, **description_of("An output by signature", form))
    async def predict(exchange: ExchangeDep) -> Response:
        return await _answer(exchange, predict_request, _numbers)

    @router.post(
        path + CLASSIFY_METHOD, **hidden, **description_of("Classes", _row_schema("examples"))
    )
    async def classify(exchange: ExchangeDep) -> Response:
        return await _answer(exchange, classify_request, _classes)


for _path in V1_MODELS:
    _status(_path, shown=_path == V1_MODELS[0])
    _inference(_path, shown=_path == V1_MODELS[0])


def _named(request: Request) -> tuple[str, str | None]:
    """The model's name and version. Raises InvalidParameter for an unknown label."""
    name: str = request.path_params["name"]
    if ":" in name:
        raise HTTPException(404)
    label = request.path_params.get("label", STABLE)
    if label != STABLE:
        raise InvalidParameter(f"Unrecognized servable version label: {label[:MAX_LABEL_LENGTH]}")
    return name, request.path_params.get("version")


async def _answer(
    exchange: Exchange,
    read: Callable[[Any], PredictRequest],
    write: Callable[[RowResult, Model, str], str],
) -> Response:
    """Raises ServiceError and its subclasses; the application's handler maps them."""
    name, version = _named(exchange.request)
    requests: list[PredictRequest] = []

    async def parse(raw: memoryview, model: Model, buffer: ImageBuffer) -> Asked:
        asked = read(await parse_json(raw))
        requests.append(asked)
        rows = await images_of(
            asked,
            buffer,
            size=model.artifact.manifest.preprocessing.crop_size,
            max_images=exchange.max_images,
            model=name,
        )
        return Asked(rows, (asked.output,))

    answered = await exchange.infer(name, version, parse, unknown_servable(name, version))
    result = answered.result
    (asked,) = requests
    texts = await _texts(rows_or_error(result), result.model, asked.output, write)
    body = f'{{"{ANSWERS[asked.form]}":[{",".join(texts)}]}}'
    headers = {SERVER_TIMING: answered.server_timing}
    return HeldResponse(body, media_type="application/json", headers=headers)


async def _texts(
    rows: Sequence[RowResult],
    model: Model,
    output: str,
    write: Callable[[RowResult, Model, str], str],
) -> list[str]:
    texts = []
    for row in rows:
        texts.append(write(row, model, output))
        # A row takes the event loop a millisecond.
        await pause()
    return texts


def _numbers(row: RowResult, _model: Model, output: str) -> str:
    """A float32 is written as the double that it is exactly."""
    return json.dumps(row.outputs[output].tolist(), separators=(",", ":"))


def _classes(row: RowResult, model: Model, output: str) -> str:
    """The most probable ones, as many as POST /predict names by default."""
    best = top_k(row.outputs[output], model.artifact.labels, model.top_k(None))
    return json.dumps([[one.label, one.probability] for one in best], separators=(",", ":"))
