"""Which artifact a CPU is served from, and what a start with it imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from model_builder.build.cache import ArtifactCache
from model_builder.errors import BuilderError
from service.engines.base import Hardware
from service.engines.registry import load_engines
from service.inference import artifacts as module
from service.inference.artifacts import obtain_artifact, possible_targets
from service.settings import Settings
from tests.model_builder.world import SIZE
from tests.service.older_home import NAME, make_home

CPU = Hardware("cpu", 1)
FRAMEWORKS = ("tensorflow", "keras", "h5py", "nncf", "torch", "absl", "openvino_telemetry")
# A service that loads its model, in a process that may open no socket of the internet.
START = """
import json, socket, sys, threading

class Local(socket.socket):
    def __init__(self, family=-1, *given, **options):
        assert family not in (socket.AF_INET, socket.AF_INET6), "a socket is opened"
        super().__init__(family, *given, **options)

socket.socket = Local
from service.inference.runtime import Runtime
from service.settings import Settings

def main():
    ready, failures = threading.Event(), []
    runtime = Runtime(Settings(), on_ready=ready.set, on_failure=failures.append)
    runtime.start()
    try:
        assert ready.wait(60), failures
        (model,) = runtime.repository.models
        manifest = model.artifact.manifest
        imported = sorted(name for name in sys.argv[1:] if sys.modules.get(name))
        print(json.dumps([manifest.engine, manifest.precision, imported]))
    finally:
        runtime.stop()

main()
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_home(tmp_path_factory.mktemp("home"))


def refuse(name: str) -> None:
    raise BuilderError(f"{name} can't be built here.")


def test_an_older_artifact_is_served_where_there_is_nothing_to_build_with(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Also float32's, where this CPU's own precision would be another."""
    monkeypatch.setattr(module, "check_buildable", refuse)
    found = obtain_artifact(NAME, Settings.of(home=home), CPU)
    assert (found.manifest.engine, found.manifest.precision) == ("tensorflow", "float32")
    assert [one.levelname for one in caplog.records] == ["WARNING"]
    assert caplog.messages == [
        "flowers: flowers can't be built here. Its artifact for tensorflow in float32 is served "
        "instead."
    ]


def test_an_artifact_in_a_precision_that_was_asked_for_is_replaced_by_no_other(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "check_buildable", refuse)
    # Nothing is downloaded either.
    monkeypatch.setattr(ArtifactCache, "obtain", lambda *_, **__: pytest.fail("it is asked for"))
    with pytest.raises(BuilderError, match="can't be built here"):
        obtain_artifact(NAME, Settings.of(home=home, precision="bfloat16"), CPU)
    with pytest.raises(BuilderError, match="can't be built here"):
        obtain_artifact(NAME, Settings.of(home=home, precision="int8"), CPU)


def test_one_for_openvino_is_built_beside_an_older_one_and_served_without_a_framework(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    settings = Settings.of(home=home, precision="float32")
    found = obtain_artifact(NAME, settings, CPU)
    assert (found.manifest.engine, found.manifest.precision) == ("openvino", "float32")
    said = [one for one in caplog.messages if "is built once" in one]
    assert said == [
        "flowers has an artifact for tensorflow in float32. The one for openvino in float32 is "
        "built once."
    ]
    caplog.clear()
    assert obtain_artifact(NAME, settings, CPU).manifest == found.manifest
    assert not caplog.records
    given = {"RESNET_HOME": str(home), "RESNET_MODELS": NAME, "RESNET_PRECISION": "float32"}
    done = subprocess.run(
        [sys.executable, "-c", START, *FRAMEWORKS],
        env={**os.environ, "RESNET_DEVICE": "cpu", **given},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["openvino", "float32", []]


@pytest.mark.parametrize(
    ("precision", "expected"),
    [
        ("float32", ["openvino float32", "tensorflow float32"]),
        ("auto", ["openvino float32", "tensorflow float32"]),
    ],
)
def test_what_the_settings_allow(precision: str, expected: list[str]) -> None:
    targets = possible_targets(Settings.of(precision=precision), CPU)
    named = [f"{one.engine} {one.precision}" for one in targets]
    assert named[-len(expected) :] == expected
    assert "int8" not in " ".join(named)


def test_int8_is_taken_where_it_is_asked_for() -> None:
    assert {one.precision for one in possible_targets(Settings.of(precision="int8"), CPU)} == {
        "int8"
    }
    automatic = possible_targets(Settings.of(precision="auto-int8"), CPU)
    assert (automatic[0].precision, automatic[-1].precision) == ("int8", "float32")


def test_the_network_answers_as_tensorflow_does(home: Path) -> None:
    """Both artifacts are of one checkpoint."""
    pixels = np.random.default_rng(1).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)
    features: dict[str, npt.NDArray[np.float32]] = {}
    for engine in ("tensorflow", "openvino"):
        settings = Settings.of(home=home, precision="float32", engine=engine)
        (loaded,) = load_engines(obtain_artifact(NAME, settings, CPU), CPU)
        features[engine] = loaded.run(pixels)
    np.testing.assert_allclose(features["openvino"], features["tensorflow"], rtol=1e-3, atol=1e-3)
