"""Everything that serves, as one object: started, watched, drained and stopped together.

The HTTP application, another protocol's server, a Ray replica and tests use it alike.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Sequence

from service.engines.registry import ENGINES, EngineSpec
from service.errors import Unavailable
from service.fairness.byte_budget import ByteBudget
from service.inference.loader import load_model, make_decoder_pool
from service.inference.model import Model
from service.inference.repository import OK, Health, ModelRepository
from service.inference.service import InferenceService
from service.inference.speed.divider import Divider
from service.inference.watchdog import Watchdog
from service.observability.metrics import Metrics
from service.settings import LimitsSettings, Settings
from service.system.memory import memory_limit

logger = logging.getLogger(__name__)

# The default of RESNET_MAX_PENDING_BYTES is this part of the memory limit. There is room for two of
# the largest bodies in any case: one client can't have all of it.
PENDING_PARTS = 8
PENDING_BODIES = 2
# How long a thread waits for the interpreter's lock before it asks for it; by default 5 ms. An
# image goes from thread to thread some ten times, while the event loop may be busy.
SWITCH_SECONDS = 0.0005


class Runtime:
    """The models, the decoders, the watchdog, and InferenceService in front of them.

    names: models to load, the default first; by default the settings'. engines: the table of
    engines. load: loads a model by its name in place of the loader; tests hand in quicker ones.
    divide: whether to divide the models' engines once they are loaded: for more than a few images.
    on_ready, on_failure: called from the loading thread, the latter with the reason.
    on_lost: called from the watchdog's thread, with the reason, when only a new process helps.
    Raises AmbiguousName where two names in the settings mean one model.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        names: Sequence[str] | None = None,
        load: Callable[[str], Model] | None = None,
        engines: Sequence[EngineSpec] = ENGINES,
        metrics: Metrics | None = None,
        divide: bool = True,
        on_ready: Callable[[], None] = lambda: None,
        on_failure: Callable[[str], None] = lambda _: None,
        on_lost: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.settings = settings
        self.metrics = metrics or Metrics()
        self._engines = engines
        self._decoder = make_decoder_pool(settings, self.metrics)
        self._divider = Divider() if divide else None
        self._on_ready = on_ready
        self.repository = ModelRepository(
            settings.model.names if names is None else names,
            load or self._load,
            served_name=settings.model.served_name,
            on_ready=self._begin,
            on_failure=on_failure,
        )
        budget = ByteBudget(max_pending_bytes(settings.limits))
        self.service = InferenceService(
            self.repository,
            self._decoder,
            budget,
            max_request_pixels=settings.limits.max_request_pixels,
        )
        self.metrics.pending_bytes.set_function(lambda: budget.used_bytes)
        self.metrics.pending_bytes_limit.set(budget.limit_bytes)
        self.metrics.ready.set_function(lambda: float(self.health().ready))
        self.metrics.decode_queue_depth.set_function(lambda: self._decoder.waiting)
        self._watchdog = Watchdog(
            self.repository,
            check_others=self._check_others,
            self_test_interval_seconds=settings.observability.self_test_interval_seconds,
            exit_seconds=settings.observability.unhealthy_exit_seconds,
            on_lost=on_lost,
            held_bytes=lambda: budget.used_bytes,
        )
        self._stop_by: float | None = None

    def start(self) -> None:
        """Begins to load the models, and returns at once."""
        sys.setswitchinterval(SWITCH_SECONDS)
        self.repository.start()
        self._watchdog.start()

    def health(self) -> Health:
        return Health({**self.repository.health().checks, "decoders": self._decoder.problem or OK})

    def check_any_room(
        self, *, deadline: float, client: str | None, body_bytes: int | None = 0
    ) -> None:
        """That a model has room for an image: before a body is read that names the model.

        client, body_bytes: as for `InferenceService.check_room`. With several models it is refused
        where none has room. Raises Unavailable or DeadlineExceeded.
        """
        refusal: Unavailable | None = None
        for model in self.repository.models:
            try:
                model.admission.check(1, deadline=deadline, client=client, body_bytes=body_bytes)
                return
            except Unavailable as error:
                refusal = error
        if refusal is not None:
            raise refusal

    def drain(self) -> None:
        """Reports not ready from now on; requests are still answered."""
        self.repository.drain()

    def begin_stop(self) -> None:
        """Starts the clock of the shutdown timeout; `stop` takes what is left of it."""
        if self._stop_by is None:
            self._stop_by = time.monotonic() + self.settings.http.shutdown_timeout_seconds

    @property
    def stopping(self) -> bool:
        """Whether `begin_stop` was called."""
        return self._stop_by is not None

    @property
    def stop_seconds_left(self) -> float:
        """What is left of the shutdown timeout, 0 or more; all of it before `begin_stop`."""
        if self._stop_by is None:
            return self.settings.http.shutdown_timeout_seconds
        return max(0.0, self._stop_by - time.monotonic())

    def stop(self) -> None:
        """Finishes what is queued and ends every thread and process; blocks for so long at most."""
        self.begin_stop()
        self._watchdog.stop()
        self.repository.close(self.stop_seconds_left)
        self._decoder.close()
        if self._divider is not None and not self._divider.stop(self.stop_seconds_left):
            logger.warning("Dividing the CPU did not end in time")

    def _begin(self) -> None:
        """Every model is loaded."""
        self._on_ready()
        # Not before: it takes CPU time from the loading of other models.
        if self._divider is not None:
            self._divider.start(self.repository.models)

    def _check_others(self) -> None:
        self._decoder.check_health()
        if self._divider is not None:
            self._divider.check()

    def _load(self, name: str) -> Model:
        model = load_model(name, self.settings, self.metrics, self._engines)
        model.start()
        # Not before: it takes a CPU from what the loader measures and the model runs.
        self._decoder.start()
        return model


def max_pending_bytes(limits: LimitsSettings) -> int:
    """The setting, or its default on this machine."""
    wanted = limits.max_pending_bytes or memory_limit() // PENDING_PARTS
    return max(wanted, PENDING_BODIES * limits.max_body_bytes)
