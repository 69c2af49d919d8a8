"""An artifact of OpenVINO without any code of this project: decoding, the network, its classifier.

What the peers serve, so that only the servers differ. It runs in their environment.
"""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from openvino import opset13 as ops
from PIL import Image, ImageOps
from safetensors.numpy import load_file

# Set by the benchmark.
ARTIFACT = Path(os.environ["PEER_ARTIFACT"])
MANIFEST = json.loads((ARTIFACT / "manifest.json").read_text())
PREPROCESSING = MANIFEST["preprocessing"]
INTERPOLATION = Image.Resampling[PREPROCESSING["interpolation"].upper()]
# What networks are served with: batches of up to 8 that wait 10 ms to fill.
MAX_BATCH_SIZE, BATCH_TIMEOUT_MS = 8, 10
CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def decode(data: bytes) -> Any:
    """uint8 [crop, crop, 3]: upright RGB, the shorter edge resized, the center cropped."""
    edge, size = PREPROCESSING["resize_edge"], PREPROCESSING["crop_size"]
    image = Image.open(io.BytesIO(data))
    # A large JPEG at a fraction of its size.
    image.draft("RGB", (2 * edge, 2 * edge))
    upright = ImageOps.exif_transpose(image).convert("RGB")
    shorter = min(upright.size)
    width, height = (int(edge * length / shorter) for length in upright.size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    resized = upright.resize((width, height), INTERPOLATION)
    return np.asarray(resized.crop((left, top, left + size, top + size)))


class Network:
    """Compiled for latency on every CPU, as one batch at a time needs it."""

    def __init__(self) -> None:
        core = openvino.Core()
        features = core.read_model(ARTIFACT / "network" / "model.xml")
        head = load_file(ARTIFACT / "head.safetensors")
        pooled = ops.reduce_mean(
            features.output(0).get_node().input_value(0), np.array([1, 2]), keep_dims=False
        )
        classified = ops.add(ops.matmul(pooled, head["kernel"], False, False), head["bias"])
        model = openvino.Model([classified], features.get_parameters())
        self._compiled = core.compile_model(
            model, "CPU", {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        )

    def classify(self, pixels: list[Any]) -> list[int]:
        """The most probable class of each image."""
        logits = self._compiled(np.stack(pixels))[0]
        classes: list[int] = logits.argmax(axis=1).tolist()
        return classes
