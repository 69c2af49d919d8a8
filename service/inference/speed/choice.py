"""The faster of the engines that serve a checkpoint in one precision."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from model_builder.artifact.manifest import Artifact
from model_builder.errors import BuilderError
from model_builder.exporters.base import BuildTarget
from service.batching.autotune_cache import autotune_cache_path
from service.engines.base import Engine, Hardware
from service.engines.choice import EngineChoice, fastest, measure
from service.engines.compiled_graph import graph_path
from service.engines.registry import ENGINES, EngineSpec, engine_called, load_divided
from service.inference.artifacts import (
    COMPILED,
    check_agreement,
    make_artifact_cache,
    possible_targets,
)
from service.inference.speed.key import measured_on
from service.settings import Settings
from service.system.cpu import CPUINFO

logger = logging.getLogger(__name__)


def choose_artifact(
    name: str,
    artifact: Artifact,
    settings: Settings,
    hardware: Hardware,
    engines: Sequence[EngineSpec] = ENGINES,
    *,
    again: bool = False,
) -> Artifact:
    """`artifact`, or one in the cache that a rival engine runs faster here in the same precision.

    Measured once, where there are several, and kept beside the batch sizes; `again` measures in
    any case. Nothing is built.
    """
    cache = make_artifact_cache(settings)
    if settings.model.engine != "auto" or cache.given_artifact(name):
        return artifact
    rivals = [artifact]
    for target in possible_targets(settings, hardware, engines):
        if is_rival(target, artifact, engines) and cache.has(name, target):
            rivals += filter(None, [cache.present(name, target)])
    if len(rivals) == 1:
        return artifact
    kept = engine_choice_for(settings.model.home, rivals, hardware, engines)
    by_engine = {one.manifest.engine: one for one in rivals}
    speeds = None if again else kept.read()
    if speeds is None:
        loaded = _loaded(rivals, hardware, engines, settings.model.min_agreement_percent)
        if len(loaded) < 2:
            return by_engine.get(next(iter(loaded), ""), artifact)
        speeds = measure(loaded, artifact.manifest.preprocessing.crop_size)
        kept.write(speeds)
        rates = ", ".join(f"{name} {1 / speed.seconds:.1f}" for name, speed in speeds.items())
        logger.info("%s in %s, images a second: %s", name, artifact.manifest.precision, rates)
    return by_engine[fastest({name: speeds[name] for name in by_engine if name in speeds})]


def is_rival(target: BuildTarget, artifact: Artifact, engines: Sequence[EngineSpec]) -> bool:
    """Whether the target's engine may be faster than the artifact's in the same precision."""
    manifest = artifact.manifest
    return (
        target.engine != manifest.engine
        and target.precision == manifest.precision
        and target.precision in engine_called(target.engine, engines).rivals
    )


def engine_choice_for(
    home: Path,
    artifacts: Sequence[Artifact],
    hardware: Hardware,
    engines: Sequence[EngineSpec] = ENGINES,
    cpuinfo: Path = CPUINFO,
) -> EngineChoice:
    """The file with the speeds of these artifacts' engines, of one checkpoint in one precision."""
    key = {
        f"{one.manifest.engine} {field}": value
        for one in artifacts
        for field, value in measured_on(
            one, engine_called(one.manifest.engine, engines), hardware, cpuinfo
        ).items()
    }
    return EngineChoice(kept_files(home, artifacts[0].folder.name)[1], key)


def kept_files(home: Path, artifact: str) -> list[Path]:
    """What was measured with an artifact or compiled of it. artifact: the name of its folder."""
    # Of the checkpoint, the engine and the precision only the first may have a "-".
    names = artifact.rsplit("-", 2)
    choice = "-".join([names[0], "auto", names[-1]])
    plans = [autotune_cache_path(home, name) for name in (artifact, choice)]
    return [*plans, graph_path(home / COMPILED, artifact)]


def _loaded(
    artifacts: Sequence[Artifact],
    hardware: Hardware,
    engines: Sequence[EngineSpec],
    min_agreement_percent: float,
) -> dict[str, Engine]:
    """Without those that can't be served here."""
    loaded: dict[str, Engine] = {}
    for artifact in artifacts:
        try:
            check_agreement(artifact, min_agreement_percent)
            (loaded[artifact.manifest.engine],) = load_divided(artifact, hardware, engines)
        except (BuilderError, ImportError) as error:
            logger.warning("%s is not measured: %s", artifact.folder.name, error)
    return loaded
