"""What there is to serve of every depth: the catalog, the imports, and what is loaded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

from model_builder.artifact.confidence import CalibrationReport
from model_builder.artifact.manifest import MANIFEST, Manifest
from model_builder.artifact.report import Report
from model_builder.artifact.store_format import read_manifest
from model_builder.checkpoints.catalog import CHECKPOINTS, DEFAULT_CHECKPOINTS
from model_builder.checkpoints.checkpoint import Checkpoint
from model_builder.checkpoints.custom import CustomCheckpoint
from model_builder.errors import InvalidArtifact
from model_builder.networks.config import RESNETS, ResNetConfig
from service.errors import ModelNotFound
from service.inference.model import Model

State = Literal["ready", "available", "unavailable"]
# Of where images come from, what strangers are not told.
FOLDERS = re.compile(r"\S*/(?:.*/)?")


@dataclass(frozen=True, slots=True)
class ServedInfo:
    """How a loaded model runs.

    batches_at_once: how many batches run at the same time now. load_seconds: to warm. memory_bytes:
    gained while loading.
    """

    precision: str
    engine: str
    devices: list[str]
    batch_sizes: list[int]
    batches_at_once: int
    load_seconds: float
    memory_bytes: int
    measured: Report
    calibration: CalibrationReport | None


@dataclass(frozen=True, slots=True)
class CheckpointInfo:
    """One set of weights. reason: why it is unavailable. macs: of one forward pass."""

    name: str
    default: bool
    parameters: int
    macs: int
    licence: str
    paper: str
    top1_percent: float | None
    top5_percent: float | None
    state: State
    reason: str | None
    served: ServedInfo | None


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One depth of the family, described as its loaded model or its default checkpoint has it."""

    name: str
    depth: int
    block: Literal["basic", "bottleneck"]
    blocks_per_stage: list[int]
    parameters: int
    macs: int
    input_size: int
    classes: int
    state: State
    reason: str
    checkpoints: list[CheckpointInfo]


def list_model_info(
    loaded: Sequence[Model], own: Sequence[CustomCheckpoint], pending: Mapping[str, str]
) -> list[ModelInfo]:
    """All five. Wide ResNets, ResNeXt and other members are checkpoints of their depth.

    loaded: models that are warm. own: imported checkpoints. pending: what is to be served and is
    not yet, as RESNET_MODELS names it, each with why.
    """
    folders = _artifact_folders(pending)
    rows = {row.name: row for row in (*CHECKPOINTS.values(), *(one.row() for one in own))}
    for manifest in (*(model.artifact.manifest for model in loaded), *folders.values()):
        rows.setdefault(manifest.name, _row(manifest))
    names = {**DEFAULT_CHECKPOINTS, **{asked: manifest.name for asked, manifest in folders.items()}}
    waiting = {names.get(asked, asked): why for asked, why in pending.items()}
    return [
        _describe(
            family,
            [row for row in rows.values() if row.architecture.base == family],
            {
                model.name: model
                for model in loaded
                if model.artifact.manifest.architecture.base == family
            },
            waiting,
        )
        for family in RESNETS
    ]


def find_model_info(name: str, infos: Iterable[ModelInfo]) -> ModelInfo:
    """The depth that is called so or has a checkpoint called so. Raises ModelNotFound."""
    for info in infos:
        if name == info.name or any(name == one.name for one in info.checkpoints):
            return info
    known = ", ".join(RESNETS)
    raise ModelNotFound(f"No model is called {name!r}. Known: {known} and their checkpoints.")


@lru_cache(maxsize=128)
def _costs(architecture: ResNetConfig, input_size: int) -> tuple[int, int]:
    """Parameters and MACs. They take a millisecond to count, and configurations are few."""
    return architecture.parameters(), architecture.macs(input_size)


def _describe(
    name: str,
    rows: Sequence[Checkpoint],
    loaded: Mapping[str, Model],
    waiting: Mapping[str, str],
) -> ModelInfo:
    """waiting: checkpoints that are to be served and are not yet, each with why."""
    default = DEFAULT_CHECKPOINTS[name]
    architecture, input_size = _architecture(CHECKPOINTS[default], loaded)
    parameters, macs = _costs(architecture, input_size)
    state: State = "available"
    reason = f"Not loaded: start the service with RESNET_MODELS={name}"
    if loaded:
        state, reason = "ready", f"Served: POST /predict?model={next(iter(loaded))}"
    elif reasons := [waiting[row.name] for row in rows if row.name in waiting]:
        state, reason = "unavailable", reasons[0]
    return ModelInfo(
        name=name,
        depth=architecture.depth,
        block=architecture.block,
        blocks_per_stage=list(architecture.layers),
        parameters=parameters,
        macs=macs,
        input_size=input_size,
        classes=architecture.classes,
        state=state,
        reason=reason,
        checkpoints=[
            CheckpointInfo(
                name=row.name,
                default=row.name == default,
                parameters=_costs(row.architecture, row.preprocessing.crop_size)[0],
                macs=_costs(row.architecture, row.preprocessing.crop_size)[1],
                licence=row.licence,
                paper=row.paper,
                top1_percent=row.top1_percent,
                top5_percent=row.top5_percent,
                state=_state(row.name, loaded, waiting),
                reason=None if row.name in loaded else waiting.get(row.name),
                served=_served(loaded.get(row.name)),
            )
            for row in rows
        ],
    )


def _state(name: str, loaded: Mapping[str, Model], waiting: Mapping[str, str]) -> State:
    if name in loaded:
        return "ready"
    return "unavailable" if name in waiting else "available"


def _architecture(default: Checkpoint, loaded: Mapping[str, Model]) -> tuple[ResNetConfig, int]:
    """Of what answers for the depth: the loaded model, else the default checkpoint."""
    for model in loaded.values():
        manifest = model.artifact.manifest
        return manifest.architecture, manifest.preprocessing.crop_size
    return default.architecture, default.preprocessing.crop_size


def _artifact_folders(names: Iterable[str]) -> dict[str, Manifest]:
    """The manifests of those that are an artifact's path. One that can't be read has no name."""
    found = {}
    for name in names:
        if (Path(name) / MANIFEST).is_file():
            with suppress(InvalidArtifact):
                found[name] = read_manifest(Path(name))
    return found


def _row(manifest: Manifest) -> Checkpoint:
    """An artifact from elsewhere as a row of the catalog, without sources."""
    return Checkpoint(
        name=manifest.name,
        architecture=manifest.architecture,
        preprocessing=manifest.preprocessing,
        sources=(),
        licence=manifest.provenance.licence,
        paper=manifest.provenance.paper,
        top1_percent=manifest.provenance.top1_percent,
        top5_percent=manifest.provenance.top5_percent,
    )


def _served(model: Model | None) -> ServedInfo | None:
    if model is None:
        return None
    manifest = model.artifact.manifest
    fitted = model.assessor.fitted
    return ServedInfo(
        precision=manifest.precision,
        engine=manifest.engine,
        devices=[engine.device for engine in model.engines],
        batch_sizes=list(model.batch_sizes.sizes),
        batches_at_once=model.batches_at_once,
        load_seconds=round(model.load_seconds, 2),
        memory_bytes=model.memory_bytes,
        measured=tuple(
            replace(one, images=FOLDERS.sub("", one.images.rstrip("/")))
            for one in model.artifact.report
        ),
        calibration=None if fitted is None else fitted.report,
    )
