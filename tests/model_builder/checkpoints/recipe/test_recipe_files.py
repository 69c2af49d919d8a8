"""timm's and transformers' statements of how an image is prepared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import save_file

from model_builder.checkpoints.loader import read_checkpoint
from model_builder.checkpoints.recipe import files
from model_builder.checkpoints.recipe.files import Beside, read_recipe
from model_builder.errors import ConversionFailed
from model_builder.system.regular_file import read_regular_file
from tests.fuzz.checkpoints import state_dict

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
OF_255 = {
    "mean": pytest.approx((123.675, 116.28, 103.53)),
    "std": pytest.approx((58.395, 57.12, 57.375)),
}
TIMM = {
    "input_size": [3, 224, 224],
    "interpolation": "bicubic",
    "crop_pct": 0.95,
    "mean": MEAN,
    "std": STD,
    "first_conv": "conv1",
}
PROCESSOR = {
    "do_normalize": True,
    "do_resize": True,
    "image_mean": MEAN,
    "image_std": STD,
    "resample": 3,
}
CONVNEXT = {**PROCESSOR, "feature_extractor_type": "ConvNextFeatureExtractor", "crop_pct": 0.875}
VIT = {**PROCESSOR, "image_processor_type": "ViTImageProcessor"}


def fields(folder: Path, content: Any, name: str = "config.json") -> dict[str, Any]:
    path = folder / name
    path.write_text(json.dumps(content))
    return dict(read_recipe(path).fields)


@pytest.mark.parametrize(
    "kind",
    [
        "LevitImageProcessor",
        "PoolFormerImageProcessorFast",
        "EfficientNetImageProcessor",
        "Siglip2X",
    ],
)
def test_processors_whose_members_mean_something_else(tmp_path: Path, kind: str) -> None:
    """LeViT's resizes to 256/224 of its size, PoolFormer's to size / crop_pct, EfficientNet's
    normalizes twice. All of it is asked for.
    """
    content = {
        **PROCESSOR,
        "size": {"shortest_edge": 224},
        "crop_size": 224,
        "do_center_crop": True,
    }
    assert fields(tmp_path, {**content, "image_processor_type": kind}) == {}
    for known in ("CLIPImageProcessorFast", "BitImageProcessor", "MobileNetV2FeatureExtractor"):
        assert fields(tmp_path, {**content, "image_processor_type": known})["crop_size"] == 224


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"resize_mode": "crop", "resize_edge": 235, "crop_size": 224}),
        ({"crop_pct": 0.875}, {"resize_edge": 256}),
        ({"crop_pct": 1.0}, {"resize_edge": 224}),
        ({"crop_pct": None}, {"resize_edge": 256}),
        ({"crop_mode": "squash"}, {"resize_mode": "squash", "resize_edge": 235}),
        (
            {"crop_mode": "border", "crop_pct": 1.0},
            {"resize_mode": "letterbox", "resize_edge": 224, "fill": (124, 116, 104)},
        ),
        ({"input_size": [3, 288, 288]}, {"crop_size": 288, "resize_edge": 303}),
        ({"interpolation": "lanczos"}, {"interpolation": "lanczos"}),
        (
            {"input_size": [1, 64, 64], "mean": [0.5], "std": [0.25]},
            {"channel_order": "L", "mean": (127.5,) * 3, "std": (63.75,) * 3},
        ),
    ],
)
def test_timm(tmp_path: Path, changes: dict[str, Any], expected: dict[str, Any]) -> None:
    config = {**TIMM, **changes}
    basic = {"channel_order": "RGB", "interpolation": "bicubic", "antialias": True, **OF_255}
    for content in (config, {"architecture": "resnet18", "pretrained_cfg": config}):
        received = fields(tmp_path, content)
        assert received | {**basic, **expected} == received


def test_a_filter_of_training_alone_is_left_open(tmp_path: Path) -> None:
    assert "interpolation" not in fields(tmp_path, {**TIMM, "interpolation": "random"})


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        # microsoft/resnet-50, as published.
        ({**CONVNEXT, "size": 224}, {"resize_mode": "crop", "resize_edge": 256, "crop_size": 224}),
        (
            {**CONVNEXT, "size": {"shortest_edge": 224}, "crop_pct": None},
            {"resize_mode": "crop", "resize_edge": 256, "crop_size": 224},
        ),
        (
            {**CONVNEXT, "size": {"shortest_edge": 384}},
            {"resize_mode": "squash", "resize_edge": 384, "crop_size": 384},
        ),
        (
            {**VIT, "size": {"height": 224, "width": 224}, "resample": 2},
            {
                "resize_mode": "squash",
                "resize_edge": 224,
                "crop_size": 224,
                "interpolation": "bilinear",
            },
        ),
        ({**VIT, "size": 224}, {"resize_mode": "squash", "resize_edge": 224}),
        (
            {
                **PROCESSOR,
                "size": {"shortest_edge": 256},
                "do_center_crop": True,
                "crop_size": {"height": 224, "width": 224},
                "resample": 0,
            },
            {
                "resize_mode": "crop",
                "resize_edge": 256,
                "crop_size": 224,
                "interpolation": "nearest",
            },
        ),
        (
            {
                **VIT,
                "size": {"height": 256, "width": 256},
                "do_center_crop": True,
                "crop_size": 224,
            },
            {"resize_mode": "squash", "resize_edge": 256, "crop_size": 224},
        ),
        (
            {**VIT, "size": 224, "do_normalize": False},
            {"mean": (0.0,) * 3, "std": pytest.approx((255.0,) * 3)},
        ),
        (
            {**VIT, "size": 224, "do_rescale": False, "image_mean": [120.0] * 3, "image_std": 50.0},
            {"mean": (120.0,) * 3, "std": (50.0,) * 3},
        ),
        (
            {**VIT, "size": 224, "rescale_factor": 1 / 127.5, "image_mean": 1.0, "image_std": 1.0},
            {"mean": pytest.approx((127.5,) * 3), "std": pytest.approx((127.5,) * 3)},
        ),
        ({**VIT, "size": 224, "do_flip_channel_order": True}, {"channel_order": "BGR"}),
        (
            {**VIT, "size": 224, "image_mean": [0.5], "image_std": [0.5]},
            {
                "channel_order": "L",
                "mean": pytest.approx((127.5,) * 3),
                "std": pytest.approx((127.5,) * 3),
            },
        ),
    ],
)
def test_transformers(tmp_path: Path, content: dict[str, Any], expected: dict[str, Any]) -> None:
    received = fields(tmp_path, content, "preprocessor_config.json")
    basic = {"channel_order": "RGB", "interpolation": "bicubic", "antialias": True, **OF_255}
    for field, value in {**basic, **expected}.items():
        assert received[field] == value, field


def test_images_that_came_in_resized_leave_the_resize_open(tmp_path: Path) -> None:
    received = fields(tmp_path, {**VIT, "size": 224, "do_resize": False})
    assert "resize_edge" not in received
    assert received["channel_order"] == "RGB"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({**TIMM, "input_size": [3, 224, 160]}, "input_size must be square. Received: 224 x 160"),
        ({**TIMM, "input_size": [4, 224, 224]}, "input_size must have 1 or 3 channels"),
        ({**TIMM, "crop_pct": 0}, "crop_pct: Input should be greater than or equal to 0.1"),
        (
            {**TIMM, "crop_mode": "tile"},
            "crop_mode: Input should be 'center', 'squash' or 'border'",
        ),
        ({**TIMM, "std": "small"}, "std: Input should be a valid list"),
        ({**VIT, "size": {"height": 224, "width": 160}}, "size must be square, or a shortest_edge"),
        ({**PROCESSOR, "size": {"shortest_edge": 224}}, "their shortest edge alone are not square"),
        ({**VIT, "size": 224, "rescale_factor": 0}, "rescale_factor: Input should be greater"),
        ({**VIT, "size": 224, "image_mean": [1, 2]}, "image_mean must have 1 or 3 values"),
        ({"model_type": "resnet"}, "states no preprocessing: it is neither a pretrained_cfg of"),
        ([1], "has no JSON object"),
    ],
)
def test_what_is_no_recipe_is_refused(tmp_path: Path, content: Any, said: str) -> None:
    with pytest.raises(ConversionFailed, match=r"config\.json") as refusal:
        fields(tmp_path, content)
    assert said in str(refusal.value)


@pytest.mark.parametrize("content", ["{", '{"a": ' * 100_000, "\udcff"])
def test_what_is_no_json_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "preprocessor_config.json"
    path.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(ConversionFailed, match=r"preprocessor_config\.json can't be read"):
        read_recipe(path)
    with pytest.raises(ConversionFailed, match=r"preprocessor_config\.json can't be read"):
        Beside(tmp_path / "model.safetensors").recipe()


def test_a_file_beside_the_weights_is_found(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    assert Beside(weights).recipe() is None
    (tmp_path / "config.json").write_text(json.dumps({"pretrained_cfg": TIMM}))
    found = Beside(weights).recipe()
    assert found is not None
    assert (found.source, found.fields["resize_edge"]) == ("config.json", 235)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**CONVNEXT, "size": 224}))
    found = Beside(weights).recipe()
    assert found is not None
    assert (found.source, found.fields["resize_edge"]) == ("preprocessor_config.json", 256)
    assert Beside(tmp_path).recipe() == read_recipe(tmp_path) == found


@pytest.mark.parametrize("content", ["not JSON", "[1]", '{"lr": 0.1}'])
def test_another_config_beside_the_weights_is_ignored(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    assert Beside(tmp_path / "model.pth").recipe() is None
    assert Beside(tmp_path / "model.pth").labels() is None
    with pytest.raises(ConversionFailed, match=r"has no preprocessor_config\.json and no config"):
        read_recipe(tmp_path)


def test_a_file_beside_the_weights_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"pretrained_cfg": TIMM}))
    save_file(state_dict(), tmp_path / "model.safetensors")
    reads: list[Path] = []

    def read(path: Path, limit_bytes: int) -> bytes:
        reads.append(path)
        return read_regular_file(path, limit_bytes)

    monkeypatch.setattr(files, "read_regular_file", read)
    beside = Beside(tmp_path / "model.safetensors")
    with pytest.raises(ConversionFailed, match="A stem is"):
        read_checkpoint(tmp_path / "model.safetensors", beside=beside)
    assert beside.recipe() is not None
    assert beside.labels() is None
    assert [one.name for one in reads if one.exists()] == ["config.json"]


def test_labels_beside_the_weights_are_found(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"id2label": {"0": "cat", "1": "dog"}}')
    found = Beside(tmp_path / "model.pth").labels()
    assert found is not None
    assert [label.name for label in found.labels] == ["cat", "dog"]


def test_what_a_file_states_is_shown_in_one_short_line(tmp_path: Path) -> None:
    path = tmp_path / "preprocessor_config.json"
    size = {"wide\n" + "x" * 5000: 224}
    path.write_text(json.dumps({"image_processor_type": "ConvNextImageProcessor", "size": size}))
    with pytest.raises(ConversionFailed) as refused:
        read_recipe(path)
    message = str(refused.value)
    assert "size must be square, or a shortest_edge. Received: {'wide\\" in message
    assert "\n" not in message
    assert len(message) < 700 + len(str(path))
