"""The row of the table of engines that runs `FakeEngine` on the color artifact, in any process."""

from __future__ import annotations

from model_builder.artifact.manifest import Artifact
from service.engines.base import Hardware
from service.engines.registry import EngineSpec
from tests.service.fakes import FakeEngine

SPEC = EngineSpec(
    # The color artifact's.
    name="tensorflow",
    module=__name__,
    exporter="none",
    precisions=("float32",),
    devices=("cpu",),
    package="numpy",
)


def load(artifact: Artifact, hardware: Hardware) -> tuple[FakeEngine, ...]:  # noqa: ARG001
    return (FakeEngine(),)
