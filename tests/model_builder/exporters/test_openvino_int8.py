"""A ResNet-18 in int8 by NNCF is complete, close to float32, and the same on every CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest

from model_builder.artifact.head import Head
from model_builder.artifact.manifest import OPENVINO_MODEL
from model_builder.artifact.preprocessing import CAFFE
from model_builder.artifact.report import Measurement
from model_builder.build.calibration import calibration_set
from model_builder.exporters.base import CalibrationSet, ExportSource, calibration_of
from model_builder.exporters.openvino import convert, export, save
from model_builder.exporters.openvino_int8 import quantize, runner
from model_builder.networks.config import ResNetConfig
from model_builder.networks.fuse_batch_norm import fuse_batch_norm
from tests.model_builder.random_networks import random_network

SIZE = 64
PREPROCESSING = replace(CAFFE, resize_edge=72, crop_size=SIZE)
ARCHITECTURE = ResNetConfig.of("resnet18")
IMAGES = calibration_set(None, PREPROCESSING)
CROPS = IMAGES.crops[:24]
CHECKED = IMAGES.checked[:32]
# The features of images, with the instructions that the environment allows.
RUN = """
import sys
import numpy as np
from model_builder.exporters.openvino_int8 import runner
from model_builder.system.openvino_import import import_openvino
run = runner(import_openvino().Core().read_model(sys.argv[1]))
np.save(sys.argv[3], np.concatenate([run(one[None]).copy() for one in np.load(sys.argv[2])]))
"""

Pixels = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Quantized:
    """printed: on stdout and stderr. advanced: the crops that were counted."""

    network: keras.Model
    inference: keras.Model
    model: Any
    advanced: int
    printed: str

    def error(self, found: Array) -> float:
        """Of pooled features, in units of float32's deviation."""
        expected = np.asarray(self.inference(CHECKED, training=False))
        assert found.shape == expected.shape
        pooled, right = found.mean(axis=(1, 2)), expected.mean(axis=(1, 2))
        return float(np.abs(pooled - right).mean() / right.std())


@pytest.fixture(scope="module")
def quantized() -> Quantized:
    network = random_network(ARCHITECTURE, input_size=SIZE)
    inference = fuse_batch_norm(network, ARCHITECTURE, PREPROCESSING, pixels_dtype="uint8")
    steps: list[int] = []
    with pytest.MonkeyPatch.context() as capture:
        shown: list[str] = []
        capture.setattr(sys.stdout, "write", shown.append)
        model = quantize(convert(inference), CROPS, steps.append)
    return Quantized(network, inference, model, sum(steps), "".join(shown))


def features(model: Any, images: Pixels) -> Array:
    run = runner(model)
    return np.concatenate([run(image[None]).copy() for image in images])


def test_its_features_are_close_to_float32(quantized: Quantized) -> None:
    found = features(quantized.model, CHECKED)
    assert found.dtype == np.float32
    # Close, and not float32 itself.
    assert 1e-3 < quantized.error(found) < 0.1


def test_every_convolution_has_weights_of_int8(quantized: Quantized) -> None:
    """The stem's of half the range: products of its pixels would saturate registers of 16 bits."""
    operations = quantized.model.get_ordered_ops()
    convolutions = [one for one in operations if one.get_type_name() == "Convolution"]
    constants = [one for one in operations if one.get_type_name() == "Constant"]
    weights = [one.data for one in constants if one.data.dtype == np.int8]
    assert len(convolutions) == len(weights) == 20
    largest = [int(np.abs(one.astype(np.int16)).max()) for one in weights]
    assert largest[0] <= 64
    assert min(largest[1:]) == 127


def test_its_input_and_output_are_those_of_float32(quantized: Quantized) -> None:
    (pixels,), (output,) = quantized.model.inputs, quantized.model.outputs
    assert (pixels.any_name, str(pixels.partial_shape)) == ("pixels", "[?,64,64,3]")
    assert pixels.element_type.get_type_name() == "u8"
    assert output.element_type.get_type_name() == "f32"


def test_every_crop_is_counted_once_and_nothing_is_printed(quantized: Quantized) -> None:
    assert quantized.advanced == len(CROPS)
    assert quantized.printed == ""


def test_its_features_are_the_same_without_vnni(quantized: Quantized, tmp_path: Path) -> None:
    """AVX2's vpmaddubsw saturates where VNNI does not; on other CPUs both runs are the same."""
    save(quantized.model, tmp_path)
    np.save(tmp_path / "images.npy", CHECKED)
    found = tmp_path / "features.npy"
    model, images = tmp_path / OPENVINO_MODEL, tmp_path / "images.npy"
    subprocess.run(
        [sys.executable, "-c", RUN, str(model), str(images), str(found)],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"},
        check=True,
        timeout=120,
    )
    here = features(quantized.model, CHECKED)
    deviation = here.mean(axis=(1, 2)).std()
    apart = np.abs(np.load(found).mean(axis=(1, 2)) - here.mean(axis=(1, 2))).mean()
    # 0.04 with all 8 bits of the stem's weights.
    assert apart / deviation < 0.02


def agreement(quantized: Quantized, images: CalibrationSet) -> Measurement:
    """Exports with a classifier that tells the checked images apart."""
    pooled = np.asarray(quantized.inference(images.checked, training=False)).mean(axis=(1, 2))
    kernel = np.random.default_rng(0).standard_normal((512, 20)) / pooled.std(axis=0)[:, None]
    head = Head(kernel.astype(np.float32), -(pooled.mean(axis=0) @ kernel).astype(np.float32))
    fuse = partial(fuse_batch_norm, quantized.network, ARCHITECTURE, PREPROCESSING)
    made = export(ExportSource("x", "int8", fuse, head, lambda: images))
    assert made.calibration == calibration_of(images)
    (measured,) = made.report
    assert (measured.origin, measured.count) == ("build", len(images.checked))
    return measured


def test_an_export_reports_its_agreement(quantized: Quantized) -> None:
    """Lower where the images of the calibration show nothing, as black ones."""
    images = replace(IMAGES, crops=CROPS, checked=CHECKED)
    measured = agreement(quantized, images)
    assert measured.images == f"other crops of {IMAGES.source}"
    assert measured.agreement_percent > 60
    poor = agreement(quantized, replace(images, crops=np.zeros_like(CROPS[:4])))
    assert poor.agreement_percent < measured.agreement_percent
