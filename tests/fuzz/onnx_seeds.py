"""Damaged ONNX networks, for `imports`: a ResNet-18 of three channels, folded and not."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.fuzz.mutations import damage
from tests.model_builder.onnx_files import save_onnx
from tests.model_builder.reference import Reference, random_state_dict

CHANNELS = 3


def seeds(folder: Path) -> dict[str, bytes]:
    """Sound as far as the shapes of their tensors, which are compared last."""
    whole = random_state_dict(18, np.random.default_rng(0), CHANNELS)
    small = {
        name: values[:CHANNELS, :CHANNELS] if values.ndim > 1 else values[:CHANNELS]
        for name, values in whole.items()
    }
    reference = Reference(18, small)
    return {
        name: save_onnx(folder / "x.onnx", reference, folded=name == "folded").read_bytes()
        for name in ("folded", "unfolded")
    }


def damaged(folder: Path, seed: int) -> Iterator[tuple[str, Path]]:
    chance = random.Random(seed)
    contents = seeds(folder)
    path = folder / "x.onnx"
    while True:
        name = chance.choice([*contents])
        done, data = damage(contents[name], chance, contents)
        path.write_bytes(data)
        yield f"onnx, {name}: {done}", path
