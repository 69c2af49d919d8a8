"""The artifact of the tests of the service: five colors as classes."""

from __future__ import annotations

from pathlib import Path

from model_builder.artifact.manifest import Artifact, Manifest, Provenance
from model_builder.artifact.preprocessing import Preprocessing
from model_builder.artifact.store_format import read_artifact, write_artifact
from model_builder.networks.config import ResNetConfig
from tests.service.fakes import LABELS, color_head, no_golden

MODEL_NAME = "resnet18.colors"
PREPROCESSING = Preprocessing(40, 32, "bilinear", "RGB", (127.5, 127.5, 127.5), (127.5,) * 3)
PROVENANCE = Provenance(
    checkpoint=MODEL_NAME,
    source="made by the tests",
    digest="none",
    licence="Apache-2.0",
    paper="none",
    top1_percent=None,
    top5_percent=None,
)


def write_color_artifact(folder: Path) -> Artifact:
    """Depth 18, five colors as classes, images of 32 x 32, and a stand-in for the network."""

    def write_network(folder: Path) -> None:
        folder.mkdir()
        (folder / "network.txt").write_text("a FakeEngine runs this")

    manifest = Manifest(
        name=MODEL_NAME,
        architecture=ResNetConfig.of("resnet18", classes=len(LABELS)),
        preprocessing=PREPROCESSING,
        provenance=PROVENANCE,
        engine="tensorflow",
        precision="float32",
        versions={},
        files={},
    )
    write_artifact(folder, manifest, LABELS, color_head(), no_golden(), write_network)
    return read_artifact(folder)
