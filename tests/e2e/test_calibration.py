"""`resnet calibrate` on the real network, and a server that answers with what it fitted.

The network's softmax is made flat, as training with binary cross-entropy leaves it.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import httpx2
import numpy as np
import pytest

from model_builder.artifact.head import Head
from model_builder.artifact.manifest import Golden
from model_builder.artifact.report import REPORT
from model_builder.artifact.store_format import write_artifact
from model_builder.errors import BuilderError
from service.inference.artifacts import make_hardware, obtain_artifact
from service.settings import Settings
from tests.e2e.conftest import resnet, running

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "tests" / "photos" / "coffee_cup.jpg"
SHARED = ROOT.parent / "shared" / "photos"
FLATTER = np.float32(0.3)

pytestmark = [
    pytest.mark.weights,
    pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/photos is not here"),
]


@pytest.fixture(scope="module", params=["float32", "int8"])
def flat(
    request: pytest.FixtureRequest, home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The default model's artifact with smaller logits: the same classes, less sure."""
    precision = request.param
    settings = Settings.of(home=home, engine="openvino", precision=precision, device="cpu")
    try:
        artifact = obtain_artifact("resnet50", settings, make_hardware(settings))
    except BuilderError as error:
        pytest.skip(str(error))
    head, golden = artifact.head, artifact.golden

    def copy_network(network: Path) -> None:
        shutil.copytree(artifact.network, network)

    folder = tmp_path_factory.mktemp("artifacts") / "flat"
    write_artifact(
        folder,
        artifact.manifest,
        artifact.labels,
        Head(head.kernel * FLATTER, head.bias * FLATTER),
        Golden(golden.pixels, golden.logits * FLATTER),
        copy_network,
    )
    # The agreement of int8 with float32, without which it is not served.
    shutil.copy(artifact.folder / REPORT, folder / REPORT)
    return folder


def test_a_flat_softmax_is_made_right_and_served(flat: Path) -> None:
    environment = {"RESNET_MAX_BATCH_SIZE": "4"}
    done = resnet("calibrate", str(flat), str(SHARED), "--json", **environment)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    before, after = (figures[name]["expected_calibration_error"] for name in ("before", "after"))
    assert before > 0.5
    assert after < before / 5
    debiased = [figures[name]["debiased_calibration_error"] for name in ("before", "after")]
    assert debiased[1] < debiased[0] / 2
    assert figures["held_out"] == 200
    with running({**environment, "RESNET_MODELS": str(flat), "RESNET_DEVICE": "cpu"}) as server:
        assert server.url, server.messages()
        with httpx2.Client(base_url=server.url, timeout=60) as client:
            headers = {"Content-Type": "image/jpeg"}
            query = {"abstain_below": "0.5", "top_k": "1"}
            answer = client.post(
                "/predict", content=PHOTO.read_bytes(), headers=headers, params=query
            )
            body = answer.json()
    (best,) = body["predictions"]
    assert best["label"] == "espresso"
    assert best["probability"] < 0.5 < best["confidence"]
    assert body["abstained"] is False
    assert body["out_of_distribution"] is False
