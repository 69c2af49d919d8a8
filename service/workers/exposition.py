"""One exposition of the metrics of all workers, in Prometheus's text format.

Every worker gives its own text to whoever connects to its socket; the worker that is asked for
/metrics collects the others'.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from prometheus_client import generate_latest

from service.observability.exposition import Exposition
from service.observability.metrics import Metrics
from service.workers.places import Place, sockets

logger = logging.getLogger(__name__)

LABEL = "worker"
# Of Metrics.ready.
READY = b"resnet_ready 1.0"
# Of one worker; one that takes longer is left out.
TIMEOUT_SECONDS = 1.0
_HELP, _COMMENT = "# HELP ", "#"


class SharedExposition(Exposition):
    """The metrics of this worker and of the others, each series with the worker's number."""

    def __init__(self, place: Place, workers: int) -> None:
        self._place = place
        self._workers = workers

    async def text(self, metrics: Metrics) -> bytes:
        found = await self._others()
        found[self._place.number] = await super().text(metrics)
        return merge({number: text for number, text in found.items() if text})

    async def ready_elsewhere(self) -> bool:
        texts = (await self._others()).values()
        return any(READY in text.splitlines() for text in texts)

    async def _others(self) -> dict[int, bytes]:
        """The texts of the other workers, empty where one gives none, by their numbers."""
        others = {
            number: path
            for number, path in sockets(self._place.folder, self._workers).items()
            if number != self._place.number
        }
        texts = await asyncio.gather(*(_fetch(str(path)) for path in others.values()))
        return dict(zip(others, texts, strict=True))

    @asynccontextmanager
    async def serving(self, metrics: Metrics) -> AsyncIterator[None]:
        """Gives this worker's metrics to the others meanwhile."""

        async def give(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                writer.write(generate_latest(metrics.registry))
                await asyncio.wait_for(writer.drain(), TIMEOUT_SECONDS)
            writer.close()

        path = self._place.socket
        # Of a worker that was killed in this place.
        path.unlink(missing_ok=True)
        async with await asyncio.start_unix_server(give, path):
            try:
                yield
            finally:
                path.unlink(missing_ok=True)


def merge(texts: Mapping[int, bytes]) -> bytes:
    """The texts as one, in which every family stands once and every sample has its worker's label.

    texts: by the workers' numbers.
    """
    families: dict[str, tuple[list[str], list[str]]] = {}
    for number, text in sorted(texts.items()):
        header: list[str] = []
        samples: list[str] = []
        complete = False
        for line in text.decode().splitlines():
            if line.startswith(_HELP):
                header, samples = families.setdefault(line.split(" ", 3)[2], ([], []))
                complete = bool(header)
            if not line.startswith(_COMMENT):
                samples.append(_labeled(line, number))
            elif not complete:
                header.append(line)
    lines = (line for header, samples in families.values() for line in (*header, *samples))
    return ("\n".join(lines) + "\n").encode()


def _labeled(sample: str, number: int) -> str:
    name, brace, rest = sample.partition("{")
    if brace:
        return f'{name}{{{LABEL}="{number}",{rest}'
    name, _, value = sample.partition(" ")
    return f'{name}{{{LABEL}="{number}"}} {value}'


async def _fetch(path: str) -> bytes:
    """A worker's text; nothing where it does not give it in time."""
    try:
        return await asyncio.wait_for(_read(path), TIMEOUT_SECONDS)
    except (OSError, asyncio.TimeoutError) as error:
        logger.debug("The worker at %s gives no metrics: %s", path, error)
        return b""


async def _read(path: str) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        return await reader.read(-1)
    finally:
        writer.close()
