"""Compares an artifact's results on this machine with its golden logits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_builder.artifact.manifest import Artifact, Precision
from service.engines.base import Engine
from service.inference.outputs import logits

# Largest difference in units of the logits' standard deviation. bfloat16 keeps 8 of float32's 24
# significant bits, float16 11; int8 has 256 levels. In float32, batch norm fusion and another order
# of additions change less than 1e-4.
TOLERANCE: dict[Precision, float] = {
    "float32": 1e-3,
    "bfloat16": 0.1,
    "float16": 0.05,
    "int8": 0.5,
}


@dataclass(frozen=True, slots=True)
class Verification:
    """The result on one device.

    difference: the largest of any logit, in units of the golden logits' standard deviation; of
    their root mean square where each image has one logit, which may be alike for all.
    """

    device: str
    difference: float
    tolerance: float

    @property
    def passed(self) -> bool:
        return self.difference <= self.tolerance


def verify(artifact: Artifact, engine: Engine) -> Verification:
    """Runs the golden images on the engine and compares the logits with the stored ones."""
    golden = artifact.golden
    differences = []
    for run in filter(None, (engine.run, engine.alone)):
        # One by one: every engine takes a batch of one.
        given = np.concatenate([run(pixels[None]) for pixels in golden.pixels])
        found = logits(given, artifact.head)
        differences.append(float(np.abs(found - golden.logits).max() / _spread(golden.logits)))
    return Verification(
        device=engine.device,
        difference=max(differences),
        tolerance=TOLERANCE[artifact.manifest.precision],
    )


def _spread(logits: npt.NDArray[np.float32]) -> float:
    """logits: float32 [N, classes]."""
    if logits.shape[1] == 1:
        return float(np.sqrt(np.square(logits).mean())) or 1.0
    return float(logits.std())
