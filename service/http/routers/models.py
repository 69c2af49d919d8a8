"""GET /models and /models/{name}: the five depths, and what can be served of each."""

from __future__ import annotations

from fastapi import APIRouter

from model_builder.build.cache import ArtifactCache
from service.http.dependencies import RepositoryDep, SettingsDep
from service.http.problem_details import documented
from service.http.schemas import ModelBody, ModelsBody
from service.inference.model_info import get_model_info, list_model_info

router = APIRouter(tags=["models"])


@router.get("/models", summary="Every depth of the family")
def list_models(repository: RepositoryDep, settings: SettingsDep) -> ModelsBody:
    own = ArtifactCache(settings.model.home).list_custom()
    infos = list_model_info(repository.models, own, repository.pending)
    return ModelsBody(
        default=repository.entries[0].title,
        models=[ModelBody.model_validate(info) for info in infos],
    )


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
def get_model(name: str, repository: RepositoryDep, settings: SettingsDep) -> ModelBody:
    own = ArtifactCache(settings.model.home).list_custom()
    info = get_model_info(name, repository.models, own, repository.pending)
    return ModelBody.model_validate(info)
