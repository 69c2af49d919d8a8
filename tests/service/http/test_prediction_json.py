"""The answer's text against the schema that describes it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from model_builder.artifact.head import softmax
from model_builder.artifact.labels import Label
from service.errors import InvalidImage, ServiceError
from service.http.prediction_json import PredictionWriter
from service.http.problem_details import problem_of
from service.http.schemas import OneImage, SeveralImages, Timing
from service.inference.model import Model
from service.inference.outputs import top_k
from service.inference.request import InferenceResult, RowResult, RowTiming
from service.observability.logging import request_id
from tests.service.conftest import MODEL_NAME, MakeModel
from tests.service.http.loop_work import Work, run_counted

CLASSES = 1000
TIMING = Timing(decode=1.5, queue=0, inference=2.25, total=4)
SEED = 7
# Names that JSON has to escape, and classes without a WordNet id.
LABELS = tuple(
    Label(f'a "{index}" \\ é\n', None if index % 3 else f"n{index:08}") for index in range(CLASSES)
)


@pytest.fixture
def model(make_model: MakeModel) -> Model:
    made = make_model(MODEL_NAME)
    made.artifact = replace(made.artifact, labels=LABELS)
    return made


def rows(count: int) -> list[RowResult]:
    logits = np.random.default_rng(SEED).normal(scale=4, size=(count, CLASSES)).astype(np.float32)
    timing = RowTiming(0, 0, 0, 0)
    return [RowResult({"probabilities": row}, timing) for row in softmax(logits)]


def written(model: Model, results: list[RowResult | ServiceError], k: int) -> Any:
    async def write() -> bytes:
        request_id.set("mine")
        return await PredictionWriter().write(InferenceResult(model, tuple(results)), k, TIMING)

    return json.loads(asyncio.run(write()))


def expected(row: RowResult, k: int) -> list[dict[str, Any]]:
    scores = top_k(row.outputs["probabilities"], LABELS, k)
    return [
        {
            "class_id": score.class_id,
            **({} if score.wnid is None else {"wnid": score.wnid}),
            "label": score.label,
            "probability": round(score.probability, 6),
        }
        for score in scores
    ]


@pytest.mark.parametrize("k", [1, 5, CLASSES])
def test_one_image(model: Model, k: int) -> None:
    (row,) = rows(1)
    answer = written(model, [row], k)
    assert list(answer) == ["request_id", "model", "predictions", "timing_ms"]
    assert answer["predictions"] == expected(row, k)
    assert answer["request_id"] == "mine"
    assert answer["timing_ms"] == TIMING.model_dump()
    assert answer["model"]["name"] == MODEL_NAME
    TypeAdapter(OneImage).validate_python(answer, strict=True)


def test_several_images_of_which_one_failed(model: Model) -> None:
    first, last = rows(2)
    error = InvalidImage('It says "no".')
    answer = written(model, [first, error, last], 5)
    request_id.set("mine")
    problem = problem_of(error)
    request_id.set(None)
    assert answer["results"] == [
        {"predictions": expected(first, 5)},
        {"error": problem},
        {"predictions": expected(last, 5)},
    ]
    TypeAdapter(SeveralImages).validate_python(answer, strict=True)


def test_the_error_of_the_only_image_is_raised(model: Model) -> None:
    with pytest.raises(InvalidImage, match="no"):
        written(model, [InvalidImage("no")], 5)


def test_the_largest_answer_does_not_hold_the_event_loop(model: Model) -> None:
    """32 images with all classes each: 2.5 MB."""
    writer, result = PredictionWriter(), InferenceResult(model, tuple(rows(32)))
    asyncio.run(writer.write(result, CLASSES, TIMING))
    work = Work()
    run_counted(writer.write(result, CLASSES, TIMING), work)
    assert work.total > 32 * CLASSES
    assert work.longest < 5 * CLASSES
