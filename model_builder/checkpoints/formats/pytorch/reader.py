"""Reads PyTorch's files: the ResNet in them, wherever it is, with its tensors by our names."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from model_builder.checkpoints.formats import transformers
from model_builder.checkpoints.formats.byte_budget import ByteBudget
from model_builder.checkpoints.formats.pytorch.candidates import Candidate, find_candidates
from model_builder.checkpoints.formats.pytorch.choice import choose
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
from model_builder.checkpoints.formats.state_dict import Array, StateDict, Tensors
from model_builder.checkpoints.formats.torch import to_keras
from model_builder.errors import ConversionFailed


def read(path: Path, key: str | None = None) -> StateDict:
    """The tensors of the ResNet in a file.

    path: of safetensors, of `torch.save`, or of an index of several.
    key: the place of the network where the file holds several: "model_ema.module".
    Raises ConversionFailed.
    """
    with opened(path) as tensors:
        chosen, notes = choose(path.name, find_candidates(tensors), tensors, key)
        published = _values(path.name, chosen)
    keys = {name: one.key for name, one in chosen.tensors.items()}
    stated = chosen.family == "transformers"
    return StateDict(
        published,
        {"fc/bias": "fc.bias", **keys},
        stride_in_1x1=transformers.stride_in_1x1(path) if stated else None,
        batch_norm_epsilon=transformers.EPSILON if stated else None,
        notes=notes,
    )


@contextmanager
def opened(path: Path) -> Iterator[Sequence[Found]]:
    """Every tensor of a file; their numbers are read while it is open. Raises ConversionFailed."""
    try:
        with ExitStack() as stack:
            if is_index(path):
                yield [
                    one
                    for file, keys in shards(path).items()
                    for one in _complete(file, _tensors(file, stack), keys)
                ]
            else:
                yield _tensors(path, stack)
    except Malformed as error:
        raise ConversionFailed(
            f"{path.name} is not a file of torch.save, or is damaged: {error}"
        ) from error


def _tensors(path: Path, stack: ExitStack) -> list[Found]:
    if is_safetensors(path):
        return read_safetensors(path)
    open_ = opened_zip if zipfile.is_zipfile(path) else opened_legacy
    content: Content = stack.enter_context(open_(path))
    refuse_foreign(path.name, content)
    return flatten(content.saved, content.storages)


def _complete(file: Path, tensors: list[Found], keys: set[str]) -> list[Found]:
    if missing := sorted(keys - {one.key for one in tensors}):
        raise ConversionFailed(f"{file.name} lacks {', '.join(missing[:3])}, which the index names")
    return tensors


def _values(file: str, chosen: Candidate) -> Tensors:
    """The tensors in float32 and our layout. All are measured before any is read."""
    budget = ByteBudget(file)
    for one in chosen.tensors.values():
        if not one.tensor.is_float:
            raise ConversionFailed(
                f"{one.key} holds no floating-point numbers. Received: {one.tensor.dtype}"
            )
        budget.take(one.key, 4 * one.tensor.size)
    tensors = {name: _laid_out(name, one) for name, one in chosen.tensors.items()}
    # A dense layer without a bias adds nothing.
    kernel = tensors["fc/kernel"]
    if "fc/bias" not in tensors:
        tensors["fc/bias"] = np.zeros(kernel.shape[-1], np.float32)
    return tensors


def _laid_out(name: str, one: Found) -> Array:
    values = one.tensor.read()
    if name == "fc/kernel" and values.ndim == 4:
        # A 1x1 convolution on pooled features.
        values = values.reshape(values.shape[:2])
    return to_keras(values)
