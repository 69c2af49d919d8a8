"""The ResNets among the tensors of a file, found by the names that their layers have in common."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from model_builder.checkpoints.formats import torch, transformers
from model_builder.checkpoints.formats.pytorch.flatten import Found
from model_builder.checkpoints.formats.pytorch.head import HARMLESS, find_head
from model_builder.system.printable import shortlist

Namer = Callable[[str], str | None]
# Of the modules in order, as nn.Sequential(*resnet.children()) numbers them.
CHILDREN = {"0": "conv1", "1": "bn1", **{str(stage + 3): f"layer{stage}" for stage in (1, 2, 3, 4)}}
COUNTERS = (torch.IGNORED, "total_ops", "total_params")
# Self-supervised encoders whose last layers are projections, not classes.
ENCODERS = re.compile(r"(^|\.)(encoder_[qk]|base_encoder|momentum_encoder|online_network)\.")
FASTAI_HEAD = re.compile(r"1\.\d+\.(weight|bias)")


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One network in the file.

    place: what all of its tensors' names begin with, without the dot: "model_ema.module".
    tensors: by our names. family: of names, "torch" or "transformers".
    problem: why it can't be taken, or None.
    """

    place: str
    family: str
    tensors: dict[str, Found]
    problem: str | None


def _sequential(name: str) -> str | None:
    first, _, rest = name.partition(".")
    return torch.our_name(f"{CHILDREN[first]}.{rest}") if first in CHILDREN else None


def _of_transformers(name: str) -> str | None:
    return transformers.our_name(f"resnet.{name}")


FAMILIES: tuple[tuple[str, str, Namer], ...] = (
    ("torch", "layer1.0.conv1.weight", torch.our_name),
    (
        "transformers",
        "encoder.stages.0.layers.0.layer.0.convolution.weight",
        _of_transformers,
    ),
    ("sequential", "4.0.conv1.weight", _sequential),
)


def find_candidates(tensors: Sequence[Found]) -> list[Candidate]:
    """Every ResNet in the file, in the order of the file."""
    by_mapping: dict[str, list[Found]] = {}
    for one in tensors:
        by_mapping.setdefault(one.mapping, []).append(one)
    anchors = [
        (family, namer, one.name.removesuffix(anchor), one.mapping)
        for one in tensors
        for family, anchor, namer in FAMILIES
        if one.name == anchor or one.name.endswith(f".{anchor}")
    ]
    prefixes = [prefix for _, _, prefix, _ in anchors]
    return [
        _candidate(family, namer, prefix, by_mapping[mapping], prefixes, tensors)
        for family, namer, prefix, mapping in anchors
    ]


def _candidate(
    family: str,
    namer: Namer,
    prefix: str,
    scope: Sequence[Found],
    prefixes: Sequence[str],
    tensors: Sequence[Found],
) -> Candidate:
    """The network whose tensors begin with `prefix`, in the mapping that holds `scope`."""
    place = prefix.rstrip(".")
    others = tuple(p for p in prefixes if p != prefix and not prefix.startswith(p))
    taken: dict[str, Found] = {}
    left: list[Found] = []
    for one in scope:
        if one.name.rpartition(".")[2] in COUNTERS or one.name.startswith(others or ("\0",)):
            continue
        ours = namer(one.name.removeprefix(prefix)) if one.name.startswith(prefix) else None
        if ours is None or ours.startswith("fc/"):
            left.append(one)
        elif ours in taken:
            problem = f"{taken[ours].key} and {one.key} are both {ours}"
            return Candidate(place, family, taken, problem)
        else:
            taken[ours] = one

    def refused(problem: str) -> Candidate:
        return Candidate(place, family, taken, problem)

    if family == "sequential" and any(
        place.endswith("0") and FASTAI_HEAD.fullmatch(one.name.removeprefix(prefix[:-2]))
        for one in left
    ):
        return refused(
            "The file has the names of fastai's Sequential networks (0.0, 0.4.0.conv1, 1.8), whose "
            "head joins average and maximum pooling, which no network here has"
        )
    if "bn1/moving_mean" not in taken:
        return refused(
            f"{place or 'The file'} holds parameters of a network without the statistics of its "
            "batch norms (bn1.running_mean)"
        )
    if ENCODERS.search(prefix):
        return refused(_no_classifier(place, "MoCo's and its like end in a projection"))
    head = find_head(prefix, taken, left, tensors, others)
    if head.problem is not None:
        return refused(head.problem)
    if not head.tensors:
        return refused(_no_classifier(place, "an encoder gives features"))
    strange = [one for one in left if one not in head.tensors.values()]
    if strange := [one for one in strange if not HARMLESS.search(one.key)]:
        return refused(
            f"No layer of the network takes {shortlist(sorted(one.key for one in strange))}"
        )
    return Candidate(place, family, {**taken, **head.tensors}, None)


def _no_classifier(place: str, why: str) -> str:
    return (
        f"The network{f' at {place}' if place else ''} has no classifier, no dense layer that "
        f"gives classes: {why}"
    )
