"""GET /models and below: the five depths, what can be served of each, and the names of classes."""

from __future__ import annotations

import json

from fastapi import APIRouter, Response

from service.http.dependencies import ModelListDep, RuntimeDep
from service.http.problem_details import documented
from service.http.schemas import LabelsBody, ModelBody, ModelsBody

router = APIRouter(tags=["models"])


@router.get("/models", summary="Every depth of the family", response_model=ModelsBody)
async def list_models(models: ModelListDep) -> Response:
    return Response(await models.text(), media_type="application/json")


@router.get(
    "/models/{name}",
    summary="One depth, by its name or a checkpoint's",
    responses={
        404: documented(
            404,
            "model_not_found",
            "No depth or checkpoint has that name",
            "No model is called 'resnet20'. Known: resnet18, resnet34, ...",
        ),
        422: documented(422, "invalid_parameter", "The name can't be read", "name: not a string"),
    },
)
async def get_model(name: str, models: ModelListDep) -> ModelBody:
    return ModelBody.model_validate(await models.find(name))


@router.get(
    "/models/{name}/labels",
    summary="The names of a served model's classes, in the order of its probabilities",
    response_model=LabelsBody,
    responses={
        404: documented(
            404,
            "model_not_found",
            "No model of that name is served",
            "No model is served as 'resnet20'. Served: resnet50.keras_in1k",
        ),
        422: documented(422, "invalid_parameter", "The name can't be read", "name: not a string"),
        503: documented(503, "model_not_ready", "The model is loading", "loading resnet50"),
    },
)
async def get_labels(name: str, runtime: RuntimeDep) -> Response:
    model = runtime.service.model(name)
    labels = [
        {"class_id": class_id, "wnid": label.wnid, "label": label.name}
        for class_id, label in enumerate(model.artifact.labels)
    ]
    body = json.dumps({"model": model.name, "labels": labels}, separators=(",", ":"))
    return Response(body, media_type="application/json")
