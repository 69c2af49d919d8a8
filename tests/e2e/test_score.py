"""Bulk scoring with the published weights: the answers are the server's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from tests.e2e.conftest import Server, resnet
from tests.e2e.test_predict import PHOTOS, WHAT_THEY_ARE

pytestmark = pytest.mark.weights


def test_rows_are_the_answers_of_the_server(
    post: Callable[..., httpx2.Response], float32_server: Server, tmp_path: Path
) -> None:
    assert float32_server.url
    out = tmp_path / "out.jsonl"
    options = ("--precision=float32", "--outputs=predictions,embedding", "--json")
    done = resnet("score", str(PHOTOS), str(out), *options)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["images"] == len(WHAT_THEY_ARE) + 1
    assert summary["errors"] == {"unsupported_media_type": 1}
    rows = {Path(row["path"]).name: row for row in map(json.loads, out.read_text().splitlines())}
    for photo, label in WHAT_THEY_ARE.items():
        answered = post(PHOTOS / photo).json()["predictions"]
        scored = rows[photo]["predictions"]
        assert scored[0]["label"] == label
        assert [one["class_id"] for one in scored] == [one["class_id"] for one in answered]
        assert [one["probability"] for one in scored] == pytest.approx(
            [one["probability"] for one in answered], abs=1e-4
        )
        assert len(rows[photo]["embedding"]) == 2048
