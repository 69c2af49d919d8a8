"""The lines of docs/scale.md for Spark, on two threads of this machine.

Needs Java and PySpark, which no extra has: `pip install pyspark`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pyarrow import dataset

from model_builder.artifact.manifest import Artifact

pytest.importorskip("pyspark")
if shutil.which("java") is None:
    pytest.skip("Spark needs Java", allow_module_level=True)

ROOT = Path(__file__).parents[3]
MADE = 'Scorer(Settings.of(models="resnet50", precision="int8", cpu_threads=1))'
IMAGES = 300


def test_the_documented_lines_score_a_folder(
    photos: Callable[[int], Path], artifact: Artifact, tmp_path: Path
) -> None:
    page = (ROOT / "docs/scale.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"```python\n(.*?mapInArrow.*?)```", page, re.DOTALL)
    folder = photos(IMAGES)
    (folder / "bad.jpg").write_bytes(b"bad")
    for documented, tested in (
        (MADE, f'Scorer(Settings.of(models="{artifact.folder}"), engines=(SPEC,))'),
        ("s3a://bucket/photos", str(folder)),
        ("s3a://bucket/scores", str(tmp_path / "scores")),
    ):
        assert documented in lines
        lines = lines.replace(documented, tested)
    script = tmp_path / "job.py"
    script.write_text(f"from tests.service.scoring.color_engine import SPEC\n{lines}")
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_SUBMIT_ARGS": "--master local[2] --conf spark.ui.enabled=false pyspark-shell",
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    rows = dataset.dataset(tmp_path / "scores", format="parquet").to_table().to_pylist()
    assert {row["path"].removeprefix("file:") for row in rows} == {
        str(path) for path in folder.rglob("*.jpg")
    }
    assert len(rows) == IMAGES + 1
    assert [row["error_code"] for row in rows if row["error"]] == ["unsupported_media_type"]
    assert sum(bool(row["predictions"]) for row in rows) == IMAGES
