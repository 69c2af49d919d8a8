"""The models of this process: names, aliases and versions, and the state of each."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from model_builder.checkpoints.catalog import canonical_name, names_of
from model_builder.errors import BuilderError
from service.errors import ModelNotFound, ModelNotReady
from service.inference.model import Model

logger = logging.getLogger(__name__)

ModelState = Literal["loading", "ready", "draining", "failed"]
# Every model is served in one version.
VERSION = "1"
OK = "ok"


class AmbiguousName(BuilderError):
    """Two models answer to one name."""

    code = "ambiguous_name"


@dataclass(frozen=True, slots=True)
class Health:
    """checks: what readiness depends on, each "ok" or what is wrong."""

    checks: dict[str, str]

    @property
    def problems(self) -> list[str]:
        """Why the service can't take images now; empty when it can."""
        if (serving := self.checks["serving"]) != OK:
            return [serving]
        return [state for state in self.checks.values() if state != OK]

    @property
    def ready(self) -> bool:
        return not self.problems


@dataclass(slots=True)
class Entry:
    """One model that is to be served.

    requested: its name in the settings, or an artifact folder's path. position: there, from 1.
    cause: why it failed, for the log. incident: where to find that in the log, for clients.
    served_name: one more name of it, and the one that protocols list; empty without one.
    """

    requested: str
    position: int = 1
    state: ModelState = "loading"
    cause: str = ""
    incident: str = ""
    model: Model | None = None
    served_name: str = ""

    @property
    def title(self) -> str:
        """What clients are told of it: a path is nobody's but the operator's."""
        if Path(self.requested).name == self.requested:
            return self.requested
        return f"artifact folder {self.position}" if self.model is None else self.model.name

    @property
    def reason(self) -> str:
        """Why it is not ready, for clients; empty where it is."""
        if self.state == "failed":
            return f"{self.title} can't be served: {self.incident}. The log has the cause."
        return f"loading {self.title}" if self.model is None else ""

    def names(self) -> set[str]:
        """Every name that stands for this model: its own, its aliases, the settings'."""
        name = canonical_name(self.requested) if self.model is None else self.model.name
        return {self.requested, *names_of(name), self.served_name} - {""}


