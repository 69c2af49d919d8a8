"""The last layers in float32: global average pooling, the classifier, softmax, the top k."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_builder.artifact.labels import Label
from model_builder.artifact.manifest import Head

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class and how probable it is, 0 to 1."""

    class_id: int
    wnid: str | None
    label: str
    probability: float


def logits(features: Array, head: Head) -> Array:
    """float32 [N, h, w, features] to float32 [N, classes]."""
    pooled: Array = features.mean(axis=(1, 2), dtype=np.float32)
    return np.asarray(pooled @ head.kernel + head.bias, np.float32)


def softmax(values: Array) -> Array:
    """float32 [N, classes] to probabilities, each row adding up to 1."""
    shifted = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), np.float32)


def top_k(probabilities: Array, labels: Sequence[Label], k: int) -> tuple[ClassScore, ...]:
    """The k most probable classes of one row [classes], most probable first."""
    k = min(k, len(probabilities))
    least = np.partition(probabilities, -k)[-k]
    # Those that tie with the last one too: of equals the first ones are named.
    candidates = np.flatnonzero(probabilities >= least)
    order = candidates[np.argsort(-probabilities[candidates], kind="stable")[:k]]
    return tuple(
        ClassScore(int(i), labels[i].wnid, labels[i].name, float(probabilities[i])) for i in order
    )
