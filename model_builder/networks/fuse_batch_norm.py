"""The inference network: batch norm fused into the convolutions, normalization included."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import numpy.typing as npt
from keras import layers

from model_builder.artifact.preprocessing import LUMA, Preprocessing
from model_builder.networks.blocks import Convolution
from model_builder.networks.config import ResNetConfig
from model_builder.networks.resnet import build_resnet

Array = npt.NDArray[np.float32]


def fuse_batch_norm(
    network: keras.Model,
    architecture: ResNetConfig,
    preprocessing: Preprocessing,
    *,
    dtype: str = "float32",
    pixels_dtype: str = "uint8",
) -> keras.Model:
    """The network as engines run it.

    Input: pixels [N, H, W, 3] in RGB, 0 to 255, in `pixels_dtype`; H and W are the crop size.
    Output: the last feature map [N, ceil(H/32), ceil(W/32), 512 or 2048] in `dtype`.
    A network of one channel gets the grey of the pixels.
    network: made by `build_resnet(architecture)`, with the checkpoint's weights.
    """
    size = preprocessing.crop_size
    of_rgb = replace(architecture, input_channels=3)
    fused = build_resnet(of_rgb, input_size=size, fused=True, head=False, dtype=dtype)
    mean, std = rgb_normalization(preprocessing)
    first = architecture.stem_convolutions[0]
    for spec in architecture.convolutions():
        kernel, bias = fused_convolution(network, spec, architecture.batch_norm_epsilon)
        if spec == first:
            # Channel order, scale and grey go into the kernel and cost nothing at inference. The
            # mean can't: the stem pads with zeros, which must stay the mean pixel.
            if architecture.input_channels == 1:
                kernel = (kernel * LUMA[:, None]).astype(np.float32)
            elif preprocessing.channel_order == "BGR":
                kernel = kernel[:, :, ::-1]
            kernel = (kernel / std[:, None]).astype(np.float32)
        fused.get_layer(spec.name).set_weights([kernel, bias])
    pixels = keras.Input((size, size, 3), dtype=pixels_dtype, name="pixels")
    # Always in float32: bfloat16 can't represent a mean of 103.939.
    centering = layers.Rescaling(1.0, list(-mean), dtype="float32", name="centering")
    return keras.Model(pixels, fused(centering(pixels)), name=f"{network.name}_inference")


def fused_convolution(
    network: keras.Model, spec: Convolution, epsilon: float
) -> tuple[Array, Array]:
    """Kernel [kh, kw, in, out] and bias [out] of a convolution fused with its batch norm.

    Source: Jacob et al. 2018 (arXiv 1712.05877), section 3.2, equation 14.
    """
    kernel = np.asarray(network.get_layer(spec.name).get_weights()[0], np.float64)
    weights = network.get_layer(spec.batch_norm).get_weights()
    gamma, beta, mean, variance = (np.asarray(values, np.float64) for values in weights)
    scale = gamma / np.sqrt(variance + epsilon)
    return (kernel * scale).astype(np.float32), (beta - mean * scale).astype(np.float32)


def rgb_normalization(
    preprocessing: Preprocessing,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and standard deviation by channel in RGB order, on the scale 0 to 255."""
    mean, std = np.array(preprocessing.mean), np.array(preprocessing.std)
    if preprocessing.channel_order == "BGR":
        return mean[::-1], std[::-1]
    return mean, std
