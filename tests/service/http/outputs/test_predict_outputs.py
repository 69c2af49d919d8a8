"""What POST /predict gives beside the classes, around an engine that sees colors."""

from __future__ import annotations

import base64
import io
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import ExifTags, Image
from pydantic import TypeAdapter

from service.http.outputs.overlays import Overlays
from service.http.schemas import OneImage, SeveralImages
from service.inference.outputs import MAX_MAP_CLASSES, BatchOutput
from tests.service.conftest import Serve, Service
from tests.service.fakes import FEATURES, LABELS, eventually
from tests.service.images import encoded, noise, plain

RED, GREEN = plain("red"), plain("green")
ALL = "predictions,embedding,logits,class_activation_map"


def post(service: Service, *images: bytes, **query: Any) -> httpx2.Response:
    files = [("file", (f"{index}", image)) for index, image in enumerate(images or (RED,))]
    response: httpx2.Response = service.client.post("/predict", files=files, params=query)
    return response


def answer(service: Service, *images: bytes, **query: Any) -> Any:
    response = post(service, *images, **query)
    assert response.status_code == 200, response.text
    body = response.json()
    kind: Any = SeveralImages if len(images) > 1 else OneImage
    TypeAdapter(kind).validate_python(body, strict=True)
    return body


def refusal(response: httpx2.Response, status: int = 422) -> str:
    assert response.status_code == status, response.text
    return str(response.json()["detail"])


def floats(text: str) -> list[float]:
    found: list[float] = np.frombuffer(base64.b64decode(text), "<f4").tolist()
    return found


def opened(url: str) -> Image.Image:
    assert url.startswith("data:image/png;base64,")
    return Image.open(io.BytesIO(base64.b64decode(url.split(",")[1])))


def test_without_outputs_the_answer_is_what_it_was(service: Service) -> None:
    assert [*answer(service)] == ["request_id", "model", "predictions", "timing_ms"]
    assert [*answer(service, outputs="predictions")] == [*answer(service)]


def test_every_output_of_one_image(service: Service) -> None:
    body = answer(service, outputs=ALL, top_k=2)
    assert len(body["embedding"]) == FEATURES
    assert body["embedding"][:4] == [1, 0, 0, 0]
    bias = service.model.artifact.head.bias
    expected = np.array(body["embedding"]) @ service.model.artifact.head.kernel + bias
    assert body["logits"] == pytest.approx(expected)
    maps = body["class_activation_maps"]
    named = [(one["class_id"], one["label"], one.get("wnid")) for one in maps]
    assert named == [
        (one["class_id"], one["label"], one.get("wnid")) for one in body["predictions"]
    ]
    assert len(maps) == 2
    for one in maps:
        assert one["shape"] == [2, 2]
        values = np.array(one["map"], np.float32)
        assert (one["min"], one["max"]) == (values.min(), values.max())
        logit = body["logits"][one["class_id"]]
        assert values.mean() + bias[one["class_id"]] == pytest.approx(logit, abs=1e-4)
        assert "overlay" not in one
    size = service.model.artifact.manifest.preprocessing
    edge = 40 * (1 - size.crop_size / size.resize_edge) / 2
    assert body["crop_box"] == pytest.approx(
        {
            "left": edge,
            "top": edge,
            "right": 40 - edge,
            "bottom": 40 - edge,
            "width": 40,
            "height": 40,
        }
    )


def test_without_predictions(service: Service) -> None:
    body = answer(service, outputs="embedding")
    assert [*body] == ["request_id", "model", "embedding", "timing_ms"]


def test_several_images_and_one_that_fails(service: Service) -> None:
    results = answer(service, RED, b"none", GREEN, outputs=ALL, top_k=1)["results"]
    assert [one.get("embedding", [])[:3] for one in results] == [[1, 0, 0], [], [0, 1, 0]]
    assert [*results[1]] == ["error"]
    maps = [results[index]["class_activation_maps"] for index in (0, 2)]
    assert [[one["label"] for one in each] for each in maps] == [["red"], ["green"]]


@pytest.mark.parametrize("named", ["0,4", "n00000001,black", ["RED", "4"], " 0 , BLACK ,0"])
def test_maps_of_named_classes(service: Service, named: Any) -> None:
    body = answer(service, outputs="class_activation_map", classes=named)
    assert [one["class_id"] for one in body["class_activation_maps"]] == [0, 4]
    again = answer(service, outputs="class_activation_map", top_k=5)["class_activation_maps"]
    assert body["class_activation_maps"][0] in again
    assert body["class_activation_maps"][1] in again


def test_an_embedding_of_length_one(service: Service) -> None:
    image = encoded(noise(40, 40))
    raw = np.array(answer(service, image, outputs="embedding")["embedding"])
    unit = np.array(answer(service, image, outputs="embedding", normalized=True)["embedding"])
    assert np.linalg.norm(unit) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(unit, raw / np.linalg.norm(raw), rtol=1e-6)
    black = answer(service, plain("black"), outputs="embedding", normalized="true")
    assert set(black["embedding"]) == {0}