class ModelRepository:
    """Loads its models in a thread, so that the service can report their state meanwhile.

    names: what to load, the default first. served_name: one more name of that one. load: blocks;
    raises BuilderError. on_ready: called from the thread when every model is loaded or failed, and
    one is ready. on_failure: called from the thread, with the cause, when no model can be served or
    two models answer to one name. Raises AmbiguousName where two names mean the same model.
    """

    def __init__(
        self,
        names: Iterable[str],
        load: Callable[[str], Model],
        *,
        served_name: str = "",
        on_ready: Callable[[], None] = lambda: None,
        on_failure: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._entries = tuple(Entry(name, position) for position, name in enumerate(names, 1))
        for default in self._entries[:1]:
            default.served_name = served_name
        taken: dict[str, str] = {}
        for entry in self._entries:
            for name in (entry.requested, entry.served_name or entry.requested):
                other = taken.setdefault(canonical_name(name), entry.requested)
                if other != entry.requested:
                    raise AmbiguousName(f"{other} and {entry.requested} have one name.")
        self._load = load
        self._on_ready = on_ready
        self._on_failure = on_failure
        self._draining = False
        self._closing = False
        self._thread = threading.Thread(target=self._load_all, name="loader", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def models(self) -> tuple[Model, ...]:
        """Those that are loaded and warm, the default first."""
        return tuple(entry.model for entry in self._entries if entry.model is not None)

    @property
    def entries(self) -> tuple[Entry, ...]:
        return self._entries

    @property
    def pending(self) -> dict[str, str]:
        """Requested names that are not served, or not yet, each with the reason for clients."""
        return {entry.requested: entry.reason for entry in self._entries if entry.model is None}

    def health(self) -> Health:
        """The state now."""
        loading = [one.reason for one in self._entries if one.state == "loading"]
        failed = [] if self.models else [e.reason for e in self._entries if e.state == "failed"]
        found = {
            "models": failed or loading,
            "workers": [problem for model in self.models for problem in model.worker_problems()],
            "self_test": [text for model in self.models for text in model.self_test_problems()],
            "serving": ["shutting down"] if self.draining else [],
        }
        return Health({name: "; ".join(problems) or OK for name, problems in found.items()})

    def unrecoverable_problems(self) -> list[str]:
        """Problems that, if they last, only a new process solves: of workers and self-tests."""
        checks = self.health().checks
        return [checks[name] for name in ("workers", "self_test") if checks[name] != OK]

    @property
    def draining(self) -> bool:
        """Whether the process is about to end."""
        return self._draining or self._closing

    def drain(self) -> None:
        """Reports not ready from now on; requests are still answered."""
        self._draining = True
        for entry in self._entries:
            if entry.state == "ready":
                entry.state = "draining"

    def get(self, name: str | None = None, version: str | None = None) -> Model:
        """The model of that name; the default for None.

        A model's own name goes before an alias. A bare depth ("resnet50") is an alias of the
        depth's default checkpoint and of no other. Raises ModelNotFound, or ModelNotReady while
        that model is loading or after it failed to load.
        """
        entry = self.entry(name, version)
        if entry.model is None:
            raise ModelNotReady(entry.reason if entry.incident else "The model is still loading.")
        return entry.model

    def entry(self, name: str | None = None, version: str | None = None) -> Entry:
        """What `get` finds, in any state. Raises ModelNotFound."""
        entry = self._entries[0] if name is None else self._find(name)
        if entry is None or version not in (None, VERSION):
            served = ", ".join(model.name for model in self.models) or "nothing yet"
            asked = "its default" if name is None else repr(name)
            asked += "" if version is None else f", version {version!r}"
            raise ModelNotFound(
                f"This server does not serve {asked}. It serves {served}; see /models."
            )
        return entry

    def close(self, timeout_seconds: float) -> None:
        """Finishes what is queued, then ends the models' workers."""
        self._closing = True
        models = self.models
        # All at the same time: each has the whole timeout, and together they take no longer.
        with ThreadPoolExecutor(len(models) or 1) as pool:
            finished = pool.map(lambda model: model.close(timeout_seconds), models)
            for model, in_time in zip(models, finished, strict=True):
                if not in_time:
                    logger.warning("%s did not finish within %g s", model.name, timeout_seconds)

    def _find(self, name: str) -> Entry | None:
        for entry in self._entries:
            if name == (entry.model.name if entry.model is not None else entry.requested):
                return entry
        return next((entry for entry in self._entries if name in entry.names()), None)

    def _load_all(self) -> None:
        for entry in self._entries:
            try:
                model = self._load(entry.requested)
                self._check_names(entry, model)
            except AmbiguousName as error:
                model.close(0)
                self._fail(entry, error.code, str(error))
                self._on_failure(entry.cause)
                return
            except BuilderError as error:
                self._fail(entry, error.code, str(error))
                continue
            except Exception as error:
                logger.exception("Loading %s failed", entry.requested)
                self._fail(entry, BuilderError.code, f"{type(error).__name__}: {error}")
                continue
            entry.model, entry.state = model, "draining" if self._draining else "ready"
            if self._closing:
                # `close` ran before this model was there.
                model.close(0)
                return
        if self.models:
            self._on_ready()
        else:
            self._on_failure("; ".join(entry.cause for entry in self._entries))

    def _check_names(self, entry: Entry, model: Model) -> None:
        """Raises AmbiguousName where another model answers to a name of this one."""
        mine = entry.names() | {*names_of(model.name)}
        for other in self._entries:
            if other is not entry and (common := mine & other.names()):
                raise AmbiguousName(
                    f"{', '.join(sorted(common))} means {other.requested} and {entry.requested} "
                    f"({model.name}): import one of them under another name."
                )

    def _fail(self, entry: Entry, code: str, cause: str) -> None:
        entry.cause = f"{entry.requested} can't be served. {cause}"
        entry.incident = f"{code}, incident {secrets.token_hex(4)}"
        entry.state = "failed"
        logger.error("%s (%s)", entry.cause, entry.incident)
