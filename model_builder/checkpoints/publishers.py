"""Names, networks and preprocessing of each publisher's checkpoints: one function makes one row."""

from __future__ import annotations

from model_builder.artifact.preprocessing import CAFFE, Preprocessing, imagenet_rgb
from model_builder.checkpoints.checkpoint import Checkpoint
from model_builder.checkpoints.download.sources.hub import HubSource
from model_builder.checkpoints.download.sources.source import Source
from model_builder.checkpoints.download.sources.url import UrlSource
from model_builder.networks.config import ResNetConfig

HE_2015 = "https://arxiv.org/abs/1512.03385"
BAG_OF_TRICKS = "https://arxiv.org/abs/1812.01187"
STRIKES_BACK = "https://arxiv.org/abs/2110.00476"

KERAS_URL = "https://storage.googleapis.com/tensorflow/keras-applications/resnet/"
HUB_FILE = "model.safetensors"

# Crop fractions of 0.875, 0.965, 0.95 and 1. Every row crops 224 pixels, also where the publisher
# reports a higher accuracy on larger images: a larger image costs more MACs than its depth states.
TV, TV2 = imagenet_rgb(256, "bilinear"), imagenet_rgb(232, "bilinear")
GLUON, A1, A1H_50 = (imagenet_rgb(edge, "bicubic") for edge in (256, 235, 224))


def family_of(name: str) -> str:
    """The network's name in a checkpoint's: "resnet50" of "resnet50.tv_in1k"."""
    return name.partition(".")[0]


def keras(name: str, md5: str, top1: float, top5: float, *more: Source) -> Checkpoint:
    """Keras's weights: strides in the first 1x1 convolution, as in the paper.

    more: further sources of the same weights.
    """
    family = family_of(name)
    url = f"{KERAS_URL}{family}_weights_tf_dim_ordering_tf_kernels.h5"
    return Checkpoint(
        name=name,
        architecture=ResNetConfig.of(family, stride_in_1x1=True, batch_norm_epsilon=1.001e-5),
        preprocessing=CAFFE,
        sources=(UrlSource(url, md5), *more),
        licence="MIT",
        paper=HE_2015,
        top1_percent=top1,
        top5_percent=top5,
    )


def timm(
    name: str,
    preprocessing: Preprocessing,
    paper: str,
    top1: float,
    top5: float,
    *,
    revision: str = "main",
    sha256: str | None = None,
) -> Checkpoint:
    """timm's conversion of weights by torchvision ("tv"), GluonCV ("gluon") or timm itself."""
    licence = "BSD-3-Clause" if name.partition(".")[2].startswith("tv") else "Apache-2.0"
    source = HubSource(f"timm/{name}", HUB_FILE, "torch", revision, sha256)
    return _hub(name, source, preprocessing, licence, paper, top1, top5)


def microsoft(name: str, *, revision: str = "main", sha256: str | None = None) -> Checkpoint:
    """Microsoft's weights for transformers; their publisher states no accuracy.

    transformers rounds the crop's corner down, so that its crop can differ from ours by one pixel.
    """
    repository = f"microsoft/{family_of(name).replace('resnet', 'resnet-')}"
    source = HubSource(repository, HUB_FILE, "transformers", revision, sha256)
    return _hub(name, source, imagenet_rgb(256, "bicubic"), "Apache-2.0", HE_2015)


def _hub(
    name: str,
    source: HubSource,
    preprocessing: Preprocessing,
    licence: str,
    paper: str,
    top1: float | None = None,
    top5: float | None = None,
) -> Checkpoint:
    """Strides in the 3x3 convolution and PyTorch's epsilon, as all of the hub's files have."""
    architecture = ResNetConfig.of(family_of(name))
    return Checkpoint(name, architecture, preprocessing, (source,), licence, paper, top1, top5)
