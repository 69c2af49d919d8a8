"""GET /models and /models/{name}: the five depths, and what can be served of each."""

from __future__ import annotations

from fastapi import APIRouter

from model_builder.build.cache import Store
from service.http.dependencies import RegistryDep, SettingsDep
from service.http.problem_details import documented
from service.http.schemas import ModelBody, ModelsBody
from service.inference.model_info import describe_depth, describe_depths

router = APIRouter(tags=["models"])


@router.get("/models", summary="Every depth of the family")
def list_models(registry: RegistryDep, settings: SettingsDep) -> ModelsBody:
    own = Store(settings.home).list_own()
    return ModelsBody(
        default=settings.model, models=describe_depths(registry.models, own, registry.pending)
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
    own = Store(settings.home).list_own()
    return describe_depth(name, registry.models, own, registry.pending)
