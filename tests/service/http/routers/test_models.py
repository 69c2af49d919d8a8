"""GET /models and /models/{name}."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from model_builder.artifact.labels import Label
from model_builder.artifact.manifest import MANIFEST, Artifact
from model_builder.artifact.report import Measurement
from model_builder.build.cache import ArtifactCache
from model_builder.checkpoints.catalog import CHECKPOINTS, DEFAULT_CHECKPOINTS
from model_builder.checkpoints.checkpoint import Checkpoint
from model_builder.checkpoints.custom import CustomCheckpoint, write_custom
from model_builder.errors import BuilderError
from model_builder.networks.config import DEPTHS, ResNetConfig, name_of_depth
from service.http import model_list
from service.http.schemas import LabelsBody
from service.inference import model_info
from service.inference.model import Model
from tests.service.color_artifact import MODEL_NAME, PREPROCESSING
from tests.service.conftest import MakeModel, Service, TestClient
from tests.service.fakes import LABELS, WAIT_SECONDS
from tests.service.images import plain


def listed(client: TestClient) -> dict[str, dict[str, Any]]:
    """Each depth's entry by its name."""
    response = client.get("/models")
    assert response.status_code == 200
    return {model["name"]: model for model in response.json()["models"]}


def rows(depth: int) -> list[Checkpoint]:
    """The catalog's checkpoints of one depth."""
    return [row for row in CHECKPOINTS.values() if row.depth == depth]


def test_every_depth_is_listed(service: Service) -> None:
    body = service.client.get("/models").json()
    assert body["default"] == MODEL_NAME
    assert [model["depth"] for model in body["models"]] == list(DEPTHS)


def test_what_is_served(service: Service) -> None:
    model = listed(service.client)["resnet18"]
    assert model["state"] == "ready"
    assert model["reason"] == f"Served: POST /predict?model={MODEL_NAME}"
    assert (model["input_size"], model["classes"]) == (32, len(LABELS))
    architecture = ResNetConfig.of("resnet18", classes=len(LABELS))
    assert model["parameters"] == architecture.parameters()
    assert model["macs"] == architecture.macs(32)
    (checkpoint,) = (one for one in model["checkpoints"] if one["name"] == MODEL_NAME)
    assert checkpoint["state"] == "ready"
    assert checkpoint["default"] is False
    assert checkpoint["top1_percent"] is None
    assert checkpoint["served"] == {
        "precision": "float32",
        "engine": "tensorflow",
        "devices": ["cpu:0"],
        "batch_sizes": [1, 2, 4],
        "batches_at_once": 1,
        "load_seconds": 1.23,
        "memory_bytes": 4567,
        "measured": [],
        "calibration": None,
    }


