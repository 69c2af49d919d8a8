"""The models of this process by name: loading, ready or failed, and closed at the end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from model_builder.errors import BuilderError
from service.errors import ModelNotFound, ModelNotReady
from service.inference.model import Model

logger = logging.getLogger(__name__)


class ModelRepository:
    """Loads its models in a thread, so that the service can say how it is meanwhile.

    names: what to load, the first being the default. load: blocks, and raises BuilderError.
    on_ready, on_failure: called from that thread.
    """

    def __init__(
        self,
        names: Iterable[str],
        load: Callable[[str], Model],
        *,
        on_ready: Callable[[], None] = lambda: None,
        on_failure: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._names = tuple(names)
        self._load = load
        self._on_ready = on_ready
        self._on_failure = on_failure
        self._models: dict[str, Model] = {}
        self._failure: str | None = None
        self._draining = False
        self._closing = False
        self._thread = threading.Thread(target=self._load_all, name="loader", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def models(self) -> tuple[Model, ...]:
        """Those that are loaded and warm, the default first."""
        return tuple(self._models.values())

    @property
    def pending(self) -> dict[str, str]:
        """Names that are to be served and are not yet, each with why."""
        names = self._names[len(self._models) :]
        return {name: self._failure or f"loading {name}" for name in names}

    def checks(self) -> dict[str, str]:
        """What readiness is made of: "ok", or what is wrong, in words."""
        failed = [self._failure] if self._failure is not None else list(self.pending.values())
        found = {
            "models": failed,
            "workers": [problem for model in self.models for problem in model.worker_problems()],
            "self_test": [
                problem for model in self.models for problem in model.self_test_problems()
            ],
            "serving": ["shutting down"] if self.draining else [],
        }
        return {name: "; ".join(problems) or "ok" for name, problems in found.items()}

    def problems(self) -> list[str]:
        """Why the service can't take images now, in words; empty when it can."""
        if self.draining:
            return ["shutting down"]
        return [state for state in self.checks().values() if state != "ok"]

    def unrecoverable_problems(self) -> list[str]:
        """What only a new process may mend, should it last: the models' workers and canaries."""
        checks = self.checks()
        return [checks[name] for name in ("workers", "self_test") if checks[name] != "ok"]

    @property
    def draining(self) -> bool:
        """Whether it was told to end."""
        return self._draining or self._closing

    def drain(self) -> None:
        """Says not ready from now on, and goes on answering."""
        self._draining = True

    def get(self, name: str | None = None) -> Model:
        """The model called so, by its own name or its depth's; the default for None.

        Raises ModelNotFound, or ModelNotReady while models are still loading.
        """
        for model in self.models:
            if name is None or name in (model.name, depth_name(model)):
                return model
        if self.pending and (name is None or self._expects(name)):
            raise ModelNotReady(
                "The model is still loading." if self._failure is None else self._failure
            )
        served = ", ".join(model.name for model in self.models) or "nothing yet"
        raise ModelNotFound(
            f"This server does not serve {name!r}. It serves {served}; see /models."
        )

    def close(self, timeout_seconds: float) -> None:
        """Answers what is queued, then ends the models' workers."""
        self._closing = True
        models = self.models
        # All at once, so that each has the whole time and together they take no longer.
        with ThreadPoolExecutor(len(models) or 1) as pool:
            finished = pool.map(lambda model: model.close(timeout_seconds), models)
            for model, in_time in zip(models, finished, strict=True):
                if not in_time:
                    logger.warning("%s did not finish within %g s", model.name, timeout_seconds)

    def _expects(self, name: str) -> bool:
        return any(
            name == known or known.startswith(f"{name}.") or name.startswith(f"{known}.")
            for known in self._names
        )

    def _load_all(self) -> None:
        for name in self._names:
            try:
                model = self._load(name)
            except BuilderError as error:
                self._fail(f"{name} can't be served. {error}")
                return
            except Exception as error:
                logger.exception("Loading %s failed", name)
                self._fail(f"{name} can't be served. {type(error).__name__}: {error}")
                return
            if model.name in self._models:
                model.close(0)
                self._fail(f"{name} can't be served. {model.name} is served already.")
                return
            self._models[model.name] = model
            if self._closing:
                # It came too late for `close`.
                model.close(0)
                return
        self._on_ready()

    def _fail(self, reason: str) -> None:
        self._failure = reason
        logger.error("%s", reason)
        self._on_failure(reason)


def depth_name(model: Model) -> str:
    return f"resnet{model.artifact.manifest.architecture.depth}"
