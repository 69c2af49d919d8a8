"""resnet import: labels and recipes as people have them, and what it says of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from model_builder.checkpoints.custom import CustomCheckpoint, read_custom
from service.cli.main import main
from tests.model_builder.reference import random_state_dict
from tests.model_builder.torch_files import save_legacy, save_zip, tensors
from tests.model_builder.torch_layout import save_safetensors

run = CliRunner(env={"COLUMNS": "200"}).invoke
STATED = ["--resize", "256", "--crop", "224", "--interpolation", "bilinear", "--channels", "RGB"]
IMAGENET = ["--mean", "0.485", "0.456", "0.406", "--std", "0.229", "0.224", "0.225"]
LIKE = ["--like", "resnet18.tv_in1k"]
PROCESSOR = {
    "image_processor_type": "ConvNextImageProcessor",
    "size": {"shortest_edge": 224},
    "crop_pct": 0.875,
    "resample": 3,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ResNet-18 with three classes."""
    state_dict = random_state_dict(18, np.random.default_rng(0), classes=3)
    return save_safetensors(tmp_path_factory.mktemp("weights") / "three.safetensors", state_dict)


@pytest.fixture
def weights(three: Path, tmp_path: Path) -> Path:
    """The same in a folder of its own."""
    path = tmp_path / "three.safetensors"
    path.hardlink_to(three)
    return path


@pytest.fixture
def labels(tmp_path: Path) -> str:
    path = tmp_path / "labels.txt"
    path.write_text("cat\ndog\nrat\n")
    return f"--labels={path}"


def imported(weights: Path, *arguments: str) -> Result:
    home = f"--home={weights.parent / 'home'}"
    named = ["--name", "flowers", "--epsilon", "1e-5", "--replace"]
    return run(main, ["import", str(weights), *named, *arguments, home])


def stored(weights: Path, *arguments: str) -> CustomCheckpoint:
    done = imported(weights, *arguments)
    assert done.exit_code == 0, done.output
    return read_custom(weights.parent / "home" / "own", "flowers")


def test_it_ends_with_how_an_image_is_seen(weights: Path, labels: str) -> None:
    lines = imported(weights, *STATED, *IMAGENET, labels).output.splitlines()
    # Its weights are random.
    (warning,) = (line for line in lines if line.startswith("WARNING: on photos the network"))
    lines.remove(warning)
    assert lines[1:] == [
        "Labels: labels.txt, a name a line.",
        "--mean and --std are taken as of pixels of 0 to 1.",
        "How it sees an image:",
        "  resize   shorter edge to 256 pixels, bilinear with antialiasing",
        "  crop     center, 224 x 224 pixels (0.875 of the edge)",
        "  channels red, green, blue (RGB)",
        "  mean     123.675 116.28 103.53 for pixels of 0 to 255; "
        "0.485 0.456 0.406 for pixels of 0 to 1",
        "  std      58.395 57.12 57.375 for pixels of 0 to 255; "
        "0.229 0.224 0.225 for pixels of 0 to 1",
        "  input    (pixels - mean) / std, 224 x 224",
        "Serve it: RESNET_MODELS=flowers resnet serve",
        "Try it: resnet predict PHOTO --model flowers, or --try PHOTO with the import",
    ]


def test_options_of_every_recipe(weights: Path, labels: str) -> None:
    squash = stored(weights, *LIKE, labels, "--resize-mode", "squash", "--no-antialias")
    assert squash.preprocessing.resize_mode == "squash"
    assert (squash.preprocessing.resize_edge, squash.preprocessing.antialias) == (224, False)
    fill = ["--fill", "1", "2", "3"]
    letterbox = stored(weights, *LIKE, labels, "--resize-mode", "letterbox", *fill)
    assert letterbox.preprocessing.fill == (1, 2, 3)
    fraction = stored(weights, *LIKE, labels, "--crop-fraction", "0.95")
    assert fraction.preprocessing.resize_edge == 235
    scale = ["--mean", "0", "0", "0", "--std", "1", "1", "1", "--scale", "1"]
    assert stored(weights, *LIKE, labels, *scale).preprocessing.std == (255.0,) * 3
    of_255 = ["--mean", "123.675", "116.28", "103.53", "--std", "58.395", "57.12", "57.375"]
    on_255 = stored(weights, *STATED, *of_255, labels).preprocessing
    on_1 = stored(weights, *STATED, *IMAGENET, labels).preprocessing
    assert on_1.mean == pytest.approx(on_255.mean)


def test_files_beside_the_weights_are_read_and_said(weights: Path) -> None:
    folder = weights.parent
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    config = {"id2label": {"0": "cat", "1": "dog", "2": "rat"}}
    (folder / "config.json").write_text(json.dumps(config))
    done = imported(weights)
    assert "Labels: config.json beside the weights, id2label, index to name." in done.output
    assert "How images are prepared: from preprocessor_config.json beside" in done.output
    checkpoint = stored(weights)
    assert [label.name for label in checkpoint.labels] == ["cat", "dog", "rat"]
    assert checkpoint.preprocessing.interpolation == "bicubic"
    # What is named comes first.
    assert stored(weights, *LIKE).preprocessing.interpolation == "bilinear"


