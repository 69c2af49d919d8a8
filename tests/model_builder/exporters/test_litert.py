"""A ResNet-18 in int8 is complete and close to float32."""

from __future__ import annotations

from dataclasses import dataclass, replace

import keras
import numpy as np
import numpy.typing as npt
import pytest
from ai_edge_litert.interpreter import Interpreter

from model_builder.artifact.preprocessing import CAFFE
from model_builder.build.calibration import calibration_set
from model_builder.errors import CalibrationFailed
from model_builder.exporters.litert import quantize, runner
from model_builder.networks.config import ResNetConfig
from model_builder.networks.fuse_batch_norm import fuse_batch_norm
from tests.model_builder.random_networks import random_network

SIZE = 64
PREPROCESSING = replace(CAFFE, resize_edge=72, crop_size=SIZE)
IMAGES = calibration_set(None, PREPROCESSING)


@dataclass(frozen=True)
class Quantized:
    inference: keras.Model
    model: bytes
    advanced: int


@pytest.fixture(scope="module")
def quantized() -> Quantized:
    architecture = ResNetConfig.of("resnet18")
    network = random_network(architecture, input_size=SIZE)
    inference = fuse_batch_norm(network, architecture, PREPROCESSING, pixels_dtype="float32")
    steps: list[int] = []
    return Quantized(inference, quantize(inference, IMAGES.crops, steps.append), sum(steps))


def test_its_features_are_close_to_float32(quantized: Quantized) -> None:
    run = runner(quantized.model)
    crops = IMAGES.checked[:32]
    found = np.concatenate([run(crop[None]) for crop in crops])
    expected = np.asarray(quantized.inference(crops, training=False))
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    pooled, right = found.mean(axis=(1, 2)), expected.mean(axis=(1, 2))
    error = np.abs(pooled - right).mean() / right.std()
    # Close, and not float32 itself.
    assert 1e-3 < error < 0.1


def test_only_the_output_is_float(quantized: Quantized) -> None:
    tensors = Interpreter(model_content=quantized.model).get_tensor_details()
    floats = [
        tensor["shape"].tolist() for tensor in tensors if np.dtype(tensor["dtype"]).kind == "f"
    ]
    assert floats == [[1, 2, 2, 512]]
    assert sum(np.dtype(tensor["dtype"]) == np.int8 for tensor in tensors) > 40


def test_every_crop_is_counted(quantized: Quantized) -> None:
    assert quantized.advanced == len(IMAGES.crops)


def test_crops_without_a_whole_range_are_refused(quantized: Quantized) -> None:
    dark: npt.NDArray[np.uint8] = IMAGES.crops[:4] // 2
    with pytest.raises(CalibrationFailed, match=r"pixels of 0 and of 255. Received: 0 to 127"):
        quantize(quantized.inference, dark, lambda _: None)
