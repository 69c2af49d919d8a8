"""The settings for fetching reach those who fetch."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_builder.errors import FetchFailed
from service.inference.loader import load_model
from service.observability.metrics import Metrics
from service.settings import Settings
from tests.model_builder.faulty_server import Fault, FaultyServer

# The one row with a plain URL and no other source.
NAME = "resnet101.keras_in1k"
ASKED = "/weights/storage.googleapis.com/tensorflow/keras-applications/resnet/"


def failure(settings: Settings) -> str:
    metrics = Metrics()
    with pytest.raises(FetchFailed) as raised:
        load_model(NAME, settings, metrics)
    return str(raised.value)


def test_offline(tmp_path: Path) -> None:
    settings = Settings.of(home=tmp_path, precision="float32", device="cpu", offline=True)
    assert "not asked: RESNET_OFFLINE is set" in failure(settings)


def test_mirror_and_timeout(faulty_server: FaultyServer, tmp_path: Path) -> None:
    faulty_server.faults.append(Fault(status=503, headers={"Retry-After": "5"}))
    settings = Settings.of(
        home=tmp_path,
        precision="float32",
        device="cpu",
        mirror=f"{faulty_server.url}/weights",
        fetch_timeout_seconds=3.0,
    )
    assert "the server answered 503 and asks for a wait of 5 s; the deadline of 3 s" in (
        failure(settings)
    )
    assert [asked.path.startswith(ASKED) for asked in faulty_server.asked] == [True]