def test_like_names_a_file_or_a_folder(weights: Path, labels: str, tmp_path: Path) -> None:
    folder = tmp_path / "timm"
    folder.mkdir()
    config: dict[str, Any] = {
        "input_size": [3, 224, 224],
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "interpolation": "bicubic",
        "crop_pct": 0.95,
        "crop_mode": "squash",
    }
    (folder / "config.json").write_text(json.dumps({"pretrained_cfg": config}))
    for named in (folder, folder / "config.json"):
        preprocessing = stored(weights, "--like", str(named), labels).preprocessing
        assert (preprocessing.resize_mode, preprocessing.resize_edge) == ("squash", 235)
        assert preprocessing.mean == (127.5,) * 3


def test_everything_missing_or_wrong_is_listed_at_once(weights: Path, tmp_path: Path) -> None:
    two = tmp_path / "two.txt"
    two.write_text("cat\ndog\n")
    scale = ["--mean", "0", "0", "0", "--std", "1", "1", "1"]
    done = imported(weights, "--labels", str(two), *scale, "--epsilon", "0", "--try", "none.jpg")
    assert done.exit_code == 2
    assert done.output.splitlines() == [
        f"{weights} can't be imported. This is missing or wrong:",
        "  - The epsilon of batch norms is above 0 and below 1. Received: 0.0",
        "  - Pixels of 0 to 1 and of 0 to 255 may both be meant: mean 0 0 0, std 1 1 1. State it: "
        "--scale 1, or --scale 255. How the network was fed has to be stated: --like CHECKPOINT or "
        "FILE, or --resize, --crop, --interpolation, --channels, --mean, --std. Missing: --resize, "
        "--crop, --interpolation, --channels.",
        "  - two.txt names 2 classes, and the classifier has 3. Networks of TensorFlow may have a "
        "class more at 0, 'background'.",
        "  - --try none.jpg: there is no such file.",
    ]


def test_another_number_of_labels_beside_the_weights_is_said(weights: Path) -> None:
    (weights.parent / "config.json").write_text('{"id2label": {"0": "cat", "1": "dog"}}')
    done = imported(weights, *LIKE)
    assert done.exit_code == 2
    assert (
        "The classifier has 3 classes: name them with --labels FILE. config.json beside the "
        "weights names 2."
    ) in done.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--channels", "L"], "The network takes three: RGB or BGR. Received: --channels L"),
        (["--crop", "300"], "crop_size must be at least 1 and at most resize_edge"),
        (["--std", "0", "1", "1", "--scale", "255"], "std must be positive"),
        (["--mean", "300", "1", "1"], "mean must be on the scale 0 to 255"),
        (["--interpolation", "lanczos", "--no-antialias"], "without antialias"),
        (["--like", "no_such_file.json"], "No model is called 'no_such_file.json'"),
    ],
)
def test_nonsense_is_refused(weights: Path, labels: str, arguments: list[str], said: str) -> None:
    same = ["--mean", "100", "100", "100", "--std", "50", "50", "50"]
    first = same if "L" in arguments else []
    done = imported(weights, *LIKE, *first, labels, *arguments)
    assert done.exit_code == 2
    assert said in done.output


def test_a_network_of_one_channel_is_fed_grey(tmp_path: Path, labels: str) -> None:
    state_dict = random_state_dict(18, np.random.default_rng(0), classes=3)
    state_dict["conv1.weight"] = state_dict["conv1.weight"][:, :1]
    weights = save_safetensors(tmp_path / "grey.safetensors", state_dict)
    half = ["--mean", "0.5", "0.5", "0.5", "--std", "0.5", "0.5", "0.5"]
    checkpoint = stored(weights, *STATED[:-2], *half, labels)
    assert checkpoint.preprocessing.channel_order == "L"
    assert checkpoint.architecture.input_channels == 1
    refused = imported(weights, *STATED, *half, labels)
    assert "The network takes one channel: --channels L. Received: --channels RGB" in refused.output


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("class_to_idx", {"cat": 0, "rat": 2, "dog": 1}),
        ("idx_to_class", {0: "cat", 1: "dog", 2: "rat"}),
        ("classes", ("cat", "dog", "rat")),
    ],
)
def test_labels_that_were_saved_with_the_weights_are_read_and_said(
    tmp_path: Path, member: str, value: Any, legacy: bool
) -> None:
    state_dict = random_state_dict(18, np.random.default_rng(0), classes=3)
    saved = {"arch": "resnet18", "state_dict": tensors(state_dict), member: value}
    path = tmp_path / "checkpoint.pth"
    (save_legacy if legacy else save_zip)(path, saved)
    checkpoint = stored(path, *LIKE)
    assert [label.name for label in checkpoint.labels] == ["cat", "dog", "rat"]
    assert f"Labels: checkpoint.pth, {member}, " in imported(path, *LIKE).output


def test_members_that_are_no_labels_of_this_classifier_are_ignored(tmp_path: Path) -> None:
    state_dict = random_state_dict(18, np.random.default_rng(0), classes=3)
    saved = {"model": tensors(state_dict), "classes": [1, 2], "class_names": ["a", "b"]}
    path = tmp_path / "checkpoint.pth"
    save_zip(path, saved)
    done = imported(path, *LIKE)
    assert done.exit_code == 2
    assert "The classifier has 3 classes: name them with --labels FILE." in done.output
