"""The metrics of the service."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Literal, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
)

from service.observability.drift import DriftMetrics, ModelDrift
from service.version import __version__

logger = logging.getLogger(__name__)

DecoderFailure = Literal["start", "ended", "timeout"]
SelfTestOutcome = Literal["right", "wrong", "failed", "late"]

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 2, 3, 5, 10, 30)
DECODE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
BATCH_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256)


class Metrics:
    """Every metric, in its own registry.

    Labels come from closed sets only: route templates, statuses, models, reasons.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.requests = Counter(
            "resnet_http_requests",
            "Requests answered.",
            ["route", "method", "status"],
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "resnet_http_request_duration_seconds",
            "From the request's first byte to the answer's last.",
            ["route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.grpc_requests = Counter(
            "resnet_grpc_requests",
            "Calls that ended, by the status's name; of a stream the call.",
            ["method", "status"],
            registry=self.registry,
        )
        self.grpc_request_seconds = Histogram(
            "resnet_grpc_request_duration_seconds",
            "From the call's metadata to its status.",
            ["method"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.connections = Gauge(
            "resnet_connections", "Connections that are open now.", registry=self.registry
        )
        self.connections_refused = Counter(
            "resnet_connections_refused",
            "Connections beyond a limit; a health probe is answered, everything else refused.",
            ["reason"],
            registry=self.registry,
        )
        self.connections_timed_out = Counter(
            "resnet_connections_timed_out",
            "Connections closed because a client took too long to send or to read.",
            ["phase"],
            registry=self.registry,
        )
        self.requests_paced = Counter(
            "resnet_requests_paced",
            "Requests that waited: their client kept the event loop busy while others were served.",
            registry=self.registry,
        )
        self.decode_seconds = Histogram(
            "resnet_decode_seconds",
            "Decoding, resizing and cropping one image.",
            buckets=DECODE_SECONDS,
            registry=self.registry,
        )
        self.decode_queue_depth = Gauge(
            "resnet_decode_queue_depth",
            "Images that wait for a decoding process now.",
            registry=self.registry,
        )
        self.decoder_failures = Counter(
            "resnet_decoder_failures",
            "Decoding processes that could not be started, ended with an image, or took too long.",
            ["reason"],
            registry=self.registry,
        )
        for reason in get_args(DecoderFailure):
            self.decoder_failures.labels(reason)
        self.queue_seconds = Histogram(
            "resnet_queue_wait_seconds",
            "One image's wait for the device.",
            ["model"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.inference_seconds = Histogram(
            "resnet_inference_seconds",
            "One batch on the device, the head included.",
            ["model"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.batch_size = Histogram(
            "resnet_batch_size",
            "Images in a batch, padding not counted.",
            ["model"],
            buckets=BATCH_SIZES,
            registry=self.registry,
        )
        self.queue_depth = Gauge(
            "resnet_queue_depth",
            "Images that wait for the device.",
            ["model"],
            registry=self.registry,
        )
        self.expected_wait_seconds = Gauge(
            "resnet_queue_expected_wait_seconds",
            "Expected time until every image that waits now has its result.",
            ["model"],
            registry=self.registry,
        )
        self.images = Counter(
            "resnet_images",
            "Images by result: ok, failed or dropped.",
            ["model", "result"],
            registry=self.registry,
        )
        self.pending_bytes = Gauge(
            "resnet_pending_bytes",
            "Bytes of bodies and decoded images that requests hold now.",
            registry=self.registry,
        )
        self.pending_bytes_limit = Gauge(
            "resnet_pending_bytes_limit", "How many they may hold.", registry=self.registry
        )
        self.rejections = Counter(
            "resnet_rejections",
            "Requests refused, by the error's code; client_share: queue_full or overloaded for "
            "this client alone; cancelled: the client disconnected.",
            ["reason"],
            registry=self.registry,
        )
        self.self_tests = Counter(
            "resnet_canaries",
            "Self-tests by result: right, wrong, failed or late.",
            ["model", "result"],
            registry=self.registry,
        )
        self.worker_failures = Counter(
            "resnet_worker_failures",
            "Workers that died, or were stuck in a batch.",
            ["model", "reason"],
            registry=self.registry,
        )
        self.load_seconds = Gauge(
            "resnet_model_load_seconds",
            "From the start of loading to warm; for the first model with the framework's import.",
            ["model"],
            registry=self.registry,
        )
        self.memory_bytes = Gauge(
            "resnet_model_memory_bytes",
            "Resident memory that the process gained while the model was loaded.",
            ["model"],
            registry=self.registry,
        )
        self.batches_at_once = Gauge(
            "resnet_batches_at_once",
            "Batches that run at the same time: 1 until the CPU is divided among them.",
            ["model"],
            registry=self.registry,
        )
        self.ready = Gauge(
            "resnet_ready", "1 when the service takes images.", registry=self.registry
        )
        self.drift = DriftMetrics(self.registry)
        self.model_info = Info("resnet_model", "What is served.", ["model"], registry=self.registry)
        Info("resnet_build", "This version.", registry=self.registry).info({"version": __version__})


class ModelMetrics:
    """The metrics of one model, as a batcher, a self-test and an assessor report them."""

    def __init__(self, metrics: Metrics, model: str, drift: ModelDrift | None = None) -> None:
        self.assessed = (drift or ModelDrift(metrics.drift, model)).observe
        self._queue_seconds = metrics.queue_seconds.labels(model)
        self._inference_seconds = metrics.inference_seconds.labels(model)
        self._batch_size = metrics.batch_size.labels(model)
        self._images = {
            result: metrics.images.labels(model, result) for result in ("ok", "failed", "dropped")
        }
        self._self_tests = {
            outcome: metrics.self_tests.labels(model, outcome)
            for outcome in get_args(SelfTestOutcome)
        }
        self._worker_failures = {
            reason: metrics.worker_failures.labels(model, reason) for reason in ("died", "stuck")
        }

    def batch_done(
        self, queue_seconds: Sequence[float], inference_seconds: float, *, failed: int = 0
    ) -> None:
        for seconds in queue_seconds:
            self._queue_seconds.observe(seconds)
        self._inference_seconds.observe(inference_seconds)
        self._batch_size.observe(len(queue_seconds) + failed)
        self._images["ok"].inc(len(queue_seconds))
        self._images["failed"].inc(failed)

    def batch_failed(self, images: int) -> None:
        self._batch_size.observe(images)
        self._images["failed"].inc(images)

    def dropped(self, reason: str) -> None:
        logger.debug("An image was dropped before it was computed: %s", reason)
        self._images["dropped"].inc()

    def worker_failed(self, reason: str) -> None:
        self._worker_failures[reason].inc()

    def self_test_done(self, outcome: SelfTestOutcome) -> None:
        self._self_tests[outcome].inc()
