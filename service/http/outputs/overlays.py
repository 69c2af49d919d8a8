"""Heat maps, drawn off the event loop."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from service.errors import DeadlineExceeded
from service.imaging.overlays.heat_map import overlay_png
from service.inference.outputs import Array


class Overlays:
    """One thread draws for all requests, each of which has one picture in it at most."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="overlays")

    async def draw(
        self,
        values: Array,
        box: tuple[float, float, float, float],
        size: tuple[int, int],
        *,
        deadline: float,
    ) -> bytes:
        """See `overlay_png`. deadline: on the clock of `time.monotonic`.

        Raises DeadlineExceeded.
        """
        loop = asyncio.get_running_loop()
        drawn = loop.run_in_executor(self._executor, overlay_png, values, box, size)
        try:
            return await asyncio.wait_for(drawn, max(0.0, deadline - time.monotonic()))
        except asyncio.TimeoutError:
            raise DeadlineExceeded("The deadline passed before the overlays were drawn.") from None

    def close(self) -> None:
        """Ends the thread; what waits is not drawn."""
        self._executor.shutdown(cancel_futures=True)
