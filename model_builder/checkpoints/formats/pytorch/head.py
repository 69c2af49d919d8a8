"""The classifier of a network in a file: a dense layer, under any name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from model_builder.checkpoints.formats.pytorch.flatten import Found
from model_builder.system.printable import shortlist

# What is saved with a network and has no part in inference: losses, metrics, averages.
HARMLESS = re.compile(
    r"(^|\.)("
    r"\w*criterion\w*|(\w+_)?loss(es)?(_\w+)?|\w*metrics?|\w*metric_\w+"
    r"|((train|val|valid|test)_?)?(top\d_?)?(acc|accuracy|auroc|f1|precision|recall)\d*"
    r"|conf(usion_)?mat(rix)?|class_weights?|pos_weight|n_averaged|_?dummy\w*|_extra_state|queue"
    r"|queue_ptr)(\.|$)"
)
# State of optimizers has the shapes of the weights.
OPTIMIZER = re.compile(r"(^|\.)(\w*optim\w*|opt|exp_avg\w*|\w*momentum\w*|scheduler\w*)(\.|$)")
PROJECTIONS = re.compile(r"(^|\.)(\w*project(or|ion)\w*|predictor|contrastive\w*)(\.|$)")


@dataclass(frozen=True, slots=True, eq=False)
class FoundHead:
    """tensors: by our names; none where there is no classifier. problem: why it is not taken."""

    tensors: dict[str, Found] = field(default_factory=dict)
    problem: str | None = None


def find_head(
    prefix: str,
    network: Mapping[str, Found],
    left: Sequence[Found],
    tensors: Sequence[Found],
    others: tuple[str, ...],
) -> FoundHead:
    """The dense layer among what the network leaves of its mapping, or else in the mappings around.

    prefix: of the network's tensors. network: by our names. tensors: all of the file.
    others: the prefixes of the file's other networks.
    """
    dense = _dense(left)
    if not dense:
        dense = _around(prefix, network, tensors, others)
    if len(dense) > 1:
        layers = shortlist(one.key.removesuffix(".weight") for one in dense)
        return FoundHead(
            problem=f"The head has {len(dense)} dense layers where one is read: {layers}"
        )
    if not dense:
        return FoundHead()
    kernel = dense[0]
    bias_name = f"{kernel.name.removesuffix('weight')}bias"
    found = {"fc/kernel": kernel}
    for one in tensors:
        if one.name == bias_name and one.mapping == kernel.mapping:
            found["fc/bias"] = one
    return FoundHead(found)


def _dense(tensors: Sequence[Found]) -> list[Found]:
    """The kernels of dense layers, also of 1x1 convolutions on pooled features."""
    return [
        one
        for one in tensors
        if one.name.rpartition(".")[2] == "weight"
        and (len(one.tensor.shape) == 2 or one.tensor.shape[2:] == (1, 1))
        and not HARMLESS.search(one.key)
        and not PROJECTIONS.search(one.key)
    ]


def _around(
    prefix: str,
    network: Mapping[str, Found],
    tensors: Sequence[Found],
    others: tuple[str, ...],
) -> list[Found]:
    """Dense layers that take the network's features, in the nearest mapping around it."""
    width = max(
        one.tensor.shape[0]
        for name, one in network.items()
        if name.endswith("kernel") and one.tensor.shape
    )
    around = prefix.rstrip(".")
    while around:
        around = around.rpartition(".")[0]
        start = f"{around}." if around else ""
        found = [
            one
            for one in _dense(tensors)
            if one.name.startswith(start)
            and not one.name.startswith((prefix, *others))
            and not OPTIMIZER.search(one.key)
            and one.tensor.shape[1] == width
        ]
        if found:
            nearest = min(one.mapping.count(".") for one in found)
            return [one for one in found if one.mapping.count(".") == nearest]
    return []
