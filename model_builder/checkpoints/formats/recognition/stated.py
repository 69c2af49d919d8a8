"""Networks with the tensors of a ResNet that compute something else, by what states their name.

No tensor shows them. timm's config.json, the name of the file, and what training scripts save
beside the tensors do. Sources: timm/models/resnet.py and timm/models/_hub.py of timm 1.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from model_builder.checkpoints.formats.pytorch.pickles.values import Instance
from model_builder.errors import ConversionFailed
from model_builder.system.printable import cut, printable

CONFIG = "config.json"
# "resnetaa50d.sw_in12k", "seresnextaa101d_32x8d", "resnetblur50"; not "resnet50_aa_run".
ANTI_ALIASED = re.compile(
    r"(?<![a-z0-9])(se|ec|eca|wide_)?res(net|next)(aa|blur)\d+", re.IGNORECASE
)
# Arguments of timm's ResNet that change what is computed and add no tensor, with what is served.
MODEL_ARGS: dict[str, tuple[Any, ...]] = {
    "aa_layer": (None, ""),
    "act_layer": (None, "relu", "ReLU"),
    "output_stride": (32,),
    "global_pool": ("avg", "fast", "fastavg"),
}
# Members of a checkpoint, and attributes of its `args`, that name the network.
NAMES = ("arch", "architecture", "model", "model_name", "backbone", "net")
HOLDERS = ("args", "opt", "config", "cfg", "hparams", "hyper_parameters")
SHOWN_CHARACTERS = 100


def refuse_stated_file(name: str, content: Mapping[str, Any]) -> None:
    """Raises ConversionFailed where the name of a file of weights, or the config.json beside it,
    states a network that is not served.

    content: of config.json, empty where there is none.
    """
    _refuse_name(name, "its name")
    pretrained = content.get("pretrained_cfg")
    for one in (content, pretrained if isinstance(pretrained, dict) else {}):
        _refuse_name(one.get("architecture"), f"{CONFIG} beside the weights")
    stated = content.get("model_args")
    arguments = {**stated} if isinstance(stated, dict) else {}
    if isinstance(pretrained, dict) and "global_pool" in content:
        arguments.setdefault("global_pool", content["global_pool"])
    for name, served in MODEL_ARGS.items():
        if name in arguments and arguments[name] not in served:
            received = cut(printable(repr(arguments[name])), SHOWN_CHARACTERS)
            raise ConversionFailed(
                f"{CONFIG} beside the weights states {name}, which changes what the network "
                f"computes and is not served. Received: {received}"
            )


def refuse_stated_arch(file: str, saved: Any) -> None:
    """The same of what a `torch.save` holds beside the tensors. file: its name."""
    for value in _named(saved):
        _refuse_name(value, f"{file} itself")


def _named(saved: Any) -> Iterator[Any]:
    outer = _members(saved)
    for holder in (outer, *(_members(outer.get(name)) for name in HOLDERS)):
        yield from (holder.get(name) for name in NAMES)


def _members(value: Any) -> Mapping[Any, Any]:
    if isinstance(value, Instance):
        value = value.entries or value.state
    return value if isinstance(value, dict) else {}


def _refuse_name(name: Any, where: str) -> None:
    if isinstance(name, str) and (found := ANTI_ALIASED.search(name)):
        raise ConversionFailed(
            f"The network is {found[0]} by {where}: an anti-aliased ResNet, which has the tensors "
            "of a ResNet, computes something else and is not served"
        )
