"""Files in the publishers' formats, written from a reference's state dict, and their logits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from model_builder.artifact.head import Head
from model_builder.artifact.preprocessing import Preprocessing, imagenet_rgb
from model_builder.checkpoints.loader import assign
from model_builder.checkpoints.published import PublishedTensors
from model_builder.networks.config import ResNetConfig
from model_builder.networks.fuse_batch_norm import fuse_batch_norm
from model_builder.networks.resnet import build_resnet
from service.inference.outputs import logits
from tests.model_builder.keras_layout import keras_name
from tests.model_builder.reference import Reference

Array = npt.NDArray[np.float32]

SIZE = 64
TOLERANCE = 1e-4
PREPROCESSING = replace(imagenet_rgb(256, "bilinear"), resize_edge=SIZE, crop_size=SIZE)


def keras_weights(reference: Reference) -> dict[str, list[Array]]:
    """What `set_weights` of each layer of keras.applications' network takes.

    Its convolutions have biases. They are not zero here, and taken off again by the means.
    """
    tensors = reference.state_dict
    rng = np.random.default_rng(0)
    weights: dict[str, list[Array]] = {}
    for key, kernel in tensors.items():
        if kernel.ndim != 4:
            continue
        convolution = key.removesuffix(".weight")
        norm = convolution.replace("downsample.0", "downsample.1").replace("conv", "bn")
        bias = rng.normal(0, 0.3, len(kernel)).astype(np.float32)
        weights[keras_name(convolution.replace(".", "_"))] = [kernel.transpose(2, 3, 1, 0), bias]
        weights[keras_name(norm.replace(".", "_"))] = [
            tensors[f"{norm}.weight"],
            tensors[f"{norm}.bias"],
            tensors[f"{norm}.running_mean"] + bias,
            tensors[f"{norm}.running_var"],
        ]
    weights["predictions"] = [tensors["fc.weight"].T, tensors["fc.bias"]]
    return weights


def keras_application(reference: Reference) -> keras.Model:
    """keras.applications' network with the reference's weights. Output: logits."""
    network = getattr(keras.applications, f"ResNet{reference.depth}")(
        weights=None,
        input_shape=(SIZE, SIZE, 3),
        classes=len(reference.state_dict["fc.bias"]),
        classifier_activation=None,
    )
    for name, values in keras_weights(reference).items():
        network.get_layer(name).set_weights(values)
    return network


def save_tfjs(folder: Path, layers: Mapping[str, list[Array]], topology: Any = None) -> Path:
    """A TensorFlow.js layers model in two shards."""
    fields = {4: "kernel", 2: "kernel"}
    entries, parts = [], []
    for layer, arrays in layers.items():
        names = ("gamma", "beta", "moving_mean", "moving_variance")
        if arrays[0].ndim in fields:
            names = ("kernel", "bias", "", "")
        for name, values in zip(names, arrays, strict=False):
            shape = list(values.shape)
            entries.append({"name": f"{layer}/{name}", "shape": shape, "dtype": "float32"})
            parts.append(np.ascontiguousarray(values, "<f4").tobytes())
    paths = ["group1-shard1of2.bin", "group1-shard2of2.bin"]
    content = b"".join(parts)
    half = len(content) // 2
    for path, part in zip(paths, (content[:half], content[half:]), strict=True):
        (folder / path).write_bytes(part)
    manifest = [{"paths": paths, "weights": entries}]
    model = {"modelTopology": topology, "weightsManifest": manifest}
    (folder / "model.json").write_text(json.dumps(model))
    return folder


def converted(published: PublishedTensors, architecture: ResNetConfig) -> keras.Model:
    network = build_resnet(architecture, input_size=SIZE)
    assign(network, published.tensors, architecture)
    return network


def served_logits(
    network: keras.Model,
    architecture: ResNetConfig,
    images: npt.NDArray[np.uint8],
    preprocessing: Preprocessing = PREPROCESSING,
) -> Array:
    """Logits of the inference network, from pixels, with the service's classifier."""
    features = fuse_batch_norm(network, architecture, preprocessing)(images)
    return logits(np.asarray(features), Head(*network.get_layer("fc").get_weights()))
