"""Confidence, abstaining and out-of-distribution scores in the answers of POST /predict."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from pydantic import TypeAdapter

from model_builder.artifact.head import softmax
from service.http.schemas import OneImage, SeveralImages
from service.inference.confidence.assessor import Assessor
from tests.service.confidence_fit import features_of, fitted_to, logits_of
from tests.service.conftest import MODEL_NAME, Serve, Service
from tests.service.images import COLORS, plain

RED = plain("red")
IMAGE = {"Content-Type": "image/png"}


@pytest.fixture
def calibrated(serve: Serve) -> Service:
    service = serve()
    model = service.model
    model.assessor = Assessor(fitted_to("red", "green"), model._observer.assessed)
    return service


def predict(service: Service, *colors: str, **query: Any) -> dict[str, Any]:
    files = [("file", (f"{one}.png", plain(one), "image/png")) for one in colors]
    response = service.client.post("/predict", files=files, params=query)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def test_without_a_calibration_an_answer_is_what_it_was(service: Service) -> None:
    body = predict(service, "red")
    assert list(body) == ["request_id", "model", "predictions", "timing_ms"]
    assert all("confidence" not in one for one in body["predictions"])


def test_confidence_is_beside_a_probability_that_does_not_change(
    service: Service, calibrated: Service
) -> None:
    plain_body, body = predict(service, "red"), predict(calibrated, "red")
    TypeAdapter(OneImage).validate_python(body, strict=True)
    expected = softmax(logits_of(features_of(COLORS["red"]))[0] / 2)
    for before, after in zip(plain_body["predictions"], body["predictions"], strict=True):
        assert {**after, "confidence": 0} == {**before, "confidence": 0}
        assert after["confidence"] == pytest.approx(expected[after["class_id"]], abs=1e-6)
    assert body["out_of_distribution"] is False
    assert "abstained" not in body


def test_what_is_unlike_the_calibrations_images_is_said_to_be(calibrated: Service) -> None:
    body = predict(calibrated, "red", "black")
    TypeAdapter(SeveralImages).validate_python(body, strict=True)
    red, black = body["results"]
    assert red["out_of_distribution"] is False
    assert red["ood_score"] < 1
    assert black["out_of_distribution"] is True
    assert black["ood_score"] > 1


def test_a_threshold_of_the_request_is_held_against_the_confidence(calibrated: Service) -> None:
    confidence = predict(calibrated, "red")["predictions"][0]["confidence"]
    assert 0.9 < confidence < 1
    for below, abstained in ((confidence - 0.01, False), (1, True)):
        body = predict(calibrated, "red", abstain_below=below)
        assert body["abstained"] is abstained
        assert body["predictions"][0]["label"] == "red"


def test_a_threshold_without_a_calibration_is_held_against_the_probability(
    serve: Serve,
) -> None:
    service = serve(abstain_below=0.999)
    probability = float(softmax(logits_of(features_of(COLORS["black"]))[0]).max())
    assert predict(service, "black")["abstained"] is (probability < 0.999)
    # The request's goes before that of the settings.
    assert predict(service, "black", abstain_below=0)["abstained"] is False
    assert predict(service, "black", abstain_below=1)["abstained"] is (probability < 1)


def test_json_may_have_the_threshold_beside_its_images(calibrated: Service) -> None:
    text = base64.b64encode(RED).decode()
    for body, abstained in (
        ({"image": text, "abstain_below": 1}, True),
        ({"abstain_below": 0.0, "image": text}, False),
    ):
        response = calibrated.client.post("/predict", json=body)
        assert response.status_code == 200, response.text
        assert response.json()["abstained"] is abstained
    response = calibrated.client.post(
        "/predict", params={"abstain_below": 0}, json={"image": text, "abstain_below": 1}
    )
    assert response.json()["abstained"] is False


@pytest.mark.parametrize("given", [-0.1, 1.1, "0.5", True, None, [0.5], {}, 10**400])
def test_a_threshold_in_json_that_is_none_is_refused(service: Service, given: Any) -> None:
    text = base64.b64encode(RED).decode()
    response = service.client.post("/predict", json={"image": text, "abstain_below": given})
    assert response.status_code == 422, response.text
    assert "abstain_below is a number from 0 to 1" in response.json()["detail"]


@pytest.mark.parametrize("given", ["-0.1", "1.1", "nan", "inf", "much", ""])
def test_a_threshold_in_the_query_that_is_none_is_refused(service: Service, given: str) -> None:
    response = service.client.post(
        "/predict", content=RED, headers=IMAGE, params={"abstain_below": given}
    )
    assert response.status_code == 422
    assert "abstain_below" in response.json()["detail"]


def test_a_bad_image_among_good_ones_has_its_error_alone(calibrated: Service) -> None:
    files = [("file", ("a.png", RED)), ("file", ("b.png", RED[:40]))]
    results = calibrated.client.post("/predict", files=files).json()["results"]
    assert results[0]["predictions"][0]["confidence"] > 0
    assert list(results[1]) == ["error"]


def test_models_shows_the_calibration(service: Service, calibrated: Service) -> None:
    def served(one: Service) -> Any:
        models = one.client.get("/models").json()["models"]
        (checkpoint,) = (
            found for model in models for found in model["checkpoints"] if found["served"]
        )
        return checkpoint["served"]["calibration"]

    assert served(service) is None
    shown = served(calibrated)
    assert (shown["method"], shown["temperature"], shown["held_out"]) == ("temperature", 2.0, 20)
    assert shown["after"]["expected_calibration_error"] == 0.05


def test_drift_metrics_count_every_protocols_images(calibrated: Service) -> None:
    predict(calibrated, "red", "white")
    row = {"b64": base64.b64encode(RED).decode()}
    done = calibrated.client.post(f"/v1/models/{MODEL_NAME}:predict", json={"instances": [row]})
    assert done.status_code == 200
    assert calibrated.sample("resnet_confidence_count", model=MODEL_NAME) == 3
