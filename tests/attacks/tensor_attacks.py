"""The rows of the tensor protocols, /v2 and /v1."""

from __future__ import annotations

from collections.abc import Mapping

from tests.attacks.attack import EIGHT, Attack
from tests.attacks.attackers import tensors
from tests.attacks.checks import never

TENSOR_ATTACKS: Mapping[str, Attack] = {
    "tensor_binary": Attack(
        "infer with binary tensors as large as a body, or that claim 4 GiB",
        tensors.binary,
        checks=never(200),
    ),
    "tensor_binary_many": Attack(
        "infer with binary tensors as large as a body, from each address",
        tensors.binary,
        sources=EIGHT,
        places=("alone",),
        checks=never(200),
    ),
    "tensor_inflate": Attack(
        "20 KB of gzip that inflate to the limit of a body, or beyond",
        tensors.inflate,
        checks=never(200),
    ),
    "tensor_depth": Attack(
        "brackets up to the limit of a body, or of JSON beside images",
        tensors.depth,
        checks=never(200),
    ),
    "tensor_instances": Attack(
        "predict with 1.9 million empty images, or 64 photos",
        tensors.instances,
        checks=never(200),
    ),
    "tensor_images": Attack("8 connections, predict with 32 photos in base64", tensors.images),
}
