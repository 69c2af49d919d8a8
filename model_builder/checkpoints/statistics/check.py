"""Whether a network computes on photos what the statistics in its checkpoint say.

Batch norms keep the mean and variance of their inputs in training. They show what tensors alone do
not: where the image is halved, whether strides are blurred, how images are prepared.
Figures: docs/decisions/0025-statistics-at-import.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from model_builder.artifact.preprocessing import Preprocessing
from model_builder.checkpoints.statistics.forward import Array, Moments, Wiring, observe
from model_builder.networks.config import ResNetConfig

# How much smaller the distance of another wiring is where the tensors belong to it.
CLEARLY = 1.2
# A distance that networks have of which something else than the wiring is wrong.
FAR = 1.0
# Of a channel that is always 0, the ratio to its variance says nothing.
LEAST_VARIANCE = 1e-8
# Multiply-adds of an image, in billions, from which fewer images are computed.
HEAVY, VERY_HEAVY = 12e9, 24e9
LAYERS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Distance:
    """Of what is computed from what is stored. of_layers: by batch norm.

    Of a layer it is the median over its channels of the difference of the means in standard
    deviations, plus that of the logarithm of the variances' ratio.
    """

    of_layers: Mapping[str, float]

    @property
    def mean(self) -> float:
        return float(np.mean([*self.of_layers.values()])) if self.of_layers else 0.0

    def farthest(self) -> str:
        """ "layer2_0_bn2 1.31, ..."."""
        layers = sorted(self.of_layers.items(), key=lambda item: -item[1])[:LAYERS_SHOWN]
        return ", ".join(f"{name} {value:.2f}" for name, value in layers)


def photos_needed(architecture: ResNetConfig, size: int) -> int:
    """How many photos are enough, and take seconds."""
    macs = architecture.macs(size)
    return 4 if macs < HEAVY else 2 if macs < VERY_HEAVY else 1


def check_statistics(
    tensors: Mapping[str, Array],
    architecture: ResNetConfig,
    preprocessing: Preprocessing,
    photos: npt.NDArray[np.uint8],
) -> list[str]:
    """Sentences for the user where the network that is imported is not the one that was trained.

    photos: RGB [N, S, S, 3], as large as the network's input.
    """
    images = normalized(photos, preprocessing, architecture.input_channels)
    stated = Wiring(architecture.stride_in_1x1)
    own = distance(tensors, observe(tensors, architecture, images, stated))
    others = {
        name: distance(tensors, observe(tensors, architecture, images, wiring))
        for wiring, name in alternatives(architecture)
    }
    if all(one.mean >= FAR for one in (own, *others.values())):
        return [
            "WARNING: on photos the network does not compute what the statistics in the checkpoint "
            f"say: distance {own.mean:.2f} ({own.farthest()}); 0.3 is usual, and more than "
            f"{FAR:.0f} is not. Either images are prepared in another way (mean, std, scale, order "
            "of channels), or its images were no photos, or it was not trained."
        ]
    best = min(others, key=lambda name: others[name].mean, default=None)
    if best is None or others[best].mean * CLEARLY >= own.mean:
        return []
    return [
        "WARNING: the statistics in the checkpoint are those of another network: of "
        f"{best}. Distance {others[best].mean:.2f}, and {own.mean:.2f} as imported "
        f"({own.farthest()})."
    ]


def alternatives(architecture: ResNetConfig) -> Iterator[tuple[Wiring, str]]:
    """Networks with the same tensors, and what they are called."""
    own = Wiring(architecture.stride_in_1x1)
    if architecture.block == "bottleneck":
        other = "v1.5" if own.stride_in_1x1 else "v1"
        yield (
            replace(own, stride_in_1x1=not own.stride_in_1x1),
            f"the variant {other} (--variant {other})",
        )
    modern = Wiring(False)
    if architecture.max_pool_stride > 1:
        yield (
            replace(modern, antialias="average"),
            "an anti-aliased ResNet (resnetaa), which is not served",
        )
        yield (
            replace(modern, antialias="blur"),
            "a ResNet with blurred strides (resnetblur), which is not served",
        )


def normalized(photos: npt.NDArray[np.uint8], preprocessing: Preprocessing, channels: int) -> Array:
    """float32 [N, S, S, channels], as the network takes them."""
    if preprocessing.channel_order == "BGR":
        photos = photos[..., ::-1]
    mean, std = (np.asarray(v, np.float32) for v in (preprocessing.mean, preprocessing.std))
    return np.asarray((photos - mean) / std, np.float32)[..., :channels]


def distance(tensors: Mapping[str, Array], observed: Mapping[str, Moments]) -> Distance:
    """Infinite where a network computes what no float32 holds."""
    found = {}
    for name, moments in observed.items():
        stored = tensors[f"{name}/moving_variance"]
        living = stored > LEAST_VARIANCE * max(float(stored.max()), LEAST_VARIANCE)
        if not living.any():
            continue
        mean, variance = tensors[f"{name}/moving_mean"][living], stored[living]
        with np.errstate(all="ignore"):
            apart = np.median(np.abs(moments.mean[living] - mean) / np.sqrt(variance))
            ratio = np.maximum(moments.variance[living], 1e-12) / variance
            value = float(apart + np.median(np.abs(np.log(ratio))))
        found[name] = value if np.isfinite(value) else float("inf")
    return Distance(found)
