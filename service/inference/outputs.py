"""The layers behind the last feature map, in float32, and the outputs of a request."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_builder.artifact.head import Head
from model_builder.artifact.labels import Label
from service.errors import InvalidParameter, NonFiniteOutput

Array = npt.NDArray[np.float32]
# Class ids, or how many of the most probable classes.
MapClasses = int | tuple[int, ...]
# Class activation maps of one image.
MAX_MAP_CLASSES = 20


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class, its probability and, of a model that is calibrated, its confidence, 0 to 1."""

    class_id: int
    wnid: str | None
    label: str
    probability: float
    confidence: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class RowOutput:
    """One image's row of a batch.

    pooled: float32 [features]. logits: float32 [classes]. feature_map: float32 [h, w, features],
    None unless a requested output needs it.
    """

    pooled: Array
    logits: Array
    feature_map: Array | None


@dataclass(frozen=True, slots=True, eq=False)
class BatchOutput:
    """A batch's outputs; indexing gives one row.

    pooled: float32 [N, features]. logits: float32 [N, classes]. feature_map: float32
    [N, h, w, features] or None.
    """

    pooled: Array
    logits: Array
    feature_map: Array | None

    def __len__(self) -> int:
        return len(self.logits)

    def __getitem__(self, row: int, /) -> RowOutput:
        """Raises NonFiniteOutput where a logit of the row is infinite or not a number."""
        logits = self.logits[row]
        if not np.isfinite(logits).all():
            raise NonFiniteOutput("Inference failed: the network's output is not finite.")
        feature_map = None if self.feature_map is None else self.feature_map[row]
        return RowOutput(self.pooled[row], logits, feature_map)


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """How one output is computed from a row, and whether the feature map must be kept for it.

    compute: its last argument names the classes of class activation maps.
    """

    compute: Callable[[RowOutput, Head, MapClasses], Array]
    needs_feature_map: bool = False


def _class_activation_map(row: RowOutput, head: Head, classes: MapClasses) -> Array:
    """float32 [classes, h, w]. Zhou et al. 2016 (arXiv 1512.04150), section 2.

    The mean of a class's map plus its bias is its logit.
    """
    assert row.feature_map is not None
    height, width, features = row.feature_map.shape
    places = np.asarray(row.feature_map, np.float32).reshape(-1, features)
    # One class at a time: the same bits whichever others are asked for.
    maps = [
        places @ np.ascontiguousarray(head.kernel[:, index])
        for index in map_class_ids(head.probabilities(row.logits), classes)
    ]
    return np.asarray(maps, np.float32).reshape(-1, height, width)


def map_class_ids(probabilities: Array, classes: MapClasses) -> tuple[int, ...]:
    """Of which classes maps are made, in their order. probabilities: [classes], of the image."""
    if isinstance(classes, int):
        return tuple(top_indices(probabilities, classes).tolist())
    return classes


# Every output by its name: a new one is one row.
OUTPUTS: Mapping[str, OutputSpec] = {
    "probabilities": OutputSpec(lambda row, head, _: head.probabilities(row.logits)),
    "logits": OutputSpec(lambda row, *_: row.logits),
    "embedding": OutputSpec(lambda row, *_: row.pooled),
    "class_activation_map": OutputSpec(_class_activation_map, needs_feature_map=True),
}


def check_output_names(names: Collection[str]) -> None:
    """Raises InvalidParameter for a name that is no output."""
    if unknown := sorted(set(names) - OUTPUTS.keys()):
        raise InvalidParameter(
            f"Outputs are {', '.join(OUTPUTS)}. Received: {', '.join(map(repr, unknown))}"
        )


def needs_feature_map(names: Collection[str]) -> bool:
    """Whether one of the outputs is computed from it."""
    return any(OUTPUTS[name].needs_feature_map for name in names)


def compute_outputs(
    names: Collection[str], row: RowOutput, head: Head, map_classes: MapClasses
) -> dict[str, Array]:
    """A row's outputs by name."""
    return {name: OUTPUTS[name].compute(row, head, map_classes) for name in names}


def check_outputs(names: Collection[str], map_classes: MapClasses, head: Head) -> None:
    """Raises InvalidParameter."""
    check_output_names(names)
    if not needs_feature_map(names):
        return
    if not head.is_linear:
        raise InvalidParameter(
            "class_activation_map is defined for a classifier of one dense layer. "
            f"Received: a model whose classifier has {1 + len(head.hidden)}"
        )
    _check_map_classes(map_classes, len(head.bias))


def _check_map_classes(classes: MapClasses, count: int) -> None:
    wanted = classes if isinstance(classes, int) else len(classes)
    if not 1 <= wanted <= MAX_MAP_CLASSES:
        raise InvalidParameter(
            f"Class activation maps are made of 1 to {MAX_MAP_CLASSES} classes of an image. "
            f"Received: {wanted}"
        )
    ids = (0,) if isinstance(classes, int) else classes
    if not 0 <= min(ids) <= max(ids) < count:
        raise InvalidParameter(
            f"Class ids are 0 to {count - 1}. Received: {', '.join(map(str, ids))}"
        )


def unit_length(values: Array) -> Array:
    """float32 [n] divided by its Euclidean norm; zeros stay zeros."""
    norm = np.sqrt(np.sum(np.square(values, dtype=np.float64)))
    return np.asarray(values / norm if norm else values, np.float32)


def batch_output(features: Array, head: Head, names: Collection[str]) -> BatchOutput:
    """features: float32 [N, h, w, features]. names: of the outputs that rows of the batch need."""
    pooled = features.mean(axis=(1, 2), dtype=np.float32)
    keep = needs_feature_map(names)
    return BatchOutput(pooled, head.logits(pooled), features if keep else None)


def logits(features: Array, head: Head) -> Array:
    """float32 [N, h, w, features] to float32 [N, classes]."""
    return head.logits(features.mean(axis=(1, 2), dtype=np.float32))


def top_indices(probabilities: Array, k: int) -> npt.NDArray[np.int64]:
    """The k most probable classes of a row [classes], most probable first; ties by class id."""
    k = min(k, len(probabilities))
    least = np.partition(probabilities, -k)[-k]
    # All that tie with the last one: the lowest class indices among them are named.
    candidates = np.flatnonzero(probabilities >= least)
    return candidates[np.argsort(-probabilities[candidates], kind="stable")[:k]]


def top_k(
    probabilities: Array, labels: Sequence[Label], k: int, confidences: Array | None = None
) -> tuple[ClassScore, ...]:
    """The classes of `top_indices`, named. confidences: [classes], of a calibrated model."""
    return tuple(
        ClassScore(
            i,
            labels[i].wnid,
            labels[i].name,
            float(probabilities[i]),
            None if confidences is None else float(confidences[i]),
        )
        for i in top_indices(probabilities, k).tolist()
    )
