"""Whether an artifact, on this machine's engines, still gives what its checkpoint gave."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model_builder.artifact.manifest import Artifact, Precision
from service.engines.base import Engine
from service.inference.outputs import logits

# Largest difference in units of the logits' standard deviation. bfloat16 keeps 8 bits of 24,
# float16 11, int8 has 256 levels in all; what folding and another order of additions change in
# float32 is below 1e-4.
TOLERANCE: dict[Precision, float] = {
    "float32": 1e-3,
    "bfloat16": 0.1,
    "float16": 0.05,
    "int8": 0.5,
}


@dataclass(frozen=True, slots=True)
class Verification:
    """difference: the largest, in units of the golden logits' standard deviation."""

    device: str
    difference: float
    tolerance: float

    @property
    def passed(self) -> bool:
        return self.difference <= self.tolerance


def verify(artifact: Artifact, engine: Engine) -> Verification:
    """Runs the golden images and holds the logits against the stored ones."""
    golden = artifact.golden
    # One at a time: every engine takes a batch of one.
    given = np.concatenate([engine.run(pixels[None]) for pixels in golden.pixels])
    found = logits(given, artifact.head)
    difference = float(np.abs(found - golden.logits).max() / golden.logits.std())
    return Verification(
        device=engine.device,
        difference=difference,
        tolerance=TOLERANCE[artifact.manifest.precision],
    )
