"""The alerts of drift, on metrics of the real network: silent for the stream that a model was
calibrated on, and firing for one that is dark, blurred or of another domain.

promtool evaluates the rules over streams whose every scrape counts the same images once more.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import yaml
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from model_builder.artifact.confidence import FittedConfidence
from model_builder.artifact.manifest import Artifact
from model_builder.errors import BuilderError
from service.engines.base import Engine
from service.engines.registry import load_engines
from service.evaluation.calibration.collect import Collected
from service.evaluation.calibration.fit import fit_confidence
from service.inference.artifacts import make_hardware, obtain_artifact
from service.inference.confidence.assessor import Assessor
from service.inference.confidence.drift import drift_of
from service.observability.metrics import Metrics
from service.settings import Settings

ROOT = Path(__file__).parents[2]
OURS = ROOT / "model_builder" / "build" / "calibration_photos"
SHARED = ROOT.parent / "shared" / "photos"
ALERTS = ("ResnetInputDrift", "ResnetConfidenceDrift")
CROPS = 5
EDGE = 224
SCRAPES = 120
TIMEOUT_SECONDS = 60.0

pytestmark = [
    pytest.mark.weights,
    pytest.mark.skipif(
        not shutil.which("promtool"),
        reason="promtool is not installed (Debian: apt-get install prometheus)",
    ),
]

Pixels = npt.NDArray[np.uint8]


def crops(paths: Iterable[Path], seed: int, count: int) -> list[Image.Image]:
    """So many of each photo: half of it to all of it, turned over or not."""
    generator = np.random.default_rng(seed)
    made = []
    for path in paths:
        with Image.open(path) as photo:
            whole = photo.convert("RGB")
        for _ in range(count):
            edge = int(min(whole.size) * generator.uniform(0.7, 1))
            left, top = (int(generator.uniform(0, size - edge)) for size in whole.size)
            part = whole.crop((left, top, left + edge, top + edge)).resize((EDGE, EDGE))
            turned = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            made.append(turned if generator.random() < 0.5 else part)
    return made


def dark(image: Image.Image) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(0.04)


def blurred(image: Image.Image) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(12))


def receipts(count: int) -> list[Image.Image]:
    """Lines of text on paper."""
    generator = np.random.default_rng(9)
    made = []
    for _ in range(count):
        image = Image.new("RGB", (EDGE, EDGE), (240, 238, 230))
        draw = ImageDraw.Draw(image)
        for line in range(0, EDGE, int(generator.integers(10, 16))):
            letters = generator.integers(97, 123, int(generator.integers(8, 30)))
            draw.text((6, line), "".join(map(chr, letters)), fill=(20, 20, 30))
        made.append(image)
    return made


SHIFTS: dict[str, Callable[[Sequence[Image.Image]], list[Image.Image]]] = {
    "dark": lambda images: [dark(one) for one in images],
    "blurred": lambda images: [blurred(one) for one in images],
    "another domain": lambda images: receipts(len(images)),
}


class Network:
    """The default model in float32, as OpenVINO runs it."""

    def __init__(self, artifact: Artifact, engine: Engine) -> None:
        self.artifact = artifact
        self._engine = engine

    def run(self, images: Sequence[Image.Image], class_ids: Sequence[int] = ()) -> Collected:
        """class_ids: the labels."""
        pooled = np.concatenate(
            [self._engine.run(np.asarray(one)[None]).mean(axis=(1, 2)) for one in images]
        ).astype(np.float32)
        head = self.artifact.head
        logits = pooled @ head.kernel + head.bias
        return Collected(pooled, logits, np.array(class_ids, np.int64))

    def named(self, paths: Iterable[Path]) -> list[int]:
        """The classes of whole photos."""
        whole = [ImageOps.fit(Image.open(path).convert("RGB"), (EDGE, EDGE)) for path in paths]
        return [int(one) for one in self.run(whole).logits.argmax(axis=1)]

    def metrics_of(self, data: Collected, fitted: FittedConfidence) -> Metrics:
        """After the images were served once."""
        metrics = Metrics()
        assessor = Assessor(
            self.artifact.head, fitted, drift_of(self.artifact, fitted, metrics.drift).observe
        )
        for pooled, logits in zip(data.pooled, data.logits, strict=True):
            assessor.assess(pooled, logits)
        return metrics


@pytest.fixture(scope="module")
def network(home: Path) -> Network:
    settings = Settings.of(home=home, engine="openvino", precision="float32", device="cpu")
    hardware = make_hardware(settings)
    try:
        artifact = obtain_artifact("resnet50", settings, hardware)
    except BuilderError as error:
        pytest.skip(str(error))
    engine, *_ = load_engines(artifact, hardware)
    return Network(artifact, engine)


@pytest.fixture(scope="module")
def of_ours(network: Network) -> tuple[FittedConfidence, list[Image.Image]]:
    """A calibration on crops of the project's photos, and other crops of them."""
    photos = sorted(OURS.glob("*.jpg"))
    labels = np.repeat(network.named(photos), 2 * CROPS)
    data = network.run(crops(photos, seed=1, count=2 * CROPS), labels.tolist())
    fitted = fit_confidence(data, network.artifact.head, "crops", "").fitted
    return fitted, crops(photos, seed=2, count=CROPS)


