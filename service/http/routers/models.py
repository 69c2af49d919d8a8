"""GET /models and /models/{name}: the five depths, and what can be served of each."""

from __future__ import annotations

from fastapi import APIRouter

from model_builder.build.cache import ArtifactCache
from service.http.dependencies import RegistryDep, SettingsDep
from service.http.problem_details import documented
from service.http.schemas import ModelBody, ModelsBody
from service.inference.model_info import get_model_info, list_model_info

router = APIRouter(tags=["models"])


@router.get("/models", summary="Every depth of the family")
def list_models(registry: RegistryDep, settings: SettingsDep) -> ModelsBody:
    own = ArtifactCache(settings.model.home).list_custom()
    return ModelsBody(
        default=settings.model.default,
        models=list_model_info(registry.models, own, registry.pending),
    )


@router.get(
    "/models/{name}",
    summary="One depth, by its name or a checkpoint's",
    responses={
        404: documented("No depth or checkpoint is called so"),
        422: documented("The name can't be read"),
    },
)
def get_model(name: str, registry: RegistryDep, settings: SettingsDep) -> ModelBody:
    own = ArtifactCache(settings.model.home).list_custom()
    return get_model_info(name, registry.models, own, registry.pending)
