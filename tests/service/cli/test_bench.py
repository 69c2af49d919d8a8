"""resnet bench, with small networks that really run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from model_builder.build.cache import ArtifactCache
from model_builder.build.subprocess import BuildRequest
from service.cli.main import main
from service.engines.registry import engine_called
from tests.service.older_home import NAME, make_home

run = CliRunner(env={"COLUMNS": "200", "RESNET_DEVICE": "cpu", "RESNET_CPU_THREADS": "1"}).invoke


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With float32 for both engines, and nothing in int8."""
    home = make_home(tmp_path_factory.mktemp("home"))
    cache = ArtifactCache(home, build=BuildRequest.run)
    cache.obtain(NAME, engine_called("openvino").target("float32"))
    return home


def test_a_row_for_each_artifact_and_what_is_missing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.engines.openvino.has_bfloat16", lambda *_: False)
    monkeypatch.setattr("service.inference.speed.taken.has_bfloat16", lambda: False)
    done = run(main, ["bench", NAME, f"--home={home}", "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    rows = {(row["engine"], row["precision"]): row for row in report["engines"]}
    assert list(rows) == [("openvino", "float32"), ("tensorflow", "float32")]
    for row in rows.values():
        assert row["agreement_percent"] == 100
        assert 0 < row["batch_1_images_per_second"] <= 1e6
        assert row["best_batch"] in (1, 2, 4, 8)
        assert row["best_images_per_second"] >= row["batch_1_images_per_second"]
        assert row["cpu_ms"] > 0
        assert row["memory_mb"] > 50
    assert rows["openvino", "float32"]["taken_by"] == ["auto"]
    assert rows["tensorflow", "float32"]["taken_by"] == []
    assert "litert int8: no artifact" in report["not_measured"]
    shown = run(main, ["bench", NAME, f"--home={home}"])
    assert shown.exit_code == 0, shown.output
    assert "openvino" in shown.output
    assert "Not measured: litert int8: no artifact. --build builds what is missing." in shown.output


def test_a_model_that_there_is_not(home: Path) -> None:
    done = run(main, ["bench", "resnet51", f"--home={home}"])
    assert done.exit_code == 2
    assert "resnet51 can't be measured. No model is called 'resnet51'" in done.output


def test_a_damaged_artifact_is_not_measured(home: Path) -> None:
    network = home / "artifacts" / f"{NAME}-tensorflow-float32" / "network"
    (network / "saved_model.pb").write_bytes(b"")
    done = run(main, ["bench", NAME, f"--home={home}", "--json"])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert "tensorflow float32: no artifact" in report["not_measured"]
    assert [row["engine"] for row in report["engines"]] == ["openvino"]
