"""What options, files and a checkpoint state, made into one preprocessing and shown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from model_builder.artifact.preprocessing import CAFFE, Preprocessing, imagenet_rgb
from model_builder.checkpoints.recipe.partial import PartialRecipe, whole
from model_builder.checkpoints.recipe.problems import Problems, check_epsilon
from model_builder.checkpoints.recipe.scale import UnclearScale, scale_of
from model_builder.checkpoints.recipe.settle import settle
from model_builder.checkpoints.recipe.view import view
from model_builder.errors import ConversionFailed

LIKE = whole(imagenet_rgb(256, "bilinear"), "resnet50.tv_in1k")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.mark.parametrize(
    ("mean", "std", "scale"),
    [
        (MEAN, STD, "1"),
        ((0.5,) * 3, (0.5,) * 3, "1"),
        ((0.1307,) * 3, (0.3081,) * 3, "1"),
        ((0, 0, 0), (0.5, 0.5, 0.5), "1"),
        ((0.5,) * 3, (1, 1, 1), "1"),
        ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375), "255"),
        ((103.939, 116.779, 123.68), (1, 1, 1), "255"),
        ((127.5,) * 3, (127.5,) * 3, "255"),
        ((0, 0, 0), (255, 255, 255), "255"),
        (None, STD, "1"),
        (None, (58.395, 57.12, 57.375), "255"),
        (MEAN, None, "1"),
        ((123.675, 116.28, 103.53), None, "255"),
    ],
)
def test_the_scale_is_recognized_by_size(mean: Any, std: Any, scale: str) -> None:
    assert scale_of(mean, std) == scale


@pytest.mark.parametrize(
    ("mean", "std", "said"),
    [
        ((0, 0, 0), (1, 1, 1), "State it: --scale 1, or --scale 255"),
        (None, (1, 1, 1), "State it: --scale 1, or --scale 255"),
        (MEAN, (58.395, 57.12, 57.375), "mean is on the scale 0 to 1 and the std on the scale 0"),
        ((123.675, 116.28, 103.53), STD, "mean is on the scale 0 to 255 and the std on the scale"),
    ],
)
def test_two_scales_or_either_are_refused(mean: Any, std: Any, said: str) -> None:
    with pytest.raises(UnclearScale, match=said):
        scale_of(mean, std)


def settled(sources: list[PartialRecipe], more: Any = None, **options: Any) -> Preprocessing:
    found = settle(options, sources, **(more or {})).preprocessing
    assert found is not None
    return found


def test_options_come_before_files_and_files_before_what_it_is_like() -> None:
    in_file = PartialRecipe({"crop_size": 192, "mean": (1.0, 2.0, 3.0)}, "the network")
    received = settled([in_file, LIKE], crop_size=160, antialias=None)
    assert received == replace(imagenet_rgb(256, "bilinear"), crop_size=160, mean=(1.0, 2.0, 3.0))
    said = settle({"crop_size": 160}, [in_file, LIKE]).said
    assert said[0] == "Mean: from the network."
    assert said[1].endswith("resize mode, std: from resnet50.tv_in1k.")


def test_mean_and_std_of_either_scale_are_the_same() -> None:
    by_1 = settled([LIKE], mean=(0.5, 0.25, 0.125), std=(0.5,) * 3)
    by_255 = settled([LIKE], mean=(127.5, 63.75, 31.875), std=(127.5,) * 3)
    assert by_1 == by_255
    assert settle({"mean": MEAN}, [LIKE]).said[0] == (
        "--mean and --std are taken as of pixels of 0 to 1."
    )
    stated: dict[str, Any] = {"mean": (0.0,) * 3, "std": (1.0,) * 3}
    assert settled([LIKE], {"scale": "1"}, **stated).std == (255.0,) * 3
    assert settled([LIKE], {"scale": "255"}, **stated).std == (1.0,) * 3


def test_a_crop_fraction_gives_the_edge() -> None:
    for fraction, edge in ((0.875, 256), (0.95, 235), (0.965, 232), (1.0, 224), (0.7, 320)):
        assert settled([LIKE], {"crop_fraction": fraction}).resize_edge == edge


def test_a_squashed_image_is_whole_unless_an_edge_is_stated() -> None:
    """`--like` of a checkpoint that crops 224 of 256 gives no edge for it."""
    assert settled([LIKE], resize_mode="squash").resize_edge == 224
    assert settled([LIKE], resize_mode="squash", resize_edge=256).resize_edge == 256
    assert settled([LIKE], {"crop_fraction": 0.875}, resize_mode="letterbox").resize_edge == 256


@pytest.mark.parametrize(
    ("options", "more", "said"),
    [
        ({"resize_edge": 100}, {}, "No network is fed like this: crop_size must be at least 1 and"),
        ({"std": (0.0, 1.0, 1.0)}, {"scale": "1"}, "std must be positive"),
        ({"mean": (0.0,) * 3, "std": (1.0,) * 3}, {}, "State it: --scale 1, or --scale 255."),
        ({}, {"crop_fraction": 1.5}, "--crop-fraction must be above 0 and at most 1"),
        ({"resize_edge": 256}, {"crop_fraction": 0.5}, "--resize and --crop-fraction state the"),
    ],
)
def test_nonsense_is_refused(options: dict[str, Any], more: dict[str, Any], said: str) -> None:
    with pytest.raises(ConversionFailed, match=said):
        settle(options, [LIKE], **more)


def test_what_is_missing_is_listed() -> None:
    found = settle({"crop_size": 224}, [PartialRecipe({"mean": (1, 1, 1)}, "x")])
    assert found.preprocessing is None
    assert found.missing[0].endswith("Missing: --resize, --interpolation, --channels, --std.")


def test_all_problems_are_listed_at_once() -> None:
    problems = Problems(["a"])
    with problems.collected():
        raise ConversionFailed("b")
    with problems.collected():
        check_epsilon(0.0)
    with pytest.raises(ConversionFailed) as refusal:
        problems.check()
    assert str(refusal.value).splitlines() == [
        "This is missing or wrong:",
        "- a",
        "- b",
        "- The epsilon of batch norms is above 0 and below 1. Received: 0.0",
    ]
    Problems().check()


def test_how_an_image_is_seen() -> None:
    assert view(imagenet_rgb(256, "bilinear")) == [
        "  resize   shorter edge to 256 pixels, bilinear with antialiasing",
        "  crop     center, 224 x 224 pixels (0.875 of the edge)",
        "  channels red, green, blue (RGB)",
        "  mean     123.675 116.28 103.53 for pixels of 0 to 255; "
        "0.485 0.456 0.406 for pixels of 0 to 1",
        "  std      58.395 57.12 57.375 for pixels of 0 to 255; "
        "0.229 0.224 0.225 for pixels of 0 to 1",
        "  input    (pixels - mean) / std, 224 x 224",
    ]
    squash = replace(CAFFE, resize_mode="squash", resize_edge=224, antialias=False)
    assert view(squash)[:3] == [
        "  resize   squashed to 224 x 224 pixels, bilinear without antialiasing",
        "  crop     none",
        "  channels blue, green, red (BGR)",
    ]
    letterbox = replace(squash, resize_mode="letterbox", interpolation="nearest", fill=(1, 2, 3))
    assert view(letterbox)[0] == (
        "  resize   longer edge to 224 pixels, borders of the color 1 2 3, nearest"
    )
