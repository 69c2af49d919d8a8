"""The service as an application of Ray Serve: each replica is the whole service.

Needs the extra `ray`. `application` is a builder as Ray's configuration files name it:
`import_path: service.integrations.ray_serve:application`, with `args` of `Deployment`'s fields and
the settings' flat names.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields
from typing import Any

from fastapi import FastAPI
from ray import serve
from ray.serve.config import AutoscalingContext

from service.http.app import app_of, configure_process
from service.inference.runtime import Runtime
from service.integrations.ray_metrics import RayMetrics
from service.settings import Settings
from service.workers.loading import Lifespan, Loading, wrap_lifespan

WAIT = "wait_seconds"
HEALTH_PERIOD_SECONDS, HEALTH_TIMEOUT_SECONDS = 5.0, 10.0
# Of a shutdown, beyond the service's own limit.
SPARE_SECONDS = 5.0
# An image's expected wait above which replicas are added, and the part of it below which one is
# taken away. As deploy/kubernetes/scaling.
MAX_WAIT_SECONDS, LOW_PART = 0.1, 0.25


class Unhealthy(Exception):
    """Only a new replica helps; Ray starts one."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """How Ray deploys the service.

    num_replicas: without autoscaling. max_replicas: with it, from num_replicas on, by the queue's
    wait. num_cpus, num_gpus: of each replica. settings: by their flat names.
    """

    num_replicas: int = 1
    max_replicas: int | None = None
    num_cpus: float = 2
    num_gpus: float = 0
    settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Deployment:
        """From one flat mapping, as a configuration file has it."""
        own = {one.name for one in fields(cls)} - {"settings"}
        settings = {name: value for name, value in given.items() if name not in own}
        return cls(**{name: given[name] for name in own & given.keys()}, settings=settings)

    def options(self, settings: Settings) -> dict[str, Any]:
        """Of `serve.deployment`.

        The service itself refuses what it has no room for, with the seconds until it has; a lower
        limit of Ray's would keep batches small.
        """
        http = settings.http
        found: dict[str, Any] = {
            "max_ongoing_requests": settings.batching.queue_limit,
            "graceful_shutdown_timeout_s": http.shutdown_timeout_seconds + SPARE_SECONDS,
            "health_check_period_s": HEALTH_PERIOD_SECONDS,
            "health_check_timeout_s": HEALTH_TIMEOUT_SECONDS,
            "ray_actor_options": {"num_cpus": self.num_cpus, "num_gpus": self.num_gpus},
        }
        if self.max_replicas is None:
            return {**found, "num_replicas": self.num_replicas}
        scaling = {
            "min_replicas": self.num_replicas,
            "max_replicas": self.max_replicas,
            "policy": {"policy_function": f"{__name__}:scale_on_wait"},
        }
        return {**found, "autoscaling_config": scaling}


@serve.deployment(name="resnet")
@serve.ingress()
class Replica:
    """The service in a replica. It is running once its models are loaded."""

    def __init__(self, num_cpus: float, given: Mapping[str, Any]) -> None:
        """num_cpus: for threads, where the settings state none. given: settings by flat names.

        Ray counts CPUs and does not limit a process to them.
        """
        whole = max(1, int(num_cpus))
        self._settings = Settings.of(**{"cpu_threads": whole, "decode_workers": whole, **given})
        self._lost: str | None = None

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Called in the replica, after the constructor."""
        configure_process(self._settings)
        loading = Loading()
        runtime = Runtime(
            self._settings,
            on_ready=loading.succeed,
            on_failure=loading.fail,
            on_lost=self._lose,
        )
        self._runtime = runtime
        app = app_of(runtime)

        @asynccontextmanager
        async def serving(started: Lifespan) -> AsyncIterator[None]:
            async with started, RayMetrics(runtime.metrics).exporting():
                await loading.wait()
                yield

        wrap_lifespan(app, serving)
        return app

    async def check_health(self) -> None:
        """Ray replaces the replica where this raises, as a process that ends with status 4."""
        if self._lost is not None:
            raise Unhealthy(self._lost)

    async def record_autoscaling_stats(self) -> dict[str, float]:
        """For `scale_on_wait`: the longest expected wait of the models."""
        waits = [model.wait_seconds for model in self._runtime.repository.models]
        return {WAIT: max(waits, default=0.0)}

    def _lose(self, reason: str) -> None:
        self._lost = reason


def scale_on_wait(context: AutoscalingContext) -> tuple[int, dict[str, Any]]:
    """How many replicas there are to be, by the mean of their expected waits, and no state.

    Called by Ray's controller. Replicas are added in proportion to the wait, at most twice as many
    at once, and taken away one by one.
    """
    waits = (context.aggregated_metrics or {}).get(WAIT, {})
    running = max(1, context.current_num_replicas)
    wanted = running
    if waits:
        mean = sum(waits.values()) / len(waits)
        if mean > MAX_WAIT_SECONDS:
            wanted = min(2 * running, running + max(1, round(running * mean / MAX_WAIT_SECONDS)))
        elif mean < LOW_PART * MAX_WAIT_SECONDS:
            wanted = running - 1
    lowest, highest = context.capacity_adjusted_min_replicas, context.capacity_adjusted_max_replicas
    return max(lowest, min(highest, wanted)), {}


def application(args: Mapping[str, Any]) -> serve.Application:
    """Ray's application of the service. args: of `Deployment.of`.

    Raises TypeError for a name that is neither a field of Deployment nor a setting, or pydantic's
    ValidationError.
    """
    deployment = Deployment.of(args)
    options = deployment.options(Settings.of(**deployment.settings))
    bound: serve.Application = Replica.options(**options).bind(  # type: ignore[attr-defined]
        deployment.num_cpus, dict(deployment.settings)
    )
    return bound
