"""The artifact for a name in the settings: found, built, or read from a given folder."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from model_builder.artifact.manifest import Artifact
from model_builder.build.cache import ArtifactCache
from model_builder.build.subprocess import check_buildable
from model_builder.checkpoints.download.config import DownloadConfig
from model_builder.errors import BuilderError, CalibrationFailed
from model_builder.exporters.base import BuildTarget
from service.engines.base import Hardware
from service.engines.registry import (
    ENGINES,
    EngineSpec,
    candidates,
    choose_precision,
    engine_called,
    engine_for,
    find_device,
)
from service.settings import Settings
from service.system.cpu import cpu_limit

logger = logging.getLogger(__name__)

# The folder of `Hardware.cache` in RESNET_HOME.
COMPILED = "compiled"


def make_hardware(settings: Settings, engines: Sequence[EngineSpec] = ENGINES) -> Hardware:
    """The device that the settings name or that is found, and the CPUs of this process."""
    return Hardware(
        device=find_device(settings.model.device, engines),
        cpu_threads=cpus_of(settings),
        cache=settings.model.home / COMPILED,
    )


def cpus_of(settings: Settings) -> int:
    """The CPUs of this process, as set or found."""
    return settings.model.cpu_threads or cpu_limit()


def make_artifact_cache(settings: Settings) -> ArtifactCache:
    fetching = DownloadConfig(
        settings.model.mirror, settings.model.offline, settings.model.fetch_timeout_seconds
    )
    return ArtifactCache(settings.model.home, fetching=fetching)


def check_names(settings: Settings) -> None:
    """Raises UnknownModel for a name that is no depth, checkpoint, import or artifact folder, and
    InvalidArtifact for an engine that this version does not have.
    """
    if settings.model.engine != "auto":
        engine_called(settings.model.engine)
    cache = make_artifact_cache(settings)
    for name in settings.model.names:
        cache.check_name(name)


def obtain_artifact(
    name: str,
    settings: Settings,
    hardware: Hardware,
    *,
    checkpoint_file: Path | None = None,
    engines: Sequence[EngineSpec] = ENGINES,
) -> Artifact:
    """The artifact in the folder that `name` is the path of, or the one of that checkpoint.

    The engine and the precision of a given folder are its own. Otherwise the settings decide;
    downloads and builds what is missing. Where that fails, or there is nothing to build with, an
    artifact for another engine is taken that costs no accuracy. Raises BuilderError.
    """
    cache = make_artifact_cache(settings)
    wanted = settings.model.precision
    if given := cache.given_artifact(name):
        precision = given.manifest.precision
        if wanted not in ("auto", "auto-int8", precision):
            raise BuilderError(f"{name} is an artifact in {precision}. Received: {wanted}")
        return given
    target, *others = possible_targets(settings, hardware, engines)
    is_there = cache.has(name, target)
    present = [] if is_there else [one for one in others if cache.has(name, one)]
    try:
        if present:
            logger.info(
                "%s has an artifact for %s in %s. The one for %s in %s is built once.",
                *(name, present[0].engine, present[0].precision, target.engine, target.precision),
            )
        if not is_there:
            check_buildable(name)
        return cache.obtain(name, target, checkpoint_file=checkpoint_file)
    except BuilderError as error:
        # As in an image made with an earlier version, which has no network to build with.
        for other in present:
            if artifact := cache.present(name, other):
                logger.warning(
                    "%s: %s Its artifact for %s in %s is served instead.",
                    *(name, error, other.engine, other.precision),
                )
                return artifact
        raise


def possible_targets(
    settings: Settings, hardware: Hardware, engines: Sequence[EngineSpec] = ENGINES
) -> tuple[BuildTarget, ...]:
    """What the settings allow on this hardware, the preferred engine and precision first.

    Where the precision is automatic, also the other engines' and float32, which cost no accuracy.
    Raises BuilderError.
    """
    engine, wanted = settings.model.engine, settings.model.precision
    precisions = [choose_precision(wanted, hardware, engines, engine)]
    if wanted == "auto-int8":
        precisions.append(choose_precision("auto", hardware, engines, engine))
    if wanted in ("auto", "auto-int8"):
        precisions.append("float32")
    # Says what is wrong where no engine has it.
    first = engine_for(precisions[0], hardware, engines, engine).target(precisions[0])
    targets = [
        spec.target(precision)
        for precision in precisions
        for spec in candidates(engine, hardware, engines)
        if precision in spec.precisions
    ]
    return tuple(dict.fromkeys([first, *targets]))


def check_agreement(artifact: Artifact, min_percent: float) -> None:
    """Raises CalibrationFailed for an int8 artifact that too often disagrees with float32.

    Only the build's own measurement counts: images of a user's may be of no class at all.
    """
    if artifact.manifest.precision != "int8":
        return
    built = [one for one in artifact.report if one.origin == "build"]
    if not built:
        raise CalibrationFailed(
            f"{artifact.folder} has no report of its agreement with float32: quantize it again."
        )
    for one in built:
        if one.agreement_percent < min_percent:
            raise CalibrationFailed(
                f"{artifact.manifest.name} in int8 names the class that float32 names for "
                f"{one.agreement_percent:g} % of {one.count} images ({one.images}); at least "
                f"{min_percent:g} % are required. Calibrate it on images like yours (resnet "
                "quantize --calibration FOLDER), or serve another precision."
            )
