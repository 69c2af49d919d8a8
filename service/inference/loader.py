"""Settings to a loaded, warm model: the artifact, the engines on their devices, the batcher."""

from __future__ import annotations

import gc
import logging
import os
import time
from pathlib import Path

from model_builder.artifact.manifest import Artifact
from model_builder.build.cache import ArtifactCache
from model_builder.checkpoints.download.config import DownloadConfig
from model_builder.errors import CalibrationFailed
from model_builder.system.progress import step
from service.batching.autotune import autotune
from service.batching.autotune_cache import autotune_cache
from service.engines.base import Hardware, choose_precision, load_engines
from service.imaging.pool import DecoderPool
from service.inference.model import Model
from service.observability.metrics import Metrics, ModelMetrics
from service.settings import Settings
from service.system.cpu import cpu_limit, limit_blas_threads
from service.system.memory import trim_memory

logger = logging.getLogger(__name__)


def make_decoder_pool(settings: Settings, metrics: Metrics) -> DecoderPool:
    return DecoderPool(
        threads=settings.limits.decode_workers or cpu_limit(),
        max_pixels=settings.limits.max_image_pixels,
        max_frames=settings.limits.max_image_frames,
        timeout_seconds=settings.limits.decode_timeout_seconds,
        observe=metrics.decode_seconds.observe,
    )


def make_hardware(settings: Settings) -> Hardware:
    return Hardware(
        device=settings.model.device,
        cpu_threads=settings.model.cpu_threads or cpu_limit(),
    )


def make_artifact_cache(settings: Settings) -> ArtifactCache:
    fetching = DownloadConfig(
        settings.model.mirror, settings.model.offline, settings.model.fetch_timeout_seconds
    )
    return ArtifactCache(settings.model.home, fetching=fetching)


def check_names(settings: Settings) -> None:
    """Raises UnknownModel for a name that is no depth, checkpoint, import or artifact folder."""
    cache = make_artifact_cache(settings)
    for name in settings.model.names:
        cache.check_name(name)


def load_model(name: str, settings: Settings, metrics: Metrics) -> Model:
    """Fetches and builds what is missing, loads it and runs every batch size once.

    The model's workers are not started. Blocks for seconds, or minutes where the weights must be
    fetched. Raises BuilderError.
    """
    limit_blas_threads()
    started, resident_bytes = time.monotonic(), _resident_bytes()
    hardware = make_hardware(settings)
    precision = choose_precision(settings.model.precision, hardware)
    # The file is the default model's: no other checkpoint has its hash.
    given = settings.model.checkpoint_file if name == settings.model.default else None
    artifact = make_artifact_cache(settings).obtain(name, precision, checkpoint_file=given)
    manifest = artifact.manifest
    check_agreement(artifact, settings.model.min_agreement_percent)
    with step(f"Loading and warming up {manifest.name} in {manifest.precision}"):
        engines = load_engines(artifact, hardware)
        observer = ModelMetrics(metrics, manifest.name)
        edge = manifest.preprocessing.crop_size
        plans = autotune_cache(settings.model.home, artifact, engines, hardware)
        known = plans.read() if plans else None
        plan = autotune(engines, (edge, edge, 3), settings.batching.max_batch_size, known)
        if plans and settings.batching.max_batch_size is None and plan is not known:
            plans.write(plan)
        model = Model(
            artifact,
            engines,
            observer,
            batch_sizes=plan,
            queue_limit=settings.batching.queue_limit,
            wait_limit_seconds=settings.batching.queue_wait_limit_seconds,
        )
    model.load_seconds = time.monotonic() - started
    trim_memory()
    # What is still there stays, and need not be looked at again.
    gc.freeze()
    model.memory_bytes = max(0, _resident_bytes() - resident_bytes)
    metrics.load_seconds.labels(manifest.name).set(model.load_seconds)
    metrics.memory_bytes.labels(manifest.name).set(model.memory_bytes)
    metrics.queue_depth.labels(manifest.name).set_function(lambda: model.queue_depth)
    metrics.expected_wait_seconds.labels(manifest.name).set_function(lambda: model.wait_seconds)
    metrics.model_info.labels(manifest.name).info(
        {
            "checkpoint": manifest.provenance.checkpoint,
            "digest": manifest.provenance.digest,
            "precision": manifest.precision,
            "engine": manifest.engine,
            "devices": ",".join(engine.device for engine in engines),
        }
    )
    logger.info(
        "%s is ready: %s on %s, batches up to %d, after %.1f s and %.0f MB more",
        manifest.name,
        manifest.precision,
        ", ".join(engine.device for engine in engines),
        plan.largest,
        model.load_seconds,
        model.memory_bytes / 1e6,
    )
    return model


def check_agreement(artifact: Artifact, min_percent: float) -> None:
    """Raises CalibrationFailed for an int8 artifact that too often differs from float32."""
    if artifact.manifest.precision != "int8":
        return
    if not artifact.report:
        raise CalibrationFailed(
            f"{artifact.folder} has no report of how it agrees with float32: quantize it again."
        )
    for one in artifact.report:
        if one.agreement_percent < min_percent:
            raise CalibrationFailed(
                f"{artifact.manifest.name} in int8 names the class that float32 names for "
                f"{one.agreement_percent:g} % of {one.count} images ({one.images}); at least "
                f"{min_percent:g} % are required. Calibrate it on images like yours (resnet "
                "quantize --calibration FOLDER), or serve another precision."
            )


def _resident_bytes(statm: Path = Path("/proc/self/statm")) -> int:
    """Of this process; 0 on a system that does not say so there."""
    try:
        pages = int(statm.read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
