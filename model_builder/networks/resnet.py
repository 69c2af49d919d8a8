"""Builds the network that a `ResNetConfig` describes, in backend-neutral Keras 3.

Layer names, padding and order of operations follow torchvision's `resnet.py`, so that published
weights are assigned by name; shortcut options A and C follow He et al. 2015 (arXiv 1512.03385),
section 4.1, and facebook's fb.resnet.torch (zeros after the existing channels).
"""

from __future__ import annotations

import keras
from keras import layers, ops

from model_builder.networks.blocks import Block, Convolution
from model_builder.networks.config import MAXPOOL_STRIDE, ResNetConfig
from model_builder.networks.head import LAST_LAYER, hidden_name

CHANNELS_LAST = "channels_last"


def build_resnet(
    architecture: ResNetConfig,
    *,
    input_size: int | None = 224,
    fused: bool = False,
    head: bool = True,
    dtype: str = "float32",
) -> keras.Model:
    """The network with initial weights.

    Input: float [N, input_size, input_size, 3], normalized by the checkpoint's preprocessing; any
    height and width where `input_size` is None.
    Output: logits [N, classes], or with `head=False` the last feature map
    [N, ceil(H/32), ceil(W/32), 512 or 2048].

    fused: convolutions have a bias and there is no batch norm (see `fuse_batch_norm`).
    dtype: Keras dtype policy of every layer: "float32", "bfloat16", "mixed_float16", ...
    """
    make = _Maker(architecture.batch_norm_epsilon, fused, dtype)
    inputs = keras.Input((input_size, input_size, 3), name="pixels")
    x = make.relu(make.convolution(inputs, architecture.stem), "relu")
    # A ReLU's output is at least 0, so that zeros pad the maximum as minus infinity would.
    x = layers.ZeroPadding2D(1, data_format=CHANNELS_LAST, dtype=dtype, name="maxpool_pad")(x)
    x = layers.MaxPooling2D(
        3, strides=MAXPOOL_STRIDE, data_format=CHANNELS_LAST, dtype=dtype, name="maxpool"
    )(x)
    for block in architecture.blocks():
        x = make.block(x, block)
    if head:
        x = layers.GlobalAveragePooling2D(data_format=CHANNELS_LAST, dtype=dtype, name="avgpool")(x)
        for index, hidden in enumerate(architecture.hidden_layers):
            x = layers.Dense(
                hidden.width,
                activation="relu" if hidden.activation == "relu" else None,
                dtype=dtype,
                name=hidden_name(index),
            )(x)
        x = layers.Dense(architecture.classes, dtype=dtype, name=LAST_LAYER)(x)
    return keras.Model(inputs, x, name=architecture.name)


class _Maker:
    """Makes layers that share one network's epsilon, dtype and batch norm fusion."""

    def __init__(self, epsilon: float, fused: bool, dtype: str) -> None:
        self._epsilon = epsilon
        self._fused = fused
        self._dtype = dtype

    def relu(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """max(x, 0)."""
        return layers.ReLU(dtype=self._dtype, name=name)(x)

    def convolution(
        self, x: keras.KerasTensor, spec: Convolution, *, last_of_block: bool = False
    ) -> keras.KerasTensor:
        """A convolution and its batch norm. Pads half the kernel on every side."""
        padding = "same"
        if spec.stride > 1 and spec.kernel > 1:
            # "same" pads an even size at the bottom and right only: equal shapes, other values.
            pad = layers.ZeroPadding2D(
                spec.kernel // 2,
                data_format=CHANNELS_LAST,
                dtype=self._dtype,
                name=f"{spec.name}_pad",
            )
            x, padding = pad(x), "valid"
        x = layers.Conv2D(
            spec.filters,
            spec.kernel,
            strides=spec.stride,
            padding=padding,
            data_format=CHANNELS_LAST,
            use_bias=self._fused,
            kernel_initializer=keras.initializers.VarianceScaling(
                2.0, mode="fan_out", distribution="untruncated_normal"
            ),
            dtype=self._dtype,
            name=spec.name,
        )(x)
        if self._fused:
            return x
        return layers.BatchNormalization(
            epsilon=self._epsilon,
            momentum=0.9,
            # A block that starts as the identity trains better (Goyal et al. 2017, section 5.1).
            gamma_initializer="zeros" if last_of_block else "ones",
            dtype=self._dtype,
            name=spec.batch_norm,
        )(x)

    def block(self, x: keras.KerasTensor, block: Block) -> keras.KerasTensor:
        """ReLU(residual(x) + shortcut(x)); without a shortcut, ReLU(residual(x))."""
        residual = x
        last = block.convolutions[-1]
        for index, spec in enumerate(block.convolutions, start=1):
            ends = spec is last and block.has_shortcut
            residual = self.convolution(residual, spec, last_of_block=ends)
            if spec is not last:
                residual = self.relu(residual, f"{block.name}_relu{index}")
        if block.has_shortcut:
            add = layers.Add(dtype=self._dtype, name=f"{block.name}_add")
            residual = add([residual, self.shortcut(x, block)])
        return self.relu(residual, f"{block.name}_relu")

    def shortcut(self, x: keras.KerasTensor, block: Block) -> keras.KerasTensor:
        """x, or its projection, or x subsampled and padded with channels of zeros."""
        if block.projection is not None:
            return self.convolution(x, block.projection)
        if block.stride > 1:
            x = layers.MaxPooling2D(
                1,
                strides=block.stride,
                data_format=CHANNELS_LAST,
                dtype=self._dtype,
                name=f"{block.name}_subsample",
            )(x)
        if block.filters > block.in_channels:
            x = ops.pad(x, ((0, 0), (0, 0), (0, 0), (0, block.filters - block.in_channels)))
        return x
