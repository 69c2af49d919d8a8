"""Reference ResNets in NumPy, written from torchvision's `resnet.py`, in PyTorch's layout.

Shares nothing with the package: images are NCHW, kernels OIHW, names those of state dicts, and
everything is float64. Slow; for small images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Wide = npt.NDArray[np.float64]

BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
DEPTHS = tuple(BLOCKS)


@dataclass(frozen=True)
class Reference:
    """One network's state dict, and the parts of its configuration that no tensor shows.

    same_padding: pad as TensorFlow does when left to itself, which PyTorch never does. dtype: that
    everything is computed in.
    """

    depth: int
    state_dict: dict[str, Array]
    stride_in_1x1: bool = False
    epsilon: float = 1e-5
    same_padding: bool = False
    dtype: type[np.floating[Any]] = np.float64

    def logits(self, images: npt.NDArray[Any]) -> Wide:
        """[N, 3, H, W], normalized, to logits [N, classes]."""
        x = self._stem(images)
        for stage, count in enumerate(BLOCKS[self.depth], start=1):
            for index in range(count):
                stride = 2 if stage > 1 and index == 0 else 1
                x = self._block(f"layer{stage}.{index}", x, stride)
        logits: Wide = x.mean(axis=(2, 3)) @ self.state_dict["fc.weight"].T
        return logits + self.state_dict["fc.bias"]

    def _stem(self, x: npt.NDArray[Any]) -> Wide:
        """Torchvision's; timm's deep stem, where "conv1" is a list; or one for small images, with
        neither stride nor max pool.
        """
        if "conv1.0.weight" in self.state_dict:
            x = np.maximum(self._normalised("conv1.1", self._convolved("conv1.0", x, 2)), 0)
            x = np.maximum(self._normalised("conv1.4", self._convolved("conv1.3", x, 1)), 0)
            x = np.maximum(self._normalised("bn1", self._convolved("conv1.6", x, 1)), 0)
        elif self.state_dict["conv1.weight"].shape[-1] == 3:
            return np.maximum(self._normalised("bn1", self._convolved("conv1", x, 1)), 0)
        else:
            x = np.maximum(self._normalised("bn1", self._convolved("conv1", x, 2)), 0)
        pooled: Wide = self._windows(x, 3, 2, fill=-np.inf).max(axis=(4, 5))
        return pooled

    def _block(self, name: str, x: Wide, stride: int) -> Wide:
        """Torchvision's BasicBlock or Bottleneck, by its number of convolutions."""
        last = 3 if f"{name}.conv3.weight" in self.state_dict else 2
        striding = 2 if last == 3 and not self.stride_in_1x1 else 1
        residual = x
        for index in range(1, last + 1):
            residual = self._convolved(
                f"{name}.conv{index}", residual, stride if index == striding else 1
            )
            residual = self._normalised(f"{name}.bn{index}", residual)
            if index < last:
                residual = np.maximum(residual, 0)
        if f"{name}.downsample.2.weight" in self.state_dict:
            if stride == 2:
                # Of the pixels that there are: the last row and column may lack their neighbors.
                ends = ((0, 0), (0, 0), (0, x.shape[2] % 2), (0, x.shape[3] % 2))
                even = np.pad(x, ends, constant_values=np.nan)
                x = np.nanmean([even[..., i::2, j::2] for i in (0, 1) for j in (0, 1)], axis=0)
            x = self._convolved(f"{name}.downsample.1", x, 1)
            x = self._normalised(f"{name}.downsample.2", x)
        elif f"{name}.downsample.0.weight" in self.state_dict:
            x = self._convolved(f"{name}.downsample.0", x, stride)
            x = self._normalised(f"{name}.downsample.1", x)
        return np.maximum(residual + x, 0)

    def _convolved(self, name: str, x: npt.NDArray[Any], stride: int) -> Wide:
        kernel = self.state_dict[f"{name}.weight"].astype(self.dtype)
        windows = self._windows(x, kernel.shape[-1], stride, fill=0)
        groups = windows.shape[1] // kernel.shape[1]
        outputs = [
            np.tensordot(part, filters, axes=((1, 4, 5), (1, 2, 3)))
            for part, filters in zip(
                np.split(windows, groups, axis=1), np.split(kernel, groups), strict=True
            )
        ]
        return np.moveaxis(np.concatenate(outputs, axis=-1), -1, 1)

    def _windows(self, x: npt.NDArray[Any], kernel: int, stride: int, *, fill: float) -> Wide:
        """The input of a kernel at each position: [N, C, H', W', kernel, kernel]."""
        before = after = kernel // 2
        if self.same_padding and stride == 2 and x.shape[-1] % 2 == 0 and kernel > 1:
            before, after = (kernel - 2) // 2, (kernel - 1) // 2
        sides = ((0, 0), (0, 0), (before, after), (before, after))
        padded = np.pad(np.asarray(x, self.dtype), sides, constant_values=fill)
        windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), (2, 3))
        return windows[:, :, ::stride, ::stride]

    def _normalised(self, name: str, x: Wide) -> Wide:
        gamma, beta, mean, variance = (
            self.state_dict[f"{name}.{field}"].astype(self.dtype).reshape(-1, 1, 1)
            for field in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / np.sqrt(variance + self.epsilon) * gamma + beta


class _Measuring(Reference):
    """Sets every running statistic to that of its input."""

    def _normalised(self, name: str, x: Wide) -> Wide:
        self.state_dict[f"{name}.running_mean"] = x.mean(axis=(0, 2, 3)).astype(np.float32)
        self.state_dict[f"{name}.running_var"] = x.var(axis=(0, 2, 3)).astype(np.float32)
        return super()._normalised(name, x)


def random_reference(
    depth: int,
    *,
    seed: int,
    classes: int = 10,
    stride_in_1x1: bool = False,
    size: int = 64,
    **changes: Any,
) -> Reference:
    """Random weights, with the running statistics of random images of `size` pixels.

    changes: see `random_state_dict`.
    """
    rng = np.random.default_rng(seed)
    state_dict = random_state_dict(depth, rng, classes, **changes)
    # The statistics need not be exact: float32 takes half the time.
    measuring = _Measuring(depth, state_dict, stride_in_1x1, dtype=np.float32)
    images = normalized(random_images(4, seed=seed, size=size))
    measuring.logits(images[:, : changes.get("channels", 3)])
    return Reference(depth, measuring.state_dict, stride_in_1x1)


def random_state_dict(
    depth: int,
    rng: np.random.Generator,
    classes: int,
    *,
    channels: int = 3,
    stem: tuple[int, ...] = (7,),
    groups: int = 1,
    width_per_group: int = 64,
    average_pool: bool = False,
) -> dict[str, Array]:
    """Every tensor of torchvision's network, or timm's, in its names and shapes.

    channels: of the images. stem: the kernel of its one convolution, or the filters of the first
    two of three. groups, width_per_group: of the 3x3 convolutions. average_pool: in the shortcuts.
    """
    state_dict: dict[str, Array] = {}

    def add(
        name: str, batch_norm: str, inputs: int, outputs: int, kernel: int, gamma: float = 1.0
    ) -> None:
        scale = np.float32(np.sqrt(2 / (inputs * kernel**2)))
        shape = (outputs, inputs, kernel, kernel)
        state_dict[f"{name}.weight"] = rng.standard_normal(shape, np.float32) * scale
        state_dict[f"{batch_norm}.weight"] = (gamma * rng.uniform(0.5, 1.5, outputs)).astype(
            np.float32
        )
        state_dict[f"{batch_norm}.bias"] = rng.normal(0, 0.3, outputs).astype(np.float32)
        state_dict[f"{batch_norm}.running_mean"] = np.zeros(outputs, np.float32)
        state_dict[f"{batch_norm}.running_var"] = np.ones(outputs, np.float32)

    expansion = 1 if depth < 50 else 4
    if len(stem) == 1:
        add("conv1", "bn1", channels, 64, stem[0])
    else:
        add("conv1.0", "conv1.1", channels, stem[0], 3)
        add("conv1.3", "conv1.4", stem[0], stem[1], 3)
        add("conv1.6", "bn1", stem[1], 64, 3)
    channels = 64
    index_0, index_1 = (1, 2) if average_pool else (0, 1)
    for stage, count in enumerate(BLOCKS[depth], start=1):
        width = 32 * 2**stage
        for index in range(count):
            name = f"layer{stage}.{index}"
            shapes = [(channels, width, 3), (width, width, 3)]
            if expansion == 4:
                inner = width * width_per_group // 64 * groups
                grouped = (inner // groups, inner, 3)
                shapes = [(channels, inner, 1), grouped, (inner, 4 * width, 1)]
            for number, (inputs, outputs, kernel) in enumerate(shapes, start=1):
                # A trained network's residuals are small. If they were as large as the shortcuts, a
                # hundred of them would amplify the error of float32.
                gamma = 0.3 if number == len(shapes) else 1.0
                add(f"{name}.conv{number}", f"{name}.bn{number}", inputs, outputs, kernel, gamma)
            if index == 0 and (stage > 1 or expansion == 4):
                projection = f"{name}.downsample.{index_0}", f"{name}.downsample.{index_1}"
                add(*projection, channels, width * expansion, 1)
            channels = width * expansion
    weight = rng.standard_normal((classes, channels), np.float32)
    state_dict["fc.weight"] = weight / np.float32(np.sqrt(channels))
    state_dict["fc.bias"] = rng.normal(0, 0.3, classes).astype(np.float32)
    return state_dict


def random_images(count: int, *, seed: int, size: int = 64) -> npt.NDArray[np.uint8]:
    """uint8 [N, size, size, 3]: colored blocks with noise, so that images differ."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 192, (count, -(-size // 8), -(-size // 8), 3))
    smooth = blocks.repeat(8, axis=1).repeat(8, axis=2)[:, :size, :size]
    return (smooth + rng.integers(0, 64, smooth.shape)).astype(np.uint8)


def normalized(images: npt.NDArray[np.uint8]) -> Array:
    """torchvision's input: NCHW, scaled to 0..1, minus the mean, divided by the deviation."""
    mean, std = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))
    scaled: Array = ((images / 255 - mean) / std).astype(np.float32)
    return np.asarray(scaled.transpose(0, 3, 1, 2), np.float32)
