"""`resnet predict` on real photos, without a server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import Server

pytestmark = pytest.mark.weights

PHOTOS = Path(__file__).parents[1] / "photos"


def predict(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "service", "predict", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(autouse=True)
def _built(float32_server: Server, int8_server: Server) -> None:
    assert float32_server.url
    assert int8_server.url


def test_json_has_each_image_and_a_bad_one_its_error() -> None:
    coffee, text = str(PHOTOS / "coffee_cup.jpg"), str(PHOTOS / "README.md")
    done = predict(coffee, text, "--json", "--top-k", "1", "--precision", "float32")
    assert done.returncode == 1, done.stderr
    first, second = json.loads(done.stdout)
    assert first["image"] == coffee
    assert [one["label"] for one in first["predictions"]] == ["espresso"]
    assert "Received:" in second["error"]


def test_a_table_for_people() -> None:
    done = predict(str(PHOTOS / "chelsea_cat.jpg"), "--top-k", "2", "--precision", "int8")
    assert done.returncode == 0, done.stderr
    assert "Egyptian cat" in done.stdout
    assert "%" in done.stdout
