"""The driver for a Ray cluster: actors with the model, fed and awaited by Ray Data."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from threading import Event
from typing import Any

import pyarrow as pa
import ray
import ray.data
from ray.exceptions import RayError

from service.scoring.errors import ScoringStopped, Unreadable
from service.scoring.scorer import Scorer
from service.scoring.sources.item import Item
from service.scoring.worker import ModelDescription

logger = logging.getLogger(__name__)

# Of a task: few enough to be computed again, many enough to keep a device busy.
BLOCK_ROWS = 16
# Of one data set of Ray's, which lists all its blocks. The actors load the model for each.
ROUND_ROWS = 100_000
ROUND_BYTES = 1 << 30
SENT = pa.schema(
    [
        *((name, pa.string()) for name in ("path", "location", "unreadable")),
        ("bytes", pa.large_binary()),
    ]
)


def _connect() -> None:
    """Raises RayError, ConnectionError, OSError or RuntimeError."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(ignore_reinit_error=True, logging_level="warning", log_to_driver=False)
    # What Ray raises where its services do not come up in time.
    except Exception as error:
        if type(error) is Exception:
            raise RuntimeError(str(error)) from error
        raise
    finally:
        # Ray's own handler would end the job without its last rows.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


class Actor:
    """A scorer in a worker of Ray's, which derives a class of its own from this one."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        scorer.describe()

    def __call__(self, table: Any) -> Any:
        return self._scorer(table)


class RayDriver:
    """Connects to the cluster that RAY_ADDRESS names, or starts one on this machine.

    workers: actors, each with its share of the cluster's CPUs, or with a GPU where the settings
    say so. A worker reads what has an address of its own, so that files must be where every worker
    sees them; the members of archives are read here and sent. Ray runs again what a lost worker or
    node had. Raises ScoringStopped where there is no cluster.
    """

    def __init__(self, scorer: Scorer, workers: int, stop: Event) -> None:
        self._connected_here = not ray.is_initialized()
        try:
            _connect()
            resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        except (RayError, ConnectionError, OSError, RuntimeError) as error:
            raise ScoringStopped(f"Ray can't be used: {error}") from error
        self._workers, self._stop = workers, stop
        nodes = [one.get("CPU", 0) for one in resources]
        # No more than a node has: an actor lives on one.
        part = min(sum(nodes) / workers, max(nodes, default=1))
        share = max(1, int(part))
        self._resources: dict[str, float] = {"num_cpus": min(share, part)}
        settings = scorer.settings
        if settings.model.device == "gpu":
            self._resources["num_gpus"] = 1
            # A cluster may start such a node for the job.
            if not any(one.get("GPU") for one in resources):
                logger.warning(
                    "No node of the cluster has a GPU: waiting up to %.0f s for one",
                    scorer.load_seconds,
                )
        limits = settings.limits.model_copy(
            update={"decode_workers": settings.limits.decode_workers or share}
        )
        model = settings.model.model_copy(
            update={
                "cpu_threads": settings.model.cpu_threads or share,
                "home": settings.model.home.absolute(),
            }
        )
        self._scorer = replace(
            scorer, settings=settings.model_copy(update={"limits": limits, "model": model})
        )

    def close(self) -> None:
        """Leaves the cluster, unless the caller had connected; one that was started here ends."""
        if self._connected_here:
            ray.shutdown()

    def describe(self) -> ModelDescription:
        """As a worker has the model: this machine need not."""
        scorer = self._scorer
        try:
            described: ModelDescription = ray.get(
                ray.remote(**self._resources)(Scorer.describe).remote(scorer),
                timeout=scorer.load_seconds,
            )
        except (RayError, TimeoutError) as error:
            raise ScoringStopped(f"No worker can load the model: {_cause(error)}") from error
        return described

    def score(self, items: Iterator[Item]) -> Iterator[Any]:
        """Tables of rows in the order of the items. Raises ScoringStopped."""
        context = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        while not self._stop.is_set() and (blocks := _blocks(items)):
            dataset = ray.data.from_arrow(blocks).map_batches(
                Actor,
                fn_constructor_args=(self._scorer,),
                compute=ray.data.ActorPoolStrategy(size=self._workers),
                batch_format="pyarrow",
                batch_size=None,
                **self._resources,
            )
            try:
                for table in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
                    yield table
                    if self._stop.is_set():
                        return
            except RayError as error:
                raise ScoringStopped(
                    f"The cluster can't go on: {_cause(error)} The same command continues."
                ) from error


def _blocks(items: Iterator[Item]) -> list[Any]:
    """The next round's tables."""
    blocks: list[Any] = []
    rows: list[dict[str, Any]] = []
    size = 0
    for count, item in enumerate(items, 1):
        rows.append(_sent(item))
        size += len(rows[-1].get("bytes", b""))
        if len(rows) == BLOCK_ROWS:
            blocks.append(pa.Table.from_pylist(rows, SENT))
            rows = []
        if count >= ROUND_ROWS or size >= ROUND_BYTES:
            break
    if rows:
        blocks.append(pa.Table.from_pylist(rows, SENT))
    return blocks


def _sent(item: Item) -> dict[str, Any]:
    if item.location is not None:
        location = item.location if "://" in item.location else os.path.abspath(item.location)
        return {"path": item.path, "location": location}
    try:
        return {"path": item.path, "bytes": item.read()}
    except Unreadable as error:
        return {"path": item.path, "unreadable": str(error)}


def _cause(error: BaseException) -> BaseException:
    return getattr(error, "cause", None) or error