def test_base64_has_the_same_bits(service: Service) -> None:
    image = encoded(noise(50, 40))
    plainly = answer(service, image, outputs=ALL)
    packed = answer(service, image, outputs=ALL, encoding_format="base64")
    for name in ("embedding", "logits"):
        assert floats(packed[name]) == plainly[name]
    for one, other in zip(
        packed["class_activation_maps"], plainly["class_activation_maps"], strict=True
    ):
        assert floats(one["map"]) == np.ravel(other["map"]).tolist()
        assert one["shape"] == [2, 2]
    assert packed["predictions"] == plainly["predictions"]


def test_the_same_in_json(service: Service) -> None:
    given = {"outputs": ["predictions", "class_activation_map"], "classes": [4, "n00000001"]}
    body = {"image": base64.b64encode(RED).decode(), **given, "encoding_format": "base64"}
    response = service.client.post("/predict", json=body)
    found = response.json()
    assert response.status_code == 200, found
    in_query = answer(
        service, outputs="predictions,class_activation_map", classes="4,0", encoding_format="base64"
    )
    for name in ("predictions", "class_activation_maps", "crop_box"):
        assert found[name] == in_query[name]


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_an_overlay_has_the_aspect_ratio_of_the_upright_image(
    service: Service, orientation: int
) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image = encoded(Image.new("RGB", (600, 300), (255, 0, 0)), "JPEG", exif=exif.tobytes())
    body = answer(service, image, outputs="class_activation_map", classes=0, overlay=True)
    (one,) = body["class_activation_maps"]
    size = (600, 300) if orientation in (1, 3) else (300, 600)
    box = body["crop_box"]
    assert (box["width"], box["height"]) == size
    overlay = opened(one["overlay"]).convert("RGBA")
    assert overlay.width / overlay.height == pytest.approx(size[0] / size[1])
    scale = overlay.width / size[0]
    alpha = np.asarray(overlay)[..., 3] > 0
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    # All of the picture is evidence for red, and nothing outside of the crop is shown.
    found = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    edges = [box[edge] * scale for edge in ("left", "top", "right", "bottom")]
    assert found == pytest.approx(edges, abs=1)


def test_no_evidence_is_transparent(service: Service) -> None:
    body = answer(service, outputs="class_activation_map", classes="green", overlay=True)
    (one,) = body["class_activation_maps"]
    assert one["max"] < 0
    assert not np.asarray(opened(one["overlay"]).convert("RGBA"))[..., 3].any()


@pytest.mark.parametrize(
    ("query", "says"),
    [
        (
            {"outputs": "labels"},
            "outputs are predictions, embedding, logits, class_act",
        ),
        ({"outputs": ""}, "outputs has an empty name"),
        ({"outputs": "logits,"}, "outputs has an empty name"),
        ({"outputs": "class_activation_map", "classes": "5"}, "index from 0 to 4"),
        ({"outputs": "class_activation_map", "classes": "-1"}, "index from 0 to 4"),
        ({"outputs": "class_activation_map", "classes": "9" * 99}, "index from 0 to 4"),
        ({"outputs": "class_activation_map", "classes": "dog"}, "Received: 'dog'"),
        ({"classes": "1"}, "classes belongs to the output class_activation_map"),
        ({"overlay": "true"}, "overlay belongs to the output class_activation_map"),
        ({"normalized": "1", "outputs": "logits"}, "normalized belongs to the output embedding"),
        ({"encoding_format": "hex"}, "'float' or 'base64'"),
        ({"overlay": "maybe"}, "overlay"),
    ],
)
def test_bad_options_are_refused_by_name(
    service: Service, query: dict[str, str], says: str
) -> None:
    assert says in refusal(post(service, **query))
    assert service.engine.batches == []


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"outputs": 3}, "outputs is a list"),
        ({"outputs": [True]}, "outputs is a list"),
        ({"outputs": []}, "outputs has an empty name"),
        ({"outputs": ["embedding"], "normalized": 1}, "normalized is true or false"),
        ({"encoding_format": "A" * 400}, "Received: LongText"),
        ({"outputs": ["class_activation_map"], "classes": {"a": 1}}, "classes is a list"),
    ],
)
def test_bad_options_in_json_are_refused_by_name(
    service: Service, members: dict[str, Any], says: str
) -> None:
    body = {"image": base64.b64encode(RED).decode(), **members}
    assert says in refusal(service.client.post("/predict", json=body))


def test_an_option_in_the_query_and_in_json_is_refused(service: Service) -> None:
    body = json.dumps({"image": base64.b64encode(RED).decode(), "outputs": ["logits"]})
    response = service.client.post("/predict?outputs=logits", content=body, headers=JSON)
    assert "outputs: in the query and in the body's JSON" in refusal(response)


