"""The answer to POST /predict as JSON, in the form that `schemas` describes.

Made of text that is ready but for the probabilities: 32 images with 1000 classes each are 2.5 MB,
which took 160 ms as objects that are validated.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from weakref import WeakKeyDictionary

import numpy as np

from model_builder.artifact.labels import Label
from service.errors import ServiceError
from service.fairness.paced import pause
from service.http.confidence import assessed_members
from service.http.problem_details import problem_of
from service.http.schemas import ClassProbability, ModelUsed, Timing
from service.inference.model import Model
from service.inference.outputs import Array, top_indices
from service.inference.request import InferenceResult, RowResult
from service.observability.logging import request_id

# Of a probability. float32 has no more than seven digits.
DECIMALS = 6
# The event loop does something else after so many, which take it half a millisecond.
CLASSES_AT_ONCE = 1000


class PredictionWriter:
    """Keeps what the answers of each model have in common. For one event loop."""

    def __init__(self) -> None:
        self._models: WeakKeyDictionary[Model, _ModelText] = WeakKeyDictionary()

    async def write(
        self,
        result: InferenceResult,
        k: int,
        timing: Timing,
        members: Sequence[str] | None = None,
        abstain_below: float | None = None,
    ) -> bytes:
        """The body: k classes of each image, the most probable first, none where k is 0.

        members: of each image what comes beside them. abstain_below: a confidence, 0 to 1; None
        without a threshold. Raises the error of an image that is the only one.
        """
        model = self._models.get(result.model)
        if model is None:
            model = self._models[result.model] = _ModelText(result.model)
        rows = []
        written = 0
        for index, row in enumerate(result.rows):
            if len(result.rows) == 1 and isinstance(row, ServiceError):
                raise row
            if written + k > CLASSES_AT_ONCE:
                written = 0
                await pause()
            written += k
            if isinstance(row, ServiceError):
                rows.append(_error(row))
                continue
            parts = [model.row(row, k)] if k else []
            if assessed := assessed_members(row.assessment, abstain_below):
                parts.append(assessed)
            if members and members[index]:
                parts.append(members[index])
            rows.append(",".join(parts))
        shown = rows[0] if len(rows) == 1 else '"results":[{' + "},{".join(rows) + "}]"
        return (
            f'{{"request_id":{json.dumps(request_id.get())},"model":{model.used},'
            f'{shown},"timing_ms":{timing.model_dump_json()}}}'
        ).encode()


class _ModelText:
    """used: the model as answers name it."""

    def __init__(self, model: Model) -> None:
        manifest = model.artifact.manifest
        self.used = ModelUsed(
            name=manifest.name,
            checkpoint=manifest.provenance.checkpoint,
            precision=manifest.precision,
        ).model_dump_json()
        self._classes = _class_texts(model.artifact.labels)

    def row(self, row: RowResult, k: int) -> str:
        """One image's classes, as a member of an object."""
        probabilities: Array = row.outputs["probabilities"]
        best = top_indices(probabilities, k)
        classes = self._classes
        texts = [
            f"{classes[index]}{value!r}}}"
            for index, value in zip(best.tolist(), _rounded(probabilities[best]), strict=True)
        ]
        if row.assessment is not None and row.assessment.confidences is not None:
            confidences = _rounded(row.assessment.confidences[best])
            texts = [
                f'{text[:-1]},"confidence":{value!r}}}'
                for text, value in zip(texts, confidences, strict=True)
            ]
        return f'"predictions":[{",".join(texts)}]'


def _rounded(values: Array) -> list[float]:
    rounded: list[float] = np.round(values.astype(np.float64), DECIMALS).tolist()
    return rounded


def _class_texts(labels: Sequence[Label]) -> list[str]:
    """Each class up to its probability."""
    zero = "0.0}"
    texts = []
    for index, label in enumerate(labels):
        shown = ClassProbability(class_id=index, wnid=label.wnid, label=label.name, probability=0)
        text = shown.model_dump_json(exclude_none=True)
        assert text.endswith(f'"probability":{zero}')
        texts.append(text.removesuffix(zero))
    return texts


def _error(error: ServiceError) -> str:
    return f'"error":{json.dumps(problem_of(error))}'
