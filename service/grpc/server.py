"""gRPC beside HTTP: the same runtime, the same event loop, a listener of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from grpc import aio

from service.auth.access import Access
from service.fairness.pacing import Pacer
from service.grpc.arrivals import Arrivals, arrivals_of
from service.grpc.credentials import credentials_of
from service.grpc.inference import Inference
from service.grpc.methods import Method, Methods
from service.grpc.options import MAX_CALLS, MAX_OPEN_CALLS, options_of
from service.grpc.services.health import Health
from service.grpc.services.open_inference import OpenInference
from service.grpc.services.reflection import SERVICE as REFLECTION
from service.grpc.services.reflection import Reflection
from service.grpc.services.serving import Serving
from service.grpc.services.streams import InferenceStreams
from service.inference.runtime import Runtime
from service.observability.tracing import Spans
from service.system.certificate import Certificate

logger = logging.getLogger(__name__)

OPEN_INFERENCE = "inference.GRPCInferenceService"
PREDICTION = "tensorflow.serving.PredictionService"
MODEL = "tensorflow.serving.ModelService"
HEALTH = "grpc.health.v1.Health"
STOP_POLL_SECONDS = 0.1


class GrpcServer:
    """access, certificate, pacer: the process's own, which HTTP uses too."""

    def __init__(
        self,
        runtime: Runtime,
        access: Access,
        spans: Spans | None = None,
        certificate: Certificate | None = None,
        *,
        pacer: Pacer,
        max_connections: int,
    ) -> None:
        self._runtime = runtime
        self._max_connections = max_connections
        self._certificate = certificate
        places = arrivals_of(
            runtime.service.budget.limit_bytes, runtime.settings.limits.max_body_bytes
        )
        inference = Inference(runtime, access, pacer, spans)
        self.arrivals = Arrivals(places)
        self._methods = Methods(runtime, access, self.arrivals, spans, pacer=pacer, calls=MAX_CALLS)
        self._served = _methods_of(inference, streams=places)
        self._server: aio.Server | None = None

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        """Gives the port. Ends with the runtime: from `begin_stop` on no call is accepted.

        Raises OSError where it can't listen.
        """
        port = await self._start()
        stopping = asyncio.ensure_future(self._stop_with_runtime())
        try:
            yield port
        finally:
            self._runtime.begin_stop()
            await stopping

    async def _start(self) -> int:
        settings = self._runtime.settings
        host, wanted = settings.http.host, settings.grpc.grpc_port
        server = aio.server(
            options=options_of(settings, self._max_connections),
            maximum_concurrent_rpcs=MAX_OPEN_CALLS,
        )
        server.add_generic_rpc_handlers(tuple(self._methods.handlers(self._served)))
        address = f"[{host}]:{wanted}" if ":" in host else f"{host}:{wanted}"
        try:
            if self._certificate is None:
                port = server.add_insecure_port(address)
            else:
                port = server.add_secure_port(address, credentials_of(self._certificate))
        except RuntimeError as error:
            raise OSError(f"Can't listen on {address} for gRPC: {error}") from None
        await server.start()
        self._server = server
        logger.info("gRPC listens on port %d", port)
        return int(port)

    async def _stop_with_runtime(self) -> None:
        """Lets open calls finish within the shutdown timeout, once the runtime is to stop."""
        while not self._runtime.stopping:
            await asyncio.sleep(STOP_POLL_SECONDS)
        assert self._server is not None
        self._methods.stopping.set()
        await self._server.stop(self._runtime.stop_seconds_left)


def _methods_of(inference: Inference, *, streams: int) -> list[Method]:
    """streams: of inference, open at once."""
    v2 = OpenInference(inference)
    streaming = InferenceStreams(inference, v2, streams=streams)
    serving = Serving(inference)
    served = [
        Method(OPEN_INFERENCE, "ServerLive", v2.server_live, monitoring=True),
        Method(OPEN_INFERENCE, "ServerReady", v2.server_ready, monitoring=True),
        Method(OPEN_INFERENCE, "ModelReady", v2.model_ready),
        Method(OPEN_INFERENCE, "ServerMetadata", v2.server_metadata),
        Method(OPEN_INFERENCE, "ModelMetadata", v2.model_metadata),
        Method(OPEN_INFERENCE, "ModelConfig", v2.model_config),
        Method(OPEN_INFERENCE, "ModelInfer", v2.model_infer),
        Method(OPEN_INFERENCE, "ModelStreamInfer", streaming.handle, stream=True),
        Method(OPEN_INFERENCE, "ModelStatistics", v2.model_statistics),
        Method(OPEN_INFERENCE, "RepositoryIndex", v2.repository_index),
        Method(PREDICTION, "Predict", serving.predict),
        Method(PREDICTION, "Classify", serving.classify),
        Method(PREDICTION, "GetModelMetadata", serving.get_model_metadata),
        Method(MODEL, "GetModelStatus", serving.get_model_status),
    ]
    names = frozenset(one.service for one in served)
    health = Health(inference.runtime, names)
    reflection = Reflection({*names, HEALTH})
    return [
        *served,
        Method(HEALTH, "Check", health.check, monitoring=True),
        Method(HEALTH, "Watch", health.watch, stream=True, monitoring=True),
        Method(REFLECTION, "ServerReflectionInfo", reflection.handle, stream=True, monitoring=True),
    ]