def test_folders_of_this_machine_are_not_shown(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = [
        ("other crops of /home/me/my photos/val/", "other crops of val"),
        ("other crops of photos/val", "other crops of val"),
        ("/srv/images", "images"),
        ("the photos that come with the code", "the photos that come with the code"),
    ]
    report = tuple(Measurement(images, 8, 99.0) for images, _ in measured)
    monkeypatch.setattr(service.model, "artifact", replace(service.model.artifact, report=report))
    model = listed(service.client)["resnet18"]
    (served,) = (one["served"] for one in model["checkpoints"] if one["served"])
    assert [one["images"] for one in served["measured"]] == [shown for _, shown in measured]


@pytest.mark.parametrize("depth", [34, 50, 101, 152])
def test_what_could_be_served(service: Service, depth: int) -> None:
    model = listed(service.client)[f"resnet{depth}"]
    assert model["state"] == "available"
    assert model["reason"] == f"Not loaded: start the service with RESNET_MODELS=resnet{depth}"
    assert model["checkpoints"] == [
        {
            "name": row.name,
            "default": row.name == DEFAULT_CHECKPOINTS[name_of_depth(depth)],
            "parameters": row.architecture.parameters(),
            "macs": row.architecture.macs(row.preprocessing.crop_size),
            "licence": row.licence,
            "paper": row.paper,
            "top1_percent": row.top1_percent,
            "top5_percent": row.top5_percent,
            "state": "available",
            "reason": None,
            "served": None,
        }
        for row in rows(depth)
    ]


@pytest.mark.parametrize("depth", DEPTHS)
def test_one_checkpoint_of_each_depth_is_its_default(service: Service, depth: int) -> None:
    checkpoints = listed(service.client)[f"resnet{depth}"]["checkpoints"]
    (default,) = [one["name"] for one in checkpoints if one["default"]]
    assert default == DEFAULT_CHECKPOINTS[name_of_depth(depth)]


def test_a_checkpoint_that_was_imported_here(service: Service) -> None:
    home: Path = service.app.state.runtime.settings.model.home
    imported = CustomCheckpoint(
        name="my.flowers",
        architecture=ResNetConfig.of("resnet34", classes=2),
        preprocessing=PREPROCESSING,
        labels=(Label("rose"), Label("tulip")),
        source="flowers.safetensors",
        digest="none",
    )
    write_custom(ArtifactCache(home).own, imported, {})
    *_, last = listed(service.client)["resnet34"]["checkpoints"]
    assert (last["name"], last["state"], last["default"]) == ("my.flowers", "available", False)
    assert last["licence"] == "your own"
    assert service.client.get("/models/my.flowers").json()["depth"] == 34


@pytest.mark.parametrize(
    ("depth", "block", "parameters", "macs"),
    # He et al. 2015, table 1: 3.6 and 3.8 billion; torchvision's tables for the parameters.
    [(34, "basic", 21_797_672, 3.66e9), (50, "bottleneck", 25_557_032, 3.86e9)],
)
def test_what_a_depth_costs(
    service: Service, depth: int, block: str, parameters: int, macs: float
) -> None:
    model = listed(service.client)[f"resnet{depth}"]
    assert (model["block"], model["parameters"]) == (block, parameters)
    assert model["macs"] == pytest.approx(macs, rel=0.01)
    assert model["input_size"] == 224


@pytest.mark.parametrize("name", ["resnet18", MODEL_NAME, "resnet50", "resnet50.keras_in1k"])
def test_one_model_by_its_depth_or_a_checkpoint(service: Service, name: str) -> None:
    response = service.client.get(f"/models/{name}")
    assert response.status_code == 200
    assert response.json() == listed(service.client)[name.partition(".")[0]]


@pytest.mark.parametrize("name", ["resnet19", "vgg16", "resnet50.other"])
def test_no_such_model(service: Service, name: str) -> None:
    response = service.client.get(f"/models/{name}")
    assert response.status_code == 404
    assert response.headers["Content-Type"] == "application/problem+json"
    body = response.json()
    assert body["code"] == "model_not_found"
    assert repr(name) in body["detail"]
    assert "resnet152" in body["detail"]


def unavailable(model: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in model["checkpoints"] if one["state"] == "unavailable"]


@pytest.mark.parametrize("asked", ["resnet50", "resnet50.keras_in1k", "resnet50.tv_in1k"])
def test_what_is_loading_or_failed_to_is_unavailable_and_says_why(
    start_app: Callable[..., TestClient], asked: str
) -> None:
    go_on, failed = threading.Event(), threading.Event()

    def load(_: str) -> Model:
        go_on.wait(WAIT_SECONDS)
        raise BuilderError("the test is over")

    client = start_app(load, model=asked, on_failure=lambda _: failed.set())
    try:
        loading = listed(client)
    finally:
        go_on.set()
    assert failed.wait(WAIT_SECONDS)
    after = listed(client)
    assert (loading["resnet50"]["state"], after["resnet50"]["state"]) == ("unavailable",) * 2
    assert loading["resnet50"]["reason"] == f"loading {asked}"
    assert after["resnet50"]["reason"].startswith(f"{asked} can't be served: load_failed, incident")
    name = DEFAULT_CHECKPOINTS["resnet50"] if asked == "resnet50" else asked
    for models in (loading, after):
        (checkpoint,) = unavailable(models["resnet50"])
        assert checkpoint["name"] == name
        assert checkpoint["reason"] == models["resnet50"]["reason"]
        others = {model["state"] for depth, model in models.items() if depth != "resnet50"}
        assert others == {"available"}


def test_one_of_a_depth_is_ready_while_another_still_loads(
    start_app: Callable[..., TestClient], make_model: MakeModel
) -> None:
    go_on, waits = threading.Event(), threading.Event()

    def load(name: str) -> Model:
        if name == "resnet18":
            waits.set()
            go_on.wait(WAIT_SECONDS)
            raise BuilderError("the test is over")
        return make_model(name)

    client = start_app(load, models="resnet18")
    try:
        assert waits.wait(WAIT_SECONDS)
        model = listed(client)["resnet18"]
    finally:
        go_on.set()
    assert model["state"] == "ready"
    states = {one["name"]: (one["state"], one["reason"]) for one in model["checkpoints"]}
    assert states[MODEL_NAME] == ("ready", None)
    assert states[DEFAULT_CHECKPOINTS["resnet18"]] == ("unavailable", "loading resnet18")


def test_an_artifact_folder_that_still_loads_has_its_row(
    start_app: Callable[..., TestClient], artifact: Artifact, tmp_path: Path
) -> None:
    go_on = threading.Event()

    def load(_: str) -> Model:
        go_on.wait(WAIT_SECONDS)
        raise BuilderError("the test is over")

    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / MANIFEST).write_text("{")
    client = start_app(load, model=str(artifact.folder), models=str(broken))
    try:
        (checkpoint,) = unavailable(listed(client)["resnet18"])
    finally:
        go_on.set()
    assert checkpoint["name"] == MODEL_NAME
    assert checkpoint["reason"] == "loading artifact folder 1"


