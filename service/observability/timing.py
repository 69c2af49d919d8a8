"""How long the parts of one image took, as traces and statistics read it."""

from __future__ import annotations

from typing import Protocol


class Timing(Protocol):
    """The durations of one image in seconds; `finished` is on the clock of `time.monotonic`."""

    @property
    def decode_seconds(self) -> float: ...

    @property
    def queue_seconds(self) -> float: ...

    @property
    def inference_seconds(self) -> float: ...

    @property
    def finished(self) -> float: ...
