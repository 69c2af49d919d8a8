"""What a request of a tensor protocol asks for, in whatever form it came."""

from __future__ import annotations

from dataclasses import dataclass

from service.inference.outputs import MapClasses
from service.protocols.tensor_rows import Row


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What a body asks for. rows: a list, whose images are dropped from it once decoded.

    model, version: where the body names them.
    """

    rows: list[Row]
    outputs: tuple[str, ...]
    timeout_ms: float | None = None
    priority: int = 0
    map_classes: MapClasses = 1
    model: str | None = None
    version: str | None = None
