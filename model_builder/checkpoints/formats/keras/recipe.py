"""The recipe that the layers before the first convolution amount to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from model_builder.artifact.preprocessing import CAFFE
from model_builder.checkpoints.formats.keras.values import Image, Step
from model_builder.checkpoints.formats.state_dict import Array
from model_builder.checkpoints.recipe.partial import PartialRecipe
from model_builder.errors import ConversionFailed

# keras/src/layers/preprocessing/normalization.py divides by no less.
SMALLEST_DEVIATION = 1e-7
ORDERS = {(0, 1, 2): "RGB", (2, 1, 0): "BGR", (0,): "L"}
STRIDE = 32
Vector = npt.NDArray[np.float64]


def recipe_of(
    image: Image | None, pool_edge: int | None, published: Mapping[str, Array]
) -> PartialRecipe | None:
    """Fields of `Preprocessing` that the network's own layers state; None where they state none.

    pool_edge: of an AveragePooling2D at the end, which covers the last map. published: tensors as
    "layer/field", with those of Normalization layers. Raises ConversionFailed for what no recipe
    states, and for images whose last map is larger or smaller than the pooling.
    """
    if image is None:
        return None
    found = _Fields(image.channels)
    # What is too large or too small for a float is refused as a mean or std.
    with np.errstate(all="ignore"):
        for step in image.steps:
            found.take(step, published)
        fields = found.finished()
    edge = image.edge
    if pool_edge is not None:
        if edge is not None and -(-edge // STRIDE) != pool_edge:
            raise ConversionFailed(
                f"AveragePooling2D averages {pool_edge} x {pool_edge} of a map of "
                f"{-(-edge // STRIDE)} x {-(-edge // STRIDE)}, and ours all of it."
            )
        edge = edge or pool_edge * STRIDE
    if edge is not None:
        fields["crop_size"] = edge
    layers = ", ".join(dict.fromkeys([*found.layers, *(["its input's shape"] if edge else [])]))
    return PartialRecipe(fields, f"the network's own {layers}") if fields else None


class _Fields:
    """The steps so far: the network gets `scale * pixels[order] + offset`."""

    def __init__(self, channels: int) -> None:
        self.order = np.arange(channels)
        self.scale, self.offset = np.ones(channels), np.zeros(channels)
        self.geometry: dict[str, Any] = {}
        self.layers: list[str] = []
        self.normalizes = self.rescales = False

    def take(self, step: Step, published: Mapping[str, Array]) -> None:
        self.layers.append(step.layer)
        if step.kind == "resize":
            fields, fill = step.values
            if self.geometry:
                raise ConversionFailed(f"{step.layer} is the second that resizes images.")
            self.geometry = dict(fields)
            if fields["resize_mode"] == "letterbox":
                self.geometry["fill"] = self._pixel(fill, step.layer)
        elif step.kind == "crop":
            self.geometry["crop_size"] = step.values[0]
        elif step.kind == "order":
            self._reorder(np.array(step.values))
        elif step.kind == "affine":
            self.rescales = True
            self._affine(*(np.array(values) for values in step.values))
        elif step.kind == "normalize":
            self.normalizes = True
            mean, variance = self._moments(step, published)
            deviation = np.maximum(np.sqrt(variance), SMALLEST_DEVIATION)
            self._affine(1 / deviation, -mean / deviation)
        else:
            # keras.applications.resnet.preprocess_input, which resnet50's and VGG's are too.
            self.rescales = True
            self._reorder(np.arange(len(self.order))[::-1])
            self._affine(np.array(CAFFE.std), -np.array(CAFFE.mean))
            self.layers[-1] += " (keras.applications.resnet.preprocess_input)"

    def _moments(self, step: Step, published: Mapping[str, Array]) -> tuple[Vector, Vector]:
        if step.values:
            stated = [np.array(values, np.float64) for values in step.values]
            return stated[0], stated[1]
        try:
            mean, variance = (published[f"{step.layer}/{key}"] for key in ("mean", "variance"))
        except KeyError:
            raise ConversionFailed(
                f"{step.layer} (Normalization) has no mean in the file."
            ) from None
        found = np.asarray(mean, np.float64).ravel(), np.asarray(variance, np.float64).ravel()
        if any(len(values) not in (1, len(self.order)) for values in found):
            raise ConversionFailed(f"{step.layer} (Normalization) is not over channels.")
        return found

    def _reorder(self, order: npt.NDArray[np.intp]) -> None:
        self.order = self.order[order]
        self.scale, self.offset = self.scale[order], self.offset[order]

    def _affine(self, scale: Vector, offset: Vector) -> None:
        self.scale, self.offset = self.scale * scale, self.offset * scale + offset

    def _pixel(self, fill: float, layer: str) -> tuple[int, int, int]:
        """The color, RGB, of borders that are filled with a value after the steps so far."""
        levels = np.full(len(self.order), -1.0)
        if (self.scale > 0).all():
            levels[self.order] = (fill - self.offset) / self.scale
        if not all(-0.5 <= level <= 255.5 for level in levels.tolist()):
            raise ConversionFailed(f"{layer} fills borders with a value that no color has: {fill}")
        first, *others = (min(255, round(level)) for level in levels.tolist())
        return (first, others[0], others[1]) if others else (first, first, first)

    def finished(self) -> dict[str, Any]:
        fields = dict(self.geometry)
        if not (self.normalizes or self.rescales) and (self.order == np.sort(self.order)).all():
            return fields
        order = ORDERS.get(tuple(self.order.tolist()))
        if order is None or not (self.scale > 0).all():
            raise ConversionFailed(
                f"{', '.join(self.layers)}: no recipe has channels in the order "
                f"{self.order.tolist()}, times {self.scale.tolist()}."
            )
        mean, std = -self.offset / self.scale, 1 / self.scale
        if self.normalizes and not self.rescales and max(mean.max(), std.max()) <= 1:
            # Of pixels of 0 to 1, which whoever called the network divided.
            mean, std = mean * 255, std * 255
            self.layers[-1] += " (for pixels of 0 to 1)"
        repeat = 3 // len(self.order)
        # Rounding leaves 1e-14 of a mean of 0.
        fields["mean"] = (
            tuple(max(0.0, value) if value > -1e-6 else value for value in mean) * repeat
        )
        fields["std"] = tuple(std.tolist()) * repeat
        fields["channel_order"] = order
        return fields