def test_it_is_read_again_when_something_changes_and_not_before(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    read = model_info.list_model_info

    def counted(*args: Any) -> Any:
        reads.append(args)
        return read(*args)

    monkeypatch.setattr(model_list, "list_model_info", counted)
    monkeypatch.setattr(model_list, "MAX_AGE_SECONDS", WAIT_SECONDS * 1000)
    first = service.client.get("/models").content
    assert all(service.client.get("/models").content == first for _ in range(5))
    assert service.client.get("/models/resnet18").status_code == 200
    assert len(reads) == 1
    test_a_checkpoint_that_was_imported_here(service)
    assert len(reads) == 2


def test_the_labels_of_a_served_model(service: Service) -> None:
    response = service.client.get(f"/models/{MODEL_NAME}/labels")
    assert response.status_code == 200
    body = response.json()
    LabelsBody.model_validate(body, extra="forbid")
    assert body["model"] == MODEL_NAME
    assert body["labels"] == [
        {"class_id": class_id, "wnid": label.wnid, "label": label.name}
        for class_id, label in enumerate(LABELS)
    ]
    headers = {"Content-Type": "image/png"}
    answer = service.client.post("/predict", content=plain("green"), headers=headers).json()
    best = answer["predictions"][0]
    assert body["labels"][best["class_id"]]["label"] == best["label"] == "green"


def test_the_labels_of_a_model_that_is_not_served(service: Service) -> None:
    """A depth that is only listed has none here."""
    for name in ("resnet152", "nope"):
        response = service.client.get(f"/models/{name}/labels")
        assert response.status_code == 404
        assert response.json()["code"] == "model_not_found"


def test_the_labels_of_a_model_that_is_loading(start_app: Callable[..., TestClient]) -> None:
    go_on = threading.Event()

    def load(_: str) -> Model:
        go_on.wait(WAIT_SECONDS)
        raise BuilderError("the test is over")

    client = start_app(load)
    response = client.get(f"/models/{MODEL_NAME}/labels")
    go_on.set()
    assert (response.status_code, response.json()["code"]) == (503, "model_not_ready")