def firing(metrics: Metrics, folder: Path) -> set[str]:
    """The alerts of drift that fire after half an hour and more of such a stream."""
    series = []
    for family in metrics.registry.collect():
        if not family.name.startswith(("resnet_confidence", "resnet_ood", "resnet_expected")):
            continue
        for sample in family.samples:
            labels = ", ".join(f'{name}="{value}"' for name, value in sample.labels.items())
            gauge = family.type == "gauge"
            values = f"{sample.value}x{SCRAPES}" if gauge else f"0+{sample.value}x{SCRAPES}"
            series.append({"series": f"{sample.name}{{{labels}}}", "values": values})
    found = set()
    for alert in ALERTS:
        fires = f'count(ALERTS{{alertname="{alert}", alertstate="firing"}}) or vector(0)'
        test = {
            "interval": "30s",
            "input_series": series,
            "promql_expr_test": [
                {
                    "expr": fires,
                    "eval_time": "50m",
                    "exp_samples": [{"labels": "{}", "value": 1}],
                }
            ],
        }
        path = folder / f"{alert}.yml"
        rules = str(ROOT / "deploy" / "alerts.yml")
        path.write_text(
            yaml.safe_dump({"rule_files": [rules], "evaluation_interval": "30s", "tests": [test]})
        )
        done = subprocess.run(
            ["promtool", "test", "rules", str(path)],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0 or "got:" in said, said
        if done.returncode == 0:
            found.add(alert)
    return found


def test_the_stream_of_the_calibration_fires_nothing(
    network: Network, of_ours: tuple[FittedConfidence, list[Image.Image]], tmp_path: Path
) -> None:
    fitted, images = of_ours
    metrics = network.metrics_of(network.run(images), fitted)
    assert firing(metrics, tmp_path) == set()


@pytest.mark.parametrize("shift", SHIFTS)
def test_a_shifted_stream_fires(
    network: Network,
    of_ours: tuple[FittedConfidence, list[Image.Image]],
    shift: str,
    tmp_path: Path,
) -> None:
    fitted, images = of_ours
    metrics = network.metrics_of(network.run(SHIFTS[shift](images)), fitted)
    assert "ResnetInputDrift" in firing(metrics, tmp_path)


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/photos is not here")
def test_other_photos_of_the_same_kind_fire_nothing_and_shifted_ones_do(
    network: Network, tmp_path: Path
) -> None:
    paths = sorted(SHARED.glob("*.JPEG"))
    known, others = crops(paths[0::2], seed=1, count=1), crops(paths[1::4], seed=2, count=1)
    class_ids = {label.wnid: index for index, label in enumerate(network.artifact.labels)}
    labels = [class_ids[path.name.partition("_")[0]] for path in paths[0::2]]
    data = network.run(known, labels)
    fitted = fit_confidence(data, network.artifact.head, "photos", "").fitted
    assert firing(network.metrics_of(network.run(others), fitted), tmp_path) == set()
    for shift in SHIFTS.values():
        metrics = network.metrics_of(network.run(shift(others)), fitted)
        assert "ResnetInputDrift" in firing(metrics, tmp_path)
