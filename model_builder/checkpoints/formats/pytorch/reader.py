"""Reads PyTorch's files: the ResNet in them, wherever it is, with its tensors by our names."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from model_builder.checkpoints.formats import transformers
from model_builder.checkpoints.formats.byte_budget import ByteBudget
from model_builder.checkpoints.formats.pytorch.candidates import (
    TRANSFORMERS,
    Candidate,
    find_candidates,
)
from model_builder.checkpoints.formats.pytorch.choice import Opened, choose
from model_builder.checkpoints.formats.pytorch.content import Content
from model_builder.checkpoints.formats.pytorch.flatten import Found, flatten
from model_builder.checkpoints.formats.pytorch.foreign import refuse_foreign
from model_builder.checkpoints.formats.pytorch.legacy_file import opened_legacy
from model_builder.checkpoints.formats.pytorch.pickles.values import Malformed
from model_builder.checkpoints.formats.pytorch.safetensors_file import (
    is_safetensors,
    read_safetensors,
)
from model_builder.checkpoints.formats.pytorch.shards import is_index, shards
from model_builder.checkpoints.formats.pytorch.zip_file import opened_zip
from model_builder.checkpoints.formats.recognition.stated import refuse_stated_arch
from model_builder.checkpoints.formats.state_dict import Array, StateDict
from model_builder.checkpoints.formats.torch import to_keras
from model_builder.errors import ConversionFailed
from model_builder.system.printable import shortlist


def read(path: Path, key: str | None = None) -> StateDict:
    """The tensors of the ResNet in a file.

    path: of safetensors, of `torch.save`, or of an index of several.
    key: the place of the network where the file holds several: "model_ema.module".
    Raises ConversionFailed.
    """
    with opened(path) as file:
        chosen, notes = choose(file, find_candidates(file.tensors), key)
        found = _state_dict(path.name, chosen)
    if chosen.family is TRANSFORMERS:
        found = replace(found, stride_in_1x1=transformers.stride_in_1x1(path))
    return replace(found, notes=notes)


@contextmanager
def opened(path: Path) -> Iterator[Opened]:
    """Every tensor of a file; their numbers are read while it is open. Raises ConversionFailed."""
    try:
        with ExitStack() as stack:
            if is_index(path):
                tensors = [
                    one
                    for file, keys in shards(path).items()
                    for one in _complete(file, _opened(file, stack).tensors, keys)
                ]
                yield Opened(path.name, tensors)
            else:
                yield _opened(path, stack)
    except Malformed as error:
        raise ConversionFailed(
            f"{path.name} is not a file of torch.save, or is damaged: {error}"
        ) from error


def _opened(path: Path, stack: ExitStack) -> Opened:
    if is_safetensors(path):
        return Opened(path.name, read_safetensors(path))
    open_ = opened_zip if zipfile.is_zipfile(path) else opened_legacy
    content: Content = stack.enter_context(open_(path))
    refuse_foreign(path.name, content)
    refuse_stated_arch(path.name, content.saved)
    # MMEngine's checkpoints have this key. They hold the average where others have the raw weights.
    swapped = isinstance(content.saved, dict) and "message_hub" in content.saved
    return Opened(path.name, flatten(content.saved, content.storages), swapped)


def _complete(file: Path, tensors: Sequence[Found], keys: set[str]) -> Sequence[Found]:
    if missing := sorted(keys - {one.key for one in tensors}):
        raise ConversionFailed(f"{file.name} lacks {shortlist(missing[:3])}, which the index names")
    return tensors


def _state_dict(file: str, chosen: Candidate) -> StateDict:
    """The tensors in float32 and our layout. All are measured before any is read."""
    budget = ByteBudget(file)
    for one in (*chosen.tensors.values(), *chosen.head.values()):
        if not one.tensor.is_float:
            raise ConversionFailed(
                f"{one.key} holds no floating-point numbers. Received: {one.tensor.dtype}"
            )
        budget.take(one.key, 4 * one.tensor.size)
    network = chosen.family.to_state_dict(
        {name: one.tensor.read() for name, one in chosen.tensors.items()}
    )
    head = {name: _dense(one) for name, one in chosen.head.items()}
    keys = {ours: chosen.tensors[name].key for ours, name in network.keys.items()}
    head_keys = {name: one.key for name, one in chosen.head.items()}
    return replace(network, tensors={**network.tensors, **head}, keys={**keys, **head_keys})


def _dense(one: Found) -> Array:
    values = one.tensor.read()
    if values.ndim == 4:
        # A 1x1 convolution on pooled features.
        values = values.reshape(values.shape[:2])
    return to_keras(values)
