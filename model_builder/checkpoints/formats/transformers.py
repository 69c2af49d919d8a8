"""The names of transformers' ResNetForImageClassification, and its configuration.

Source: transformers/models/resnet/modeling_resnet.py.
"""

from __future__ import annotations

import re
from pathlib import Path

from model_builder.checkpoints.formats.byte_budget import parse_json
from model_builder.checkpoints.formats.state_dict import layer_name
from model_builder.checkpoints.formats.torch import parameter
from model_builder.errors import ConversionFailed
from model_builder.system.regular_file import read_regular_file

STEM = "resnet.embedder.embedder."
LAYER = re.compile(
    r"resnet\.encoder\.stages\.([0-3])\.layers\.(\d+)\.(?:layer\.([0-2])|shortcut)"
    r"\.(convolution|normalization)\.(\w+)"
)
STEM_LAYERS = {"convolution": "conv1", "normalization": "bn1"}
KINDS = {"convolution": "conv", "normalization": "bn"}
CLASSIFIER = {"classifier.1.weight": "fc/kernel", "classifier.1.bias": "fc/bias"}
CONFIG = "config.json"
# The default of torch.nn.BatchNorm2d, which the model keeps.
EPSILON = 1e-5


def our_name(key: str) -> str | None:
    """Our name: "layer1_1_conv3/kernel" for
    "resnet.encoder.stages.0.layers.1.layer.2.convolution.weight".
    """
    if key in CLASSIFIER:
        return CLASSIFIER[key]
    if key.startswith(STEM):
        part, _, field = key.removeprefix(STEM).partition(".")
        layer = STEM_LAYERS.get(part)
        return None if layer is None else parameter(layer, field)
    match = LAYER.fullmatch(key)
    if match is None:
        return None
    stage, block, index, part, field = match.groups()
    # Theirs count from 0 and give the shortcut no index; ours count from 1, the shortcut is 0.
    ours = 0 if index is None else int(index) + 1
    return parameter(layer_name(int(stage) + 1, int(block), ours, KINDS[part]), field)


def stride_in_1x1(path: Path) -> bool | None:
    """What `config.json` beside the file states, if there is one. Raises ConversionFailed."""
    path = path.with_name(CONFIG)
    if not path.is_file():
        return None
    try:
        config = parse_json(read_regular_file(path), path.name)
        if first := config.get("downsample_in_first_stage", False):
            raise ConversionFailed(
                f"{path}: our networks keep the image's size in the first stage. "
                f"Received: downsample_in_first_stage={first}"
            )
        if (activation := config.get("hidden_act", "relu")) != "relu":
            raise ConversionFailed(f"{path}: our networks have ReLU. Received: {activation!r}")
        return bool(config.get("downsample_in_bottleneck", False))
    except (OSError, ValueError, AttributeError) as error:
        raise ConversionFailed(f"{path} can't be read: {error!r}") from error
