"""What is measured of the service: its engines for this CPU, in each precision that they have."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from model_builder.artifact.manifest import Precision
from service.engines.registry import ENGINES, EngineSpec
from service.system.cpu import has_bfloat16

# Which of the engines with one precision is measured over HTTP, and compared with its peers.
SERVED_ENGINE = "openvino"


@dataclass(frozen=True, slots=True)
class Variant:
    """engine: a name in the table of engines."""

    engine: str
    precision: Precision

    @property
    def name(self) -> str:
        """In the results, for the engine alone and for the service with it."""
        return f"{self.engine} {self.precision}"


def find_variants(
    precisions: Collection[str] | None, engines: Sequence[EngineSpec] = ENGINES
) -> list[Variant]:
    """Every engine for a CPU in these precisions; None: in all that this CPU computes in."""
    found = [
        Variant(spec.name, precision)
        for spec in engines
        if "cpu" in spec.devices
        for precision in spec.precisions
        # That one is for GPUs.
        if precision != "float16"
    ]
    if precisions is None:
        return [one for one in found if one.precision != "bfloat16" or has_bfloat16()]
    return [one for one in found if one.precision in precisions]


def served_of(variants: Sequence[Variant]) -> dict[Precision, Variant]:
    """One for each precision: SERVED_ENGINE's, or the first where that one has none."""
    served: dict[Precision, Variant] = {}
    for variant in sorted(variants, key=lambda one: one.engine != SERVED_ENGINE):
        served.setdefault(variant.precision, variant)
    return served
