"""Settings to a loaded, warm model: the artifact, its engines, the batch sizes."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Sequence
from pathlib import Path

from model_builder.artifact.confidence import read_confidence
from model_builder.artifact.manifest import Artifact, artifact_name
from model_builder.system.progress import step
from service.batching.autotune import RULES, autotune
from service.batching.autotune_cache import AutotuneCache, autotune_cache_path
from service.engines.base import Engine, Hardware
from service.engines.registry import ENGINES, EngineSpec, engine_called, load_engines
from service.imaging.pool import DecoderPool
from service.inference.artifacts import check_agreement, make_hardware, obtain_artifact
from service.inference.confidence.drift import drift_of
from service.inference.model import Model
from service.inference.speed.choice import choose_artifact
from service.inference.speed.key import measured_on
from service.observability.metrics import Metrics, ModelMetrics
from service.settings import Settings
from service.system.cpu import CPUINFO, cpu_limit, limit_blas_threads
from service.system.memory import resident_bytes, trim_memory

logger = logging.getLogger(__name__)


def make_decoder_pool(settings: Settings, metrics: Metrics) -> DecoderPool:
    return DecoderPool(
        threads=settings.limits.decode_workers or cpu_limit(),
        max_pixels=settings.limits.max_image_pixels,
        max_frames=settings.limits.max_image_frames,
        timeout_seconds=settings.limits.decode_timeout_seconds,
        observe=metrics.decode_seconds.observe,
        observe_failure=lambda reason: metrics.decoder_failures.labels(reason).inc(),
    )


def load_model(
    name: str,
    settings: Settings,
    metrics: Metrics,
    engines: Sequence[EngineSpec] = ENGINES,
) -> Model:
    """Fetches and builds what is missing, loads it and runs every batch size once.

    Its engines are divided only where batch sizes had to be measured. Its workers are not started.
    Blocks for seconds, or minutes where the weights must be fetched. Raises BuilderError.
    """
    limit_blas_threads()
    started, before_bytes = time.monotonic(), resident_bytes()
    hardware = make_hardware(settings)
    # The file is the default model's: no other checkpoint has its hash.
    given = settings.model.checkpoint_file if name == settings.model.default else None
    artifact = obtain_artifact(name, settings, hardware, checkpoint_file=given, engines=engines)
    artifact = choose_artifact(name, artifact, settings, hardware, engines)
    manifest = artifact.manifest
    check_agreement(artifact, settings.model.min_agreement_percent)
    model = warm_model(artifact, settings, hardware, metrics, engines, divided=False)
    devices = [engine.device for engine in model.engines]
    model.load_seconds = time.monotonic() - started
    trim_memory()
    # What is still allocated stays: the collector need not visit it again.
    gc.freeze()
    model.memory_bytes = max(0, resident_bytes() - before_bytes)
    metrics.load_seconds.labels(manifest.name).set(model.load_seconds)
    metrics.memory_bytes.labels(manifest.name).set(model.memory_bytes)
    metrics.queue_depth.labels(manifest.name).set_function(lambda: model.queue_depth)
    metrics.expected_wait_seconds.labels(manifest.name).set_function(lambda: model.wait_seconds)
    metrics.batches_at_once.labels(manifest.name).set_function(lambda: model.batches_at_once)
    metrics.model_info.labels(manifest.name).info(
        {
            "checkpoint": manifest.provenance.checkpoint,
            "digest": manifest.provenance.digest,
            "precision": manifest.precision,
            "engine": manifest.engine,
            "devices": ",".join(devices),
        }
    )
    logger.info(
        "%s is ready: %s on %s, batches up to %d, after %.1f s and %.0f MB more",
        manifest.name,
        manifest.precision,
        ", ".join(devices),
        model.batch_sizes.largest,
        model.load_seconds,
        model.memory_bytes / 1e6,
    )
    return model


def warm_model(
    artifact: Artifact,
    settings: Settings,
    hardware: Hardware,
    metrics: Metrics,
    engines: Sequence[EngineSpec] = ENGINES,
    *,
    calibrated: bool = True,
    divided: bool = True,
) -> Model:
    """The model with its engines warm for every batch size. Its workers are not started.

    calibrated: whether to use what `resnet calibrate` fitted, if it was. divided: whether to divide
    the engines in any case, and not only to measure batch sizes. Raises BuilderError.
    """
    manifest = artifact.manifest
    spec = engine_called(manifest.engine, engines)
    with step(f"Loading and warming up {manifest.name} in {manifest.precision}"):
        loaded = load_engines(artifact, hardware, engines)
        fitted = read_confidence(artifact.folder, manifest) if calibrated else None
        observer = ModelMetrics(metrics, manifest.name, drift_of(artifact, fitted, metrics.drift))
        edge = manifest.preprocessing.crop_size
        cached = autotune_cache_for(settings.model.home, artifact, spec, loaded, hardware)
        known = cached.read() if cached else None
        if divided:
            for engine in loaded:
                engine.divide()
        sizes = autotune(loaded, (edge, edge, 3), settings.batching.max_batch_size, known)
        if cached and settings.batching.max_batch_size is None and sizes is not known:
            cached.write(sizes)
        return Model(
            artifact,
            loaded,
            observer,
            batch_sizes=sizes,
            queue_limit=settings.batching.queue_limit,
            wait_limit_seconds=settings.batching.queue_wait_limit_seconds,
            fitted=fitted,
        )


def autotune_cache_for(
    home: Path,
    artifact: Artifact,
    spec: EngineSpec,
    engines: Sequence[Engine],
    hardware: Hardware,
    cpuinfo: Path = CPUINFO,
) -> AutotuneCache | None:
    """The artifact's batch sizes on this machine; None for GPUs, which are not identified."""
    if not all(engine.device.startswith("cpu") for engine in engines):
        return None
    manifest = artifact.manifest
    key = measured_on(artifact, spec, hardware, cpuinfo) | {"rules": RULES}
    name = artifact_name(manifest.name, manifest.engine, manifest.precision)
    return AutotuneCache(autotune_cache_path(home, name), key)
