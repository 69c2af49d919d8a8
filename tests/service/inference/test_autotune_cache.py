"""A plan that was measured is used again on the same machine, and on no other."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from model_builder.artifact.manifest import Artifact
from service.batching.autotune_cache import AutotuneCache
from service.batching.batch_sizes import BatchSizes
from service.engines.base import Hardware
from service.engines.registry import engine_called
from service.inference.loader import autotune_cache_for
from service.inference.speed import key as module
from tests.service.fakes import FakeEngine

PLAN = BatchSizes({1: 0.02, 2: 0.035, 4: 0.0625})
HARDWARE = Hardware("auto", 2)
CPUINFO = "CPU\t: 0\nmodel name\t: EPYC\nflags\t\t: avx2\n\nprocessor\t: 1\n"


@pytest.fixture
def cpuinfo(tmp_path: Path) -> Path:
    path = tmp_path / "cpuinfo"
    path.write_text(CPUINFO)
    return path


@pytest.fixture
def find(tmp_path: Path, artifact: Artifact, cpuinfo: Path) -> Callable[..., AutotuneCache]:
    def found(artifact: Artifact = artifact, hardware: Hardware = HARDWARE) -> AutotuneCache:
        file = autotune_cache_for(
            tmp_path / "not yet" / "home",
            artifact,
            engine_called("tensorflow"),
            [FakeEngine()],
            hardware,
            cpuinfo,
        )
        assert file is not None
        return file

    return found


def test_the_next_start_finds_it(
    find: Callable[..., AutotuneCache], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert find().read() is None
    find().write(PLAN)
    assert find().read() == PLAN
    # A first start is nothing to speak of, and nothing else is left behind.
    assert caplog.text == ""
    assert [path.name for path in find().path.parent.iterdir()] == [
        "resnet18.colors-tensorflow-float32.json"
    ]


def test_another_artifact_does_not(find: Callable[..., AutotuneCache], artifact: Artifact) -> None:
    find().write(PLAN)
    rebuilt = replace(artifact.manifest, files={"network/model.tflite": "2" * 64})
    assert find(replace(artifact, manifest=rebuilt)).read() is None


def test_the_same_files_in_another_order_do(
    find: Callable[..., AutotuneCache], artifact: Artifact
) -> None:
    files = {"labels.json": "1" * 64, "network/model.tflite": "2" * 64}
    one, other = (
        replace(artifact, manifest=replace(artifact.manifest, files=dict(names)))
        for names in (files.items(), reversed(files.items()))
    )
    find(one).write(PLAN)
    assert find(other).read() == PLAN


def test_nor_another_machine(find: Callable[..., AutotuneCache], cpuinfo: Path) -> None:
    find().write(PLAN)
    assert find(hardware=Hardware("auto", 4)).read() is None
    cpuinfo.write_text(CPUINFO.replace("avx2", "avx2 avx512_vnni"))
    assert find().read() is None
    find().write(BatchSizes({1: 0.01}))
    assert find().read() == BatchSizes({1: 0.01})


def test_nor_other_software(
    find: Callable[..., AutotuneCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    find().write(PLAN)
    monkeypatch.setattr(module, "version", lambda package: f"another {package}")
    assert find().read() is None


def test_an_engine_installed_under_another_name_is_no_obstacle(
    find: Callable[..., AutotuneCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    """tensorflow-cpu, a vendor's own: the service's version and the CPU's must do."""

    def none(package: str) -> str:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(module, "version", none)
    find().write(PLAN)
    assert find().read() == PLAN


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("0.02", "-1"),
        lambda text: text.replace("0.02", "0.0"),
        lambda text: text.replace("0.02", "NaN"),
        lambda text: text.replace("0.02", "Infinity"),
        lambda text: text.replace('"1"', '"0"'),
        lambda text: json.dumps({**json.loads(text), "seconds": {}}),
    ],
)
def test_a_damaged_one_is_none(
    find: Callable[..., AutotuneCache], damage: Callable[[str], str]
) -> None:
    find().write(PLAN)
    path = find().path
    damaged = damage(path.read_text())
    assert damaged != path.read_text()
    path.write_text(damaged)
    assert find().read() is None


def test_sizes_that_other_rules_selected_are_not_used(
    find: Callable[..., AutotuneCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    find().write(PLAN)
    monkeypatch.setattr("service.inference.loader.RULES", "another version")
    assert find().read() is None
    # As an earlier version wrote it.
    file = find()
    key = {field: value for field, value in file.key.items() if field != "rules"}
    AutotuneCache(file.path, key).write(PLAN)
    assert file.read() is None


def test_where_none_can_be_kept_none_is(find: Callable[..., AutotuneCache]) -> None:
    # A file where the folder should be: as root even a read-only folder can be written to.
    folder = find().path.parent
    folder.parent.mkdir(parents=True)
    folder.write_text("")
    find().write(PLAN)
    assert find().read() is None


def test_a_gpu_has_none(tmp_path: Path, artifact: Artifact) -> None:
    spec, engines = engine_called("tensorflow"), [FakeEngine("gpu:0")]
    assert autotune_cache_for(tmp_path, artifact, spec, engines, HARDWARE) is None


def test_a_pipe_in_its_place_is_not_waited_for(find: Callable[..., AutotuneCache]) -> None:
    find().path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(find().path)
    assert find().read() is None
