"""The ResNets among the tensors of a file, found by the names that their layers have in common."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from model_builder.checkpoints.formats import torch, transformers
from model_builder.checkpoints.formats.pytorch.flatten import Found
from model_builder.checkpoints.formats.pytorch.head import HARMLESS, find_head, is_beside
from model_builder.checkpoints.formats.state_dict import Array, StateDict, rename
from model_builder.checkpoints.other_networks import other_network, unknown_layers
from model_builder.errors import ConversionFailed

# What all ResNets of torchvision and timm begin their tensors' names with, under one prefix.
LAYERS = re.compile(r"(conv1|bn1|layer[1-4])\.")
# Those of a network within whose prefix another one lies: an average that is its attribute.
AROUND = re.compile(r"(conv1|bn1|layer[1-4]|fc)\.")
# Of the modules in order, as nn.Sequential(*resnet.children()) numbers them.
CHILDREN = {"0": "conv1", "1": "bn1", **{str(stage + 3): f"layer{stage}" for stage in (1, 2, 3, 4)}}
# Each network is looked for among all tensors. A ResNet-152 and its optimizer have 2500.
NETWORKS_LIMIT, TENSORS_LIMIT = 16, 40_000
COUNTERS = (torch.IGNORED, "total_ops", "total_params")
# Self-supervised encoders whose last layers are projections, not classes.
ENCODERS = re.compile(r"(^|\.)(encoder_[qk]|base_encoder|momentum_encoder|online_network)\.")
FASTAI_HEAD = re.compile(r"1\.\d+\.(weight|bias)")
MEAN = re.compile(r"(^|\.)(bn1|embedder\.normalization)\.running_mean")


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """One way to name a ResNet's layers.

    anchors: tensors that each of its networks has, the first of which is searched for.
    published_name: a name below the prefix as `to_state_dict` takes it; None where it is that of
    no layer of the network.
    """

    name: str
    anchors: tuple[str, ...]
    published_name: Callable[[str], str | None]
    to_state_dict: Callable[[Mapping[str, Array]], StateDict]


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """One network in the file.

    place: what all of its tensors' names begin with, without the dot: "model_ema.module".
    tensors: by the family's names. head: by our names. problem: why it can't be taken, or None.
    """

    place: str
    family: Family
    tensors: dict[str, Found]
    head: dict[str, Found]
    problem: str | None


def _torch_name(name: str) -> str | None:
    # github.com/kuangliu/pytorch-cifar and what follows it names the projections so.
    return name.replace(".shortcut.", ".downsample.") if LAYERS.match(name) else None


def _sequential_name(name: str) -> str | None:
    first, _, rest = name.partition(".")
    return f"{CHILDREN[first]}.{rest}" if first in CHILDREN else None


def _transformers_name(name: str) -> str | None:
    return f"resnet.{name}" if name.startswith(("embedder.", "encoder.")) else None


def _from_transformers(published: Mapping[str, Array]) -> StateDict:
    laid_out = {key: torch.to_keras(values) for key, values in published.items()}
    return StateDict(
        *rename(laid_out, transformers.our_name), batch_norm_epsilon=transformers.EPSILON
    )


TRANSFORMERS = Family(
    "transformers",
    ("encoder.stages.0.layers.0.layer.0.convolution.weight",),
    _transformers_name,
    _from_transformers,
)
FAMILIES = (
    Family("torch", ("layer1.0.conv1.weight",), _torch_name, torch.to_state_dict),
    TRANSFORMERS,
    # Numbers alone are the names of other networks' layers too.
    Family(
        "sequential",
        ("4.0.conv1.weight", "0.weight", "1.running_mean", "7.0.conv1.weight"),
        _sequential_name,
        torch.to_state_dict,
    ),
)


def find_candidates(tensors: Sequence[Found]) -> list[Candidate]:
    """Every ResNet in the file, in the order of the file. Raises ConversionFailed on too many."""
    by_mapping: dict[str, list[Found]] = {}
    for one in tensors:
        by_mapping.setdefault(one.mapping, []).append(one)
    names = {one.name for one in tensors}
    anchors = [
        (family, one.name.removesuffix(family.anchors[0]), one.mapping)
        for one in tensors
        for family in FAMILIES
        if f".{one.name}".endswith(f".{family.anchors[0]}")
    ]
    anchors = [
        (family, prefix, mapping)
        for family, prefix, mapping in anchors
        if all(prefix + anchor in names for anchor in family.anchors)
    ]
    if len(anchors) > NETWORKS_LIMIT or len(tensors) > TENSORS_LIMIT:
        raise ConversionFailed(
            f"A file may hold {NETWORKS_LIMIT} networks and {TENSORS_LIMIT} tensors. "
            f"Received: {len(anchors)} networks, {len(tensors)} tensors"
        )
    prefixes = [prefix for _, prefix, _ in anchors]
    return [
        _candidate(family, prefix, by_mapping[mapping], prefixes, tensors)
        for family, prefix, mapping in anchors
    ]


def _candidate(
    family: Family,
    prefix: str,
    scope: Sequence[Found],
    prefixes: Sequence[str],
    tensors: Sequence[Found],
) -> Candidate:
    """The network whose tensors begin with `prefix`, in the mapping that holds `scope`."""
    around = [p for p in prefixes if p != prefix and prefix.startswith(p)]
    others = tuple(p for p in prefixes if p != prefix and p not in around)
    taken: dict[str, Found] = {}
    left: list[Found] = []

    def refused(problem: str) -> Candidate:
        return Candidate(prefix.rstrip("."), family, taken, {}, problem)

    for one in scope:
        if one.name.rpartition(".")[2] in COUNTERS or one.name.startswith(others or ("\0",)):
            continue
        if not one.name.startswith(prefix) and any(
            one.name.startswith(p) and AROUND.match(one.name[len(p) :]) for p in around
        ):
            continue
        below = one.name.removeprefix(prefix)
        name = family.published_name(below) if one.name.startswith(prefix) else None
        if name is None:
            left.append(one)
        elif name in taken:
            return refused(f"{taken[name].key} and {one.key} are both {name}")
        else:
            taken[name] = one
    width = max((one.tensor.shape[0] for one in taken.values() if one.tensor.shape), default=0)
    if family.name == "sequential" and any(
        FASTAI_HEAD.fullmatch(one.name.removeprefix(prefix.removesuffix("0.")))
        and one.tensor.shape[-1:] == (2 * width,)
        for one in left
    ):
        return refused(
            "It has the names of fastai's Sequential networks (0.0, 0.4.0.conv1, 1.8), whose head "
            "joins average and maximum pooling, which no network here has"
        )
    if not any(MEAN.search(name) for name in taken):
        return refused(
            f"{prefix.rstrip('.') or 'A mapping'} holds parameters of a network without the "
            "statistics of its batch norms (running_mean, running_var)"
        )
    if ENCODERS.search(prefix):
        return refused(_no_classifier(prefix, "MoCo's and its like end in a projection"))
    head = find_head(prefix, taken, left, tensors, others)
    if head.problem is not None:
        return refused(other_network(one.key for one in left) or head.problem)
    if not head.tensors:
        return refused(_no_classifier(prefix, "an encoder gives features"))
    classifier = set(map(id, head.tensors.values()))
    strange = [
        one.key
        for one in left
        if id(one) not in classifier
        and not HARMLESS.search(one.key)
        and (one.name.startswith(prefix or "\0") or not is_beside(one, left, head.tensors))
    ]
    if strange:
        return refused(unknown_layers(strange))
    try:
        # Names only: a layer that ours don't have is refused before anything is read.
        family.to_state_dict(dict.fromkeys(taken, np.empty(0, np.float32)))
    except ConversionFailed as error:
        return refused(str(error))
    return Candidate(prefix.rstrip("."), family, taken, head.tensors, None)


def _no_classifier(prefix: str, why: str) -> str:
    place = f" at {prefix.rstrip('.')}" if prefix else ""
    return f"The network{place} has no classifier, no dense layer that gives classes: {why}"
