"""gRPC beside HTTP: the same runtime, the same event loop, a listener of its own."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from grpc import aio

from service.auth.access import Access
from service.fairness.answer_budget import AnswerBudget
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
# A worker that is started again is no reason to close the listener.
UNREADY_SECONDS = 1.0
# Of the calls that are open then.
UNREADY_GRACE_SECONDS = 5.0


class GrpcServer:
    """access, certificate, pacer, answers: the process's own, which HTTP uses too."""

    def __init__(
        self,
        runtime: Runtime,
        access: Access,
        spans: Spans | None = None,
        certificate: Certificate | None = None,
        *,
        pacer: Pacer,
        answers: AnswerBudget,
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
        self._methods = Methods(
            runtime, access, self.arrivals, spans, pacer=pacer, answers=answers, calls=MAX_CALLS
        )
        self._served = _methods_of(inference, streams=places)
        self._server: aio.Server | None = None
        self._port = 0
        self._failed = False

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        """Gives the port, which is open while the runtime is ready, and while it drains.

        A client or a balancer that finds a port closed asks another replica; what has the status
        UNAVAILABLE nginx passes on. Ends with the runtime: from `begin_stop` on no call is
        accepted. Raises OSError where it can't listen.
        """
        with self._reserved() as reserved:
            self._port = reserved.getsockname()[1]
            following = asyncio.ensure_future(self._follow_runtime(reserved))
            try:
                yield self._port
            finally:
                self._runtime.begin_stop()
                await following

    def _reserved(self) -> socket.socket:
        """A socket with the port, which nobody listens on. Raises OSError."""
        host, wanted = self._runtime.settings.http.host, self._runtime.settings.grpc.grpc_port or 0
        reserved = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        try:
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._runtime.settings.http.workers != 1:
                reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            reserved.bind((host, wanted))
        except OSError as error:
            reserved.close()
            raise OSError(f"Can't listen on {host}:{wanted} for gRPC: {error}") from None
        return reserved

    async def _follow_runtime(self, reserved: socket.socket) -> None:
        """Opens and closes the listener until the runtime is to stop; then open calls finish within
        the shutdown timeout.
        """
        ready_at = time.monotonic()
        while not self._runtime.stopping:
            now = time.monotonic()
            if self._runtime.health().ready:
                ready_at = now
                if self._server is None:
                    reserved.close()
                    await self._open()
            elif (
                self._server is not None
                and not self._runtime.repository.draining
                and now - ready_at > UNREADY_SECONDS
            ):
                logger.warning("gRPC's listener is closed until the service is ready again")
                await self._close(UNREADY_GRACE_SECONDS)
            await asyncio.sleep(STOP_POLL_SECONDS)
        self._methods.stopping.set()
        await self._close(self._runtime.stop_seconds_left)

    async def _open(self) -> None:
        """Where it can't listen it logs that once, and is to be called again."""
        settings = self._runtime.settings
        server = aio.server(
            options=options_of(settings, self._max_connections),
            maximum_concurrent_rpcs=MAX_OPEN_CALLS,
        )
        server.add_generic_rpc_handlers(tuple(self._methods.handlers(self._served)))
        host = settings.http.host
        address = f"[{host}]:{self._port}" if ":" in host else f"{host}:{self._port}"
        try:
            if self._certificate is None:
                server.add_insecure_port(address)
            else:
                server.add_secure_port(address, credentials_of(self._certificate))
        except RuntimeError as error:
            if not self._failed:
                logger.error("Can't listen on %s for gRPC: %s", address, error)
            self._failed = True
            return
        self._failed = False
        await server.start()
        self._server = server
        logger.info("gRPC listens on port %d", self._port)

    async def _close(self, grace_seconds: float) -> None:
        """No new call is accepted, and open ones are cut off after so long."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop(grace_seconds)


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
