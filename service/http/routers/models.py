"""GET /models and /models/{name}: the five depths, and what can be served of each."""

from __future__ import annotations

from fastapi import APIRouter, Response

from service.http.dependencies import ModelListDep
from service.http.problem_details import documented
from service.http.schemas import ModelBody, ModelsBody

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
