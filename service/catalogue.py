"""What can be said of every depth: from the architecture, the checkpoints, and what is loaded."""

from __future__ import annotations

from collections.abc import Sequence

from model_builder.architecture import DEPTHS, Architecture
from model_builder.artifact import Manifest
from model_builder.checkpoints import CHECKPOINTS, DEFAULT_CHECKPOINTS
from model_builder.own import OwnCheckpoint
from service.errors import ModelNotFound
from service.model import Model
from service.registry import depth_name
from service.schemas import CheckpointBody, ModelBody, Served


def describe_depths(loaded: Sequence[Model], own: Sequence[OwnCheckpoint] = ()) -> list[ModelBody]:
    """All five, given the models that are loaded and warm and the imported checkpoints."""
    return [_describe(depth, loaded, own) for depth in DEPTHS]


def describe_depth(
    name: str, loaded: Sequence[Model], own: Sequence[OwnCheckpoint] = ()
) -> ModelBody:
    """The depth that is called so or has a checkpoint called so. Raises ModelNotFound."""
    for body in describe_depths(loaded, own):
        if name == body.name or any(name == one.name for one in body.checkpoints):
            return body
    known = ", ".join(f"resnet{depth}" for depth in DEPTHS)
    raise ModelNotFound(f"No model is called {name!r}. Known: {known} and their checkpoints.")


def _describe(depth: int, models: Sequence[Model], own: Sequence[OwnCheckpoint]) -> ModelBody:
    name = f"resnet{depth}"
    loaded = {model.name: model for model in models if depth_name(model) == name}
    checkpoints = _checkpoints(depth, loaded, own)
    architecture, input_size = _architecture(depth, loaded)
    body = ModelBody(
        name=name,
        depth=depth,
        block=architecture.block_kind,
        blocks_per_stage=list(architecture.blocks_per_stage),
        parameters=architecture.parameters(),
        multiply_adds=architecture.multiply_adds(input_size),
        input_size=input_size,
        classes=architecture.classes,
        state="unavailable",
        reason=f"The catalogue has no published weights for {name}.",
        checkpoints=checkpoints,
    )
    if loaded:
        body.state, body.reason = "ready", f"Served: POST /predict?model={name}"
    elif checkpoints:
        body.state, body.reason = (
            "available",
            f"Not loaded: start the service with RESNET_MODEL={name}",
        )
    return body


def _architecture(depth: int, loaded: dict[str, Model]) -> tuple[Architecture, int]:
    """Of what answers for the depth: the loaded model, else the default checkpoint."""
    for model in loaded.values():
        manifest = model.artifact.manifest
        return manifest.architecture, manifest.preprocessing.crop_size
    if depth in DEFAULT_CHECKPOINTS:
        checkpoint = CHECKPOINTS[DEFAULT_CHECKPOINTS[depth]]
        return checkpoint.architecture, checkpoint.preprocessing.crop_size
    return Architecture(depth), 224


def _checkpoints(
    depth: int, loaded: dict[str, Model], own: Sequence[OwnCheckpoint]
) -> list[CheckpointBody]:
    """The catalogue's rows of this depth, those imported here, and artifacts from elsewhere."""
    known = [*CHECKPOINTS.values(), *(checkpoint.row() for checkpoint in own)]
    rows = [
        CheckpointBody(
            name=row.name,
            default=DEFAULT_CHECKPOINTS.get(depth) == row.name,
            licence=row.licence,
            paper=row.paper,
            top1_percent=row.top1_percent,
            top5_percent=row.top5_percent,
            state="ready" if row.name in loaded else "available",
            served=_served(loaded.get(row.name)),
        )
        for row in known
        if row.depth == depth
    ]
    names = {row.name for row in known}
    elsewhere = [model for name, model in loaded.items() if name not in names]
    return rows + [_from_elsewhere(model.artifact.manifest, model) for model in elsewhere]


def _from_elsewhere(manifest: Manifest, model: Model) -> CheckpointBody:
    return CheckpointBody(
        name=manifest.name,
        default=False,
        licence=manifest.provenance.licence,
        paper=manifest.provenance.paper,
        top1_percent=manifest.provenance.top1_percent,
        top5_percent=manifest.provenance.top5_percent,
        state="ready",
        served=_served(model),
    )


def _served(model: Model | None) -> Served | None:
    if model is None:
        return None
    manifest = model.artifact.manifest
    return Served(
        precision=manifest.precision,
        engine=manifest.engine,
        devices=[engine.device for engine in model.engines],
        batch_sizes=list(model.engines[0].batch_sizes),
        load_seconds=round(model.load_seconds, 2),
        memory_bytes=model.memory_bytes,
    )
