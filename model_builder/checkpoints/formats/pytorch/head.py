"""The classifier of a network in a file: dense layers under any name."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from model_builder.checkpoints.formats.pytorch.flatten import Found
from model_builder.checkpoints.formats.torch import BATCH_NORM_FIELDS, KERNEL_FIELDS
from model_builder.networks.head import LAST_LAYER
from model_builder.system.printable import shortlist

# What is saved with a network and has no part in inference: losses, metrics, averages.
HARMLESS = re.compile(
    r"(^|\.)("
    r"\w*criterion\w*|(\w+_)?loss(es)?(_\w+)?|\w*metrics?|\w*metric_\w+"
    r"|((train|val|valid|test)_?)?(top\d_?)?(acc|accuracy|auroc|f1|precision|recall)\d*"
    r"|conf(usion_)?mat(rix)?|class_weights?|pos_weight|n_averaged|_?dummy\w*|_extra_state|queue"
    r"|queue_ptr)(\.|$)"
    # Copies of MMCV's EMAHook, for resuming: ema_backbone_conv1_weight.
    r"|(^|\.)ema_\w+$"
)
# State of optimizers has the shapes of the weights.
OPTIMIZER = re.compile(r"(^|\.)(\w*optim\w*|opt|exp_avg\w*|\w*momentum\w*|scheduler\w*)(\.|$)")
PROJECTIONS = re.compile(r"(^|\.)(\w*project(or|ion)\w*|predictor|contrastive\w*)(\.|$)")
# One number for each class, which would change logits: not a loss's weights.
SCALES = re.compile(r"bn|scal|temp|calib|norm|logit|relu|act", re.IGNORECASE)
MODULE = re.compile(r"(.*\.|)(\d+)")


@dataclass(frozen=True, slots=True, eq=False)
class FoundHead:
    """The classifier's tensors by our names: "fc/kernel", or "head/0/kernel" of several layers.

    problem: why it can't be read; no tensors and no problem where there is no classifier.
    """

    tensors: dict[str, Found] = field(default_factory=dict)
    problem: str | None = None


def find_head(
    prefix: str,
    network: Mapping[str, Found],
    left: Sequence[Found],
    tensors: Sequence[Found],
    others: tuple[str, ...],
) -> FoundHead:
    """The dense layers among what the network leaves of its mapping, or else in those around it.

    prefix: of the network's tensors. network: its tensors. tensors: all of the file.
    others: the prefixes of the file's other networks.
    """
    dense = _dense(left)
    if not dense:
        dense = _around(prefix, network, tensors, others)
        left = tensors
    if not dense:
        return FoundHead()
    stems = [_stem(one) for one in dense]
    module = MODULE.fullmatch(stems[0])
    if module is not None:
        parent = module[1]
        members = {
            stem: [one for one in left if _stem(one) == stem and one.mapping == dense[0].mapping]
            for stem in dict.fromkeys(map(_stem, left))
            if stem.startswith(parent) and stem.removeprefix(parent).isdecimal()
        }
        if len(members) > 1 and set(stems) <= members.keys():
            return _several(parent, members)
    if len(dense) > 1:
        if chain := _chain(dense, network):
            # Positions between which a ReLU has room: the file shows none.
            members = {
                f"{2 * index}": [
                    one for one in left if _stem(one) == stem and one.mapping == dense[0].mapping
                ]
                for index, stem in enumerate(chain)
            }
            return _several("", members)
        return FoundHead(
            problem=f"The classifier has {len(dense)} dense layers, whose order no name shows: "
            f"{shortlist(stems)}"
        )
    kernel = dense[0]
    found = {f"{LAST_LAYER}/kernel": kernel}
    for one in left:
        if _stem(one) == stems[0] and one.mapping == kernel.mapping and _field(one) == "bias":
            found[f"{LAST_LAYER}/bias"] = one
    return FoundHead(found)


def _chain(dense: Sequence[Found], network: Mapping[str, Found]) -> list[str]:
    """The names of dense layers of one module, "fc.fc1", "fc.fc2", by what each takes and gives.

    Empty where their shapes don't show one order. A module of an OrderedDict has such names.
    """
    kernels = (one.tensor.shape for one in network.values() if len(one.tensor.shape) == 4)
    width = max((shape[0] for shape in kernels), default=0)
    left, stems = list(dense), list[str]()
    parents = {_stem(one).rpartition(".")[0] for one in dense}
    while left:
        following = [one for one in left if one.tensor.shape[1:] == (width,)]
        if len(following) != 1 or len(parents) != 1:
            return []
        left.remove(following[0])
        stems.append(_stem(following[0]))
        width = following[0].tensor.shape[0]
    return stems


def is_beside(one: Found, left: Sequence[Found], head: Mapping[str, Found]) -> bool:
    """Whether a tensor outside of the network is a counter, or a loss's weight for each class."""
    if not one.tensor.is_float and math.prod(one.tensor.shape) <= 1:
        return True
    kernels = [found for name, found in head.items() if name.endswith("/kernel")]
    # A module beside the classifier's layers is a layer of it.
    module = _stem(kernels[0]).rpartition(".")[0]
    return (
        sum(_stem(other) == _stem(one) for other in left) == 1
        and _field(one) == "weight"
        and not SCALES.search(_stem(one))
        and not (len(kernels) > 1 and one.name.startswith(f"{module}."))
        and len(one.tensor.shape) == 1
        and 1 < one.tensor.shape[0] == min(found.tensor.shape[0] for found in kernels)
    )


def _several(parent: str, members: Mapping[str, Sequence[Found]]) -> FoundHead:
    """Modules of a Sequential, by their positions. parent: "fc."."""
    found: dict[str, Found] = {}
    for stem, tensors in members.items():
        is_batch_norm = any(_field(one) == "running_var" for one in tensors)
        fields = BATCH_NORM_FIELDS if is_batch_norm else KERNEL_FIELDS
        for one in tensors:
            # An unknown field remains, and is refused by the name in the file.
            if ours := fields.get(_field(one)):
                found[f"head/{int(stem.removeprefix(parent))}/{ours}"] = one
    return FoundHead(found)


def _dense(tensors: Sequence[Found]) -> list[Found]:
    """The kernels of dense layers, also of 1x1 convolutions on pooled features."""
    return [
        one
        for one in tensors
        if _field(one) == "weight"
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
    """Dense layers in the nearest mapping around the network's that has some for its features."""
    kernels = (one.tensor.shape for one in network.values() if len(one.tensor.shape) == 4)
    width = max((shape[0] for shape in kernels), default=0)
    dense = [one for one in _dense(tensors) if not OPTIMIZER.search(one.key)]
    around = prefix.rstrip(".")
    while around:
        around = around.rpartition(".")[0]
        start = f"{around}." if around else ""
        found = [
            one
            for one in dense
            if one.name.startswith(start) and not one.name.startswith((prefix, *others))
        ]
        nearest = min((one.mapping.count(".") for one in found), default=0)
        found = [one for one in found if one.mapping.count(".") == nearest]
        if any(one.tensor.shape[1] == width for one in found):
            return found
    return []


def _stem(one: Found) -> str:
    return one.name.rpartition(".")[0]


def _field(one: Found) -> str:
    return one.name.rpartition(".")[2]