JSON = {"Content-Type": "application/json"}


def test_overlays_are_limited(service: Service) -> None:
    images = [RED] * 32
    asked = {"outputs": "class_activation_map", "overlay": "true"}
    assert refusal(post(service, *images, *[RED] * 1, **asked), 400)
    body = answer(service, *images, **asked)
    assert len(body["results"]) == 32
    assert all(one["class_activation_maps"][4]["overlay"] for one in body["results"])


def test_too_many_classes_are_refused(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.protocols.outputs.wanted.MAX_MAP_CLASSES", 2)
    service = serve()
    detail = refusal(post(service, outputs="class_activation_map", classes="0,1,2"))
    assert "of 2 classes of an image at most" in detail
    assert "Asked for: 5" in refusal(post(service, outputs="class_activation_map"))
    assert MAX_MAP_CLASSES == 20


def test_too_many_overlays_are_refused(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.protocols.outputs.wanted.MAX_OVERLAYS", 3)
    service = serve()
    asked = {"outputs": "class_activation_map", "overlay": "true", "top_k": 2}
    assert "may have 3 overlays. Asked for: 4" in refusal(post(service, RED, RED, **asked))
    assert answer(service, **asked)


def test_a_batch_mixes_requests_with_and_without_maps(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[bool] = []
    item = BatchOutput.__getitem__

    def noted(output: BatchOutput, row: int, /) -> Any:
        kept.append(output.feature_map is not None)
        return item(output, row)

    monkeypatch.setattr(BatchOutput, "__getitem__", noted)
    engine = service.engine
    with ThreadPoolExecutor(4) as pool:
        with engine.blocked():
            first = pool.submit(answer, service)
            engine.wait_until_busy()
            mixed = [
                pool.submit(answer, service, RED, outputs=names)
                for names in ("predictions", "class_activation_map", "embedding")
            ]
            eventually(lambda: service.model.queue_depth == 3)
        answers = [one.result() for one in mixed]
        first.result()
    assert engine.batches == [1, 4]
    # Feature maps are kept for the batch with a request for them, and not for the other.
    assert kept == [False, True, True, True]
    assert [sorted(one.keys() - {"request_id", "model", "timing_ms"}) for one in answers] == [
        ["predictions"],
        ["class_activation_maps", "crop_box"],
        ["embedding"],
    ]


def used_bytes(service: Service) -> int:
    used: int = service.app.state.runtime.service.budget.used_bytes
    return used


def test_what_an_answer_holds_is_counted_and_given_back(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    draw = Overlays.draw

    async def noted(*given: Any, **named: Any) -> bytes:
        seen.append(used_bytes(service))
        return await draw(*given, **named)

    monkeypatch.setattr(Overlays, "draw", noted)
    body = answer(service, RED, RED, outputs="class_activation_map", classes="red", overlay="true")
    overlay = len(body["results"][0]["class_activation_maps"][0]["overlay"])
    assert seen[1] - seen[0] > overlay
    assert used_bytes(service) == 0


def test_an_answer_without_room_is_refused(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    service = serve(max_pending_bytes=2_000_000, max_body_bytes=1_000_000)
    budget = service.app.state.runtime.service.budget
    other = budget.hold("other")

    async def fill(*_: Any, **_named: Any) -> bytes:
        if room := budget.room("other"):
            other.take(room)
        return bytes(2_000_000)

    monkeypatch.setattr(Overlays, "draw", fill)
    asked = {"outputs": "class_activation_map", "overlay": "true"}
    response = post(service, RED, **asked)
    assert (response.status_code, response.json()["code"]) == (503, "memory_full")
    other.release()
    assert used_bytes(service) == 0


def test_the_deadline_holds_while_overlays_are_drawn(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()

    def never(*_: object) -> bytes:
        go.wait(20)
        return b""

    monkeypatch.setattr("service.http.outputs.overlays.overlay_png", never)
    response: httpx2.Response = service.client.post(
        "/predict",
        files=[("file", ("0", RED))],
        params={"outputs": "class_activation_map", "overlay": "true"},
        headers={"X-Request-Timeout-Ms": "2000"},
    )
    go.set()
    assert response.status_code == 504, response.text
    assert response.json()["code"] == "deadline_exceeded"


def test_a_label_of_two_classes_is_refused(service: Service) -> None:
    labels = (*LABELS[:4], LABELS[0])
    object.__setattr__(service.model, "artifact", _with_labels(service, labels))
    detail = refusal(post(service, outputs="class_activation_map", classes="red"))
    assert "'red' is the label of several classes: name one of 0, 4." in detail


def _with_labels(service: Service, labels: Any) -> Any:
    return replace(service.model.artifact, labels=labels)
