"""What can be served on this machine, and which of that the automatic settings take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from model_builder.build.cache import ArtifactCache
from model_builder.exporters.base import BuildTarget
from service.engines.base import Hardware
from service.engines.registry import ENGINES, EngineSpec, candidates
from service.inference.artifacts import possible_targets
from service.inference.speed.choice import choose_artifact
from service.settings import Settings
from service.system.cpu import has_bfloat16

Automatic = Literal["auto", "auto-int8"]


def servable_targets(
    hardware: Hardware, engines: Sequence[EngineSpec] = ENGINES
) -> tuple[BuildTarget, ...]:
    """Every engine and precision that this hardware has instructions for. Raises BuilderError."""
    without: set[str] = set()
    if hardware.device == "cpu":
        without = {"float16"} if has_bfloat16() else {"float16", "bfloat16"}
    return tuple(
        spec.target(precision)
        for spec in candidates("auto", hardware, engines)
        for precision in spec.precisions
        if precision not in without
    )


def automatic(
    name: str,
    wanted: Automatic,
    settings: Settings,
    hardware: Hardware,
    store: ArtifactCache,
    engines: Sequence[EngineSpec] = ENGINES,
) -> BuildTarget | None:
    """What a start with RESNET_PRECISION=`wanted` serves of the artifacts that are there.

    Measures again where engines have to be compared. None where it would build first. Raises
    BuilderError.
    """
    model = settings.model.model_copy(update={"precision": wanted, "engine": "auto"})
    settings = settings.model_copy(update={"model": model})
    preferred = possible_targets(settings, hardware, engines)[0]
    artifact = store.present(name, preferred)
    if artifact is None:
        return None
    manifest = choose_artifact(name, artifact, settings, hardware, engines, again=True).manifest
    return next(
        target
        for target in possible_targets(settings, hardware, engines)
        if (target.engine, target.precision) == (manifest.engine, manifest.precision)
    )
