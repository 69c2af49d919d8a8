"""The descriptions of all models, as GET /models shows them, made anew when they change."""

from __future__ import annotations

import asyncio
import time

from model_builder.build.cache import ArtifactCache
from service.http.schemas import ModelBody, ModelsBody
from service.inference.model_info import ModelInfo, find_model_info, list_model_info
from service.inference.repository import ModelRepository
from service.settings import Settings

# Looked at again after so long, whether or not a change was seen.
MAX_AGE_SECONDS = 10.0

_State = tuple[object, ...]


class ModelList:
    """Reads imported checkpoints from disk, in a thread. For one event loop."""

    def __init__(self, repository: ModelRepository, settings: Settings) -> None:
        self._repository = repository
        self._cache = ArtifactCache(settings.model.home)
        self._state: _State = ()
        self._infos: list[ModelInfo] = []
        self._text = b""

    async def text(self) -> bytes:
        """JSON of a `ModelsBody`."""
        await self._update()
        return self._text

    async def find(self, name: str) -> ModelInfo:
        """The depth that is called so or has a checkpoint called so. Raises ModelNotFound."""
        await self._update()
        return find_model_info(name, self._infos)

    async def _update(self) -> None:
        state = self._now()
        if state != self._state:
            infos = await asyncio.to_thread(self._read)
            bodies = [ModelBody.model_validate(info) for info in infos]
            listed = ModelsBody(default=self._repository.entries[0].title, models=bodies)
            # Of the state before it was read: what changed meanwhile is seen the next time.
            self._state, self._infos, self._text = state, infos, listed.model_dump_json().encode()

    def _now(self) -> _State:
        try:
            # An import renames a folder in this one.
            imported = self._cache.own.stat().st_mtime_ns
        except OSError:
            imported = 0
        repository = self._repository
        age = time.monotonic() // MAX_AGE_SECONDS
        return (imported, age, repository.models, *repository.pending.items())

    def _read(self) -> list[ModelInfo]:
        own = self._cache.list_custom()
        return list_model_info(self._repository.models, own, self._repository.pending)
