"""resnet import --try: an import in every new recipe is built and classifies a photo at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.e2e.conftest import COMMAND_TIMEOUT_SECONDS
from tests.model_builder.reference import random_state_dict
from tests.model_builder.torch_layout import save_safetensors

PHOTO = Path(__file__).parents[1] / "photos" / "chelsea_cat.jpg"
RECIPE = [
    *("--crop", "64", "--resize-mode", "letterbox", "--no-antialias", "--interpolation=bilinear"),
    *("--channels=L", "--mean", "0.5", "0.5", "0.5", "--std", "0.5", "0.5", "0.5"),
]


def test_the_classes_of_a_photo_follow_the_import(tmp_path: Path) -> None:
    state_dict = random_state_dict(18, np.random.default_rng(0), classes=3)
    state_dict["conv1.weight"] = state_dict["conv1.weight"][:, :1]
    weights = save_safetensors(tmp_path / "grey.safetensors", state_dict)
    labels = tmp_path / "class_to_idx.json"
    labels.write_text('{"rose": 1, "daisy": 0, "tulip": 2}')
    done = subprocess.run(
        [
            *(sys.executable, "-m", "service", "import", str(weights), "--name=flowers"),
            *("--epsilon=1e-5", f"--labels={labels}", *RECIPE),
            *(f"--try={PHOTO}", f"--home={tmp_path / 'home'}"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_TIMEOUT_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    described, classified = done.stdout.split("Building flowers to classify")
    assert "longer edge to 64 pixels, borders of the color 0 0 0, bilinear without" in described
    assert "0.5 0.5 0.5 for pixels of 0 to 1" in described
    assert "Try it:" not in described
    assert all(name in classified for name in ("daisy", "rose", "tulip"))
    assert "%" in classified
