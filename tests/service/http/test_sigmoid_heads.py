"""A classifier of independent classes, over every protocol that answers in JSON."""

from __future__ import annotations

import base64
import math
import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from model_builder.artifact.head import Head
from service.inference.model import Model
from tests.service.conftest import MakeModel, TestClient
from tests.service.fakes import WAIT_SECONDS
from tests.service.http.routers.test_predict import RED, send_raw

BIAS = (0.0, 0.0, 0.0, -20.0, 5.0)


@pytest.fixture
def with_classes(
    start_app: Callable[..., TestClient], make_model: MakeModel
) -> Callable[[int], TestClient]:
    """A client of a model with the first classes of the color model and a sigmoid."""

    def start(classes: int) -> TestClient:
        def load(name: str) -> Model:
            model = make_model(name)
            whole = model.artifact
            head = Head(
                whole.head.kernel[:, :classes], whole.head.bias[:classes], activation="sigmoid"
            )
            model.artifact = replace(whole, labels=whole.labels[:classes], head=head)
            # Its workers were made with the head of five classes.
            model._batcher._workers[0].run = model._batch_fn(model.engines[0].run)
            return model

        ready = threading.Event()
        client = start_app(load, on_ready=ready.set)
        assert ready.wait(WAIT_SECONDS)
        return client

    return start


def sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))


# Red is 1 where the image is red: a logit of 10 for red, -10 for green and blue.
EXPECTED = {"red": sigmoid(10), "green": sigmoid(-10), "blue": sigmoid(-10)}


def test_each_class_has_a_probability_of_its_own(
    with_classes: Callable[[int], TestClient],
) -> None:
    client = with_classes(3)
    answer = send_raw(client, RED).json()
    found = {one["label"]: one["probability"] for one in answer["predictions"]}
    assert found == pytest.approx(EXPECTED, abs=1e-3)
    body = {"instances": [{"b64": base64.b64encode(RED).decode()}]}
    answered = client.post("/v1/models/tiny:predict", json=body)
    if answered.status_code == 404:
        name = client.get("/v1/models").json()["models"][0]
        answered = client.post(f"/v1/models/{name}:predict", json=body)
    assert answered.json()["predictions"][0] == pytest.approx(list(EXPECTED.values()), abs=1e-3)


def test_one_class_is_not_certain(with_classes: Callable[[int], TestClient]) -> None:
    """A softmax of one logit is 1 for every image."""
    (only,) = send_raw(with_classes(1), RED).json()["predictions"]
    assert only["label"] == "red"
    assert only["probability"] == pytest.approx(sigmoid(10), abs=1e-3)
    assert only["probability"] < 1


def test_probabilities_are_computed_from_the_logits_alone() -> None:
    head = Head(np.eye(3, dtype=np.float32), np.zeros(3, np.float32), activation="sigmoid")
    logits = np.array([[0, 2, -2], [1, 1, 1]], np.float32)
    expected = [[sigmoid(value) for value in row] for row in logits.tolist()]
    np.testing.assert_allclose(head.probabilities(logits), expected, rtol=1e-6)
    assert head.probabilities(logits).sum(axis=1) != pytest.approx(1)
