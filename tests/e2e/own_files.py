"""Five files of random weights, one depth and one format each, and their logits in NumPy.

Each is imported with the preprocessing of a catalog row, and a smaller image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
from PIL import Image

from model_builder.checkpoints.catalog import CHECKPOINTS
from tests.model_builder.artifact.test_reference_preprocessing import restated
from tests.model_builder.keras_layout import write_keras_h5
from tests.model_builder.published import keras_application, keras_weights, save_tfjs
from tests.model_builder.reference import Reference, normalized, random_reference
from tests.model_builder.torch_layout import save_safetensors, transformers_name

Pixels = npt.NDArray[np.uint8]
Wide = npt.NDArray[np.float64]

CLASSES = ("daisy", "rose", "tulip", "violet")
RESIZE, CROP = 73, 64
KERAS_EPSILON = 1.001e-5
# Keras's images are not scaled: their deviation is about this many times that of the others.
CAFFE_SCALE = 64


def torch_file(folder: Path, reference: Reference) -> Path:
    return save_safetensors(folder / "weights.safetensors", reference.state_dict)


def transformers_file(folder: Path, reference: Reference) -> Path:
    state_dict = {transformers_name(k): values for k, values in reference.state_dict.items()}
    return save_safetensors(folder / "weights.safetensors", state_dict)


def h5_file(folder: Path, reference: Reference) -> Path:
    fields = {2: ("kernel", "bias"), 4: ("gamma", "beta", "moving_mean", "moving_variance")}
    tensors = {
        f"{layer}/{field}": values
        for layer, arrays in keras_weights(reference).items()
        for field, values in zip(fields[len(arrays)], arrays, strict=True)
    }
    write_keras_h5(folder / "weights.h5", tensors)
    return folder / "weights.h5"


def keras_file(folder: Path, reference: Reference) -> Path:
    keras_application(reference).save(folder / "network.keras")
    return folder / "network.keras"


def tfjs_folder(folder: Path, reference: Reference) -> Path:
    return save_tfjs(folder, keras_weights(reference))


@dataclass(frozen=True)
class OwnFile:
    """like: the row whose preprocessing it has. stated: what its layout does not say."""

    depth: int
    write: Callable[[Path, Reference], Path]
    like: str
    stated: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"flowers{self.depth}"

    @property
    def from_keras(self) -> bool:
        return self.like.endswith("keras_in1k")

    def reference(self) -> Reference:
        if not self.from_keras:
            return random_reference(self.depth, classes=len(CLASSES), seed=self.depth)
        reference = random_reference(
            self.depth, classes=len(CLASSES), seed=self.depth, stride_in_1x1=True
        )
        reference.state_dict["conv1.weight"] /= CAFFE_SCALE
        return replace(reference, epsilon=KERAS_EPSILON)

    def options(self) -> list[str]:
        fed = [f"--like={self.like}", f"--resize={RESIZE}", f"--crop={CROP}"]
        return [f"--name={self.name}", *fed, *self.stated]

    def fed(self, image: Pixels) -> Wide:
        """One image [H, W, 3] as [1, 3, CROP, CROP], by the publisher's rules."""
        row = CHECKPOINTS[self.like]
        recipe = replace(row.preprocessing, resize_edge=RESIZE, crop_size=CROP)
        pixels = np.asarray(
            restated(replace(row, preprocessing=recipe))(Image.fromarray(image)), np.uint8
        )[None]
        if not self.from_keras:
            return normalized(pixels).astype(np.float64)
        inputs = keras.applications.resnet.preprocess_input(pixels.astype(np.float32))
        return np.asarray(np.moveaxis(inputs, 3, 1), np.float64)


OWN_FILES = (
    OwnFile(18, torch_file, "resnet18.tv_in1k", ("--epsilon=1e-5",)),
    OwnFile(34, transformers_file, "resnet34.ms_in1k"),
    OwnFile(50, h5_file, "resnet50.keras_in1k"),
    OwnFile(101, keras_file, "resnet101.keras_in1k"),
    OwnFile(152, tfjs_folder, "resnet152.keras_in1k"),
)
