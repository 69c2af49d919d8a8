"""Small sound files beside weights: labels and recipes as tools write them, and TensorFlow.js."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from model_builder.checkpoints.formats.state_dict import Array

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
HUB = {
    "architectures": ["ResNetForImageClassification"],
    "model_type": "resnet",
    "hidden_act": "relu",
    "layer_type": "basic",
    "depths": [2, 2, 2, 2],
    "downsample_in_first_stage": False,
    "id2label": {"0": "cat", "1": "dog", "2": "rat"},
    "label2id": {"cat": 0, "dog": 1, "rat": 2},
}
PROCESSOR = {
    "image_processor_type": "ConvNextImageProcessor",
    "do_normalize": True,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_resize": True,
    "image_mean": MEAN,
    "image_std": STD,
    "resample": 3,
    "crop_pct": 0.875,
    "size": {"shortest_edge": 224},
    "crop_size": {"height": 224, "width": 224},
}
TIMM = {
    "architecture": "resnet18",
    "num_classes": 3,
    "label_names": ["n01440764", "n01443537", "n01484850"],
    "label_descriptions": {"n01440764": "tench", "n01443537": "goldfish"},
    "pretrained_cfg": {
        "input_size": [3, 224, 224],
        "test_input_size": [3, 288, 288],
        "interpolation": "bicubic",
        "crop_pct": 0.95,
        "crop_mode": "center",
        "mean": MEAN,
        "std": STD,
        "first_conv": "conv1",
        "classifier": "fc",
    },
}
LABELS: dict[str, bytes] = {
    "list.json": b'["cat", "dog", "rat"]',
    "class_to_idx.json": b'{"cat": 0, "dog": 1, "rat": 2}',
    "index_to_name.json": b'{"0": ["n01440764", "tench"], "1": "goldfish", "2": {"name": "rat"}}',
    "config.json": json.dumps(HUB).encode(),
    "timm.json": json.dumps(TIMM).encode(),
    "coco.json": b'{"categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]}',
    "names.txt": "\ufeffcat\r\ndog\r\nraton laveur \u00e9t\u00e9\r\n".encode(),
    "teachable.txt": b"0 cat\n1 dog\n2 rat\n",
    "synset.txt": b"n01440764 tench, Tinca tinca\nn01443537 goldfish\n",
    "names.csv": b'index,name\n0,"cat, small"\n1,dog\n2,"a ""b"""\n',
    "names.tsv": b"0\tcat\n1\tdog\n",
    "wide.txt": "cat\ndog\n".encode("utf-16"),
    "names.yaml": b"names:\n  0: cat\n  1: dog\n",
    "list.yaml": b"nc: 2\nnames: [cat, 'dog']\n",
    "block.yaml": b'path: ../data\nnames:\n- cat\n- "dog"\n',
}


def tfjs(tensors: Mapping[str, Array]) -> tuple[dict[str, Any], bytes]:
    """A model.json and its one shard."""
    model = {
        "format": "layers-model",
        "modelTopology": {"model_config": {"class_name": "Functional", "config": {"layers": []}}},
        "weightsManifest": [
            {
                "paths": ["group1-shard1of1.bin"],
                "weights": [
                    {"name": name.replace(".", "/"), "shape": [*values.shape], "dtype": "float32"}
                    for name, values in tensors.items()
                ],
            }
        ],
    }
    return model, b"".join(np.asarray(one, "<f4").tobytes() for one in tensors.values())
