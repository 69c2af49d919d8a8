"""The parts of an artifact of three classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from model_builder.artifact.head import Head
from model_builder.artifact.labels import Label
from model_builder.artifact.manifest import Golden, Manifest, Provenance
from model_builder.artifact.preprocessing import CAFFE
from model_builder.networks.config import ResNetConfig

LABELS = (Label("cat", "n02121808"), Label("dog", "n02084071"), Label("Käse & Brot"))
HEAD = Head(
    kernel=np.random.default_rng(0).random((512, 3), np.float32),
    bias=np.array([1, -2, 3], np.float32),
)
GOLDEN = Golden(np.zeros((1, 4, 4, 3), np.uint8), np.zeros((1, 3), np.float32))
MANIFEST = Manifest(
    name="resnet18.test_in1k",
    architecture=ResNetConfig.of(
        "resnet18", stride_in_1x1=True, batch_norm_epsilon=1.001e-5, classes=3
    ),
    preprocessing=CAFFE,
    provenance=Provenance(
        checkpoint="resnet18.test_in1k",
        source="https://example.org/weights.h5",
        digest="md5-0",
        licence="MIT",
        paper="https://arxiv.org/abs/1512.03385",
        top1_percent=69.8,
        top5_percent=None,
    ),
    engine="tensorflow",
    precision="float32",
    versions={"keras": "3"},
    files={},
)


def write_network(folder: Path) -> None:
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"graph")
    (folder / "variables" / "index").write_bytes(b"weights")
