"""ResNet-50 in PyTorch behind LitServe, after the image classifier in its documentation.

python litserve_pytorch.py PORT

It runs in its own environment and imports nothing of this project. The weights are random, which
takes the same time. Float32, eager, batches of up to 8 that wait 10 ms to fill, images as base64 in
JSON and decoded in a thread pool, one worker: as in LitServe's benchmark of an image classifier on
a CPU.
"""

from __future__ import annotations

import base64
import io
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import litserve
import numpy as np
import torch
from PIL import Image
from torch import nn

MAX_BATCH_SIZE = 8
BATCH_TIMEOUT_SECONDS = 0.01
RESIZE_EDGE, CROP_SIZE = 256, 224
MEAN, SCALE = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# He et al. 2015, table 1: blocks and width of each stage.
STAGES = ((3, 64), (4, 128), (6, 256), (3, 512))
EXPANSION = 4


class Bottleneck(nn.Module):  # type: ignore[misc]
    """1x1, 3x3 and 1x1 convolutions and a shortcut; the 3x3 has the stride, as in torchvision."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            *normalized(channels, width, 1, 1),
            nn.ReLU(inplace=True),
            *normalized(width, width, 3, stride),
            nn.ReLU(inplace=True),
            *normalized(width, EXPANSION * width, 1, 1),
        )
        self.shortcut = (
            nn.Sequential(*normalized(channels, EXPANSION * width, 1, stride))
            if stride > 1 or channels != EXPANSION * width
            else nn.Identity()
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Any) -> Any:
        return self.relu(self.residual(x) + self.shortcut(x))


def normalized(channels: int, width: int, kernel: int, stride: int) -> tuple[nn.Module, ...]:
    """A convolution and its batch norm."""
    convolution = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
    return convolution, nn.BatchNorm2d(width)


def resnet50() -> nn.Module:
    layers = [*normalized(3, 64, 7, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for stage, (blocks, width) in enumerate(STAGES):
        for block in range(blocks):
            layers.append(Bottleneck(channels, width, 2 if stage > 0 and block == 0 else 1))
            channels = EXPANSION * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000))


class ImageClassifier(litserve.LitAPI):  # type: ignore[misc]
    """The hooks that LitServe calls, in their order."""

    def setup(self, device: Any) -> None:
        self.model = resnet50().eval().to(device)
        self.threads = ThreadPoolExecutor(os.cpu_count())
        self.mean = torch.tensor(MEAN).view(3, 1, 1)
        self.scale = torch.tensor(SCALE).view(3, 1, 1)

    def decode_request(self, request: dict[str, str]) -> str:
        return request["image_data"]

    def batch(self, inputs: list[str]) -> Any:
        return torch.stack(list(self.threads.map(self.decoded, inputs))).to(self.device)

    def predict(self, x: Any) -> Any:
        with torch.inference_mode():
            return self.model(x).argmax(1)

    def unbatch(self, output: Any) -> list[int]:
        classes: list[int] = output.tolist()
        return classes

    def encode_response(self, output: int) -> dict[str, int]:
        return {"output": output}

    def decoded(self, text: str) -> Any:
        """float32 [3, 224, 224], as torchvision's Resize, CenterCrop and Normalize compute it."""
        image = Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB")
        scale = RESIZE_EDGE / min(image.size)
        image = image.resize(
            (int(image.width * scale), int(image.height * scale)), Image.Resampling.BILINEAR
        )
        left, top = (image.width - CROP_SIZE) // 2, (image.height - CROP_SIZE) // 2
        crop = image.crop((left, top, left + CROP_SIZE, top + CROP_SIZE))
        pixels = torch.from_numpy(np.array(crop)).permute(2, 0, 1)
        return (pixels.float().div(255) - self.mean) / self.scale


if __name__ == "__main__":
    classifier = ImageClassifier(max_batch_size=MAX_BATCH_SIZE, batch_timeout=BATCH_TIMEOUT_SECONDS)
    server = litserve.LitServer(classifier, accelerator="cpu", workers_per_device=1)
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning"
    )
