"""The rows of the catalog as data."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from model_builder.checkpoints.catalog import CHECKPOINTS, DEFAULT_CHECKPOINTS
from model_builder.checkpoints.checkpoint import Checkpoint
from model_builder.checkpoints.download.sources.hub import HubSource
from model_builder.checkpoints.download.sources.npm import NpmSource
from model_builder.checkpoints.download.sources.url import UrlSource
from model_builder.networks.config import DEPTHS, name_of_depth
from tests.interpreter import modules_after

ROWS = pytest.mark.parametrize("row", CHECKPOINTS.values(), ids=list(CHECKPOINTS))
HUB_ROWS = [row for row in CHECKPOINTS.values() if isinstance(row.sources[0], HubSource)]
DEPTHS_OF = {
    "keras_in1k": (50, 101, 152),
    "tv_in1k": (18, 34, 50, 101, 152),
    "tv2_in1k": (50, 101, 152),
    "a1_in1k": (18, 34, 50, 101, 152),
    "a1h_in1k": (50, 101, 152),
    "gluon_in1k": (18, 34, 50, 101, 152),
    "ms_in1k": (18, 34, 50, 101, 152),
}
LICENCES = {"keras": "MIT", "tv": "BSD-3-Clause", "tv2": "BSD-3-Clause"}


def tag(row: Checkpoint) -> str:
    return row.name.split(".")[1]


def test_every_series_of_checkpoints_has_its_depths() -> None:
    expected = {f"resnet{depth}.{tag}" for tag, depths in DEPTHS_OF.items() for depth in depths}
    assert CHECKPOINTS.keys() >= expected


@ROWS
def test_a_row_matches_its_name(row: Checkpoint) -> None:
    assert re.fullmatch(r"(wide_)?resnex?t(18|34|50|101|152)\w*\.[a-z0-9]+_in1k", row.name)
    assert row.name.startswith(f"{row.architecture.name}.")
    assert row.architecture.base == f"resnet{row.architecture.depth}"
    assert row.architecture.shortcut == "B"
    assert row.architecture.classes == 1000
    of_keras = tag(row) == "keras_in1k"
    assert row.architecture.stride_in_1x1 == of_keras
    assert row.architecture.batch_norm_epsilon == (1.001e-5 if of_keras else 1e-5)
    assert row.licence == LICENCES.get(tag(row).removesuffix("_in1k"), "Apache-2.0")
    assert re.fullmatch(r"https://arxiv\.org/abs/\d{4}\.\d{5}", row.paper)


@ROWS
def test_accuracies_are_plausible(row: Checkpoint) -> None:
    if tag(row) == "ms_in1k":  # Microsoft states none
        assert row.top1_percent is None
        assert row.top5_percent is None
    else:
        assert row.top1_percent is not None
        assert row.top5_percent is not None
        assert 69 < row.top1_percent < row.top5_percent < 97


@pytest.mark.parametrize("name", sorted({tag(row) for row in HUB_ROWS if row.top1_percent}))
def test_deeper_is_more_accurate(name: str) -> None:
    rows = sorted((row for row in HUB_ROWS if tag(row) == name), key=lambda row: row.depth)
    # Of one kind: the plain ones, "resnet{}d", "wide_resnet{}_2", ...
    kinds = {row.family.replace(str(row.depth), "{}") for row in rows}
    for kind in kinds:
        alike = [row for row in rows if row.family == kind.format(row.depth)]
        accuracies = [row.top1_percent for row in alike]
        assert accuracies == sorted(accuracies, key=lambda percent: percent or 0)


# Resize edge, interpolation and channel order; every row crops 224 pixels.
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet50.keras_in1k", (256, "bilinear", "BGR")),
        ("resnet18.tv_in1k", (256, "bilinear", "RGB")),
        ("resnet152.tv2_in1k", (232, "bilinear", "RGB")),
        ("resnet34.a1_in1k", (235, "bicubic", "RGB")),
        ("resnet50.a1h_in1k", (224, "bicubic", "RGB")),
        ("resnet101.a1h_in1k", (235, "bicubic", "RGB")),
        ("resnet152.gluon_in1k", (256, "bicubic", "RGB")),
        ("resnet18.ms_in1k", (256, "bicubic", "RGB")),
    ],
)
def test_recipes(name: str, expected: tuple[int, str, str]) -> None:
    recipe = CHECKPOINTS[name].preprocessing
    assert (recipe.resize_edge, recipe.interpolation, recipe.channel_order) == expected


@ROWS
def test_preprocessing_is_complete(row: Checkpoint) -> None:
    recipe = row.preprocessing
    assert recipe.crop_size == 224
    if recipe.channel_order == "BGR":
        assert recipe.mean == (103.939, 116.779, 123.68)
        assert recipe.std == (1, 1, 1)
    else:
        assert recipe.mean == pytest.approx((123.675, 116.28, 103.53))
        assert recipe.std == pytest.approx((58.395, 57.12, 57.375))


@ROWS
def test_sources_are_well_formed(row: Checkpoint) -> None:
    for source in row.sources:
        if isinstance(source, UrlSource):
            assert re.fullmatch(r"https://[a-z.]+/[\w./-]+\.h5", source.url)
            assert re.fullmatch("[0-9a-f]{32}", source.md5)
        elif isinstance(source, NpmSource):
            assert re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", source.integrity)
            assert re.fullmatch("[0-9a-f]{64}", source.shards_sha256)
        else:
            assert isinstance(source, HubSource)
            assert source.file == "model.safetensors"
            assert source.repository in (f"timm/{row.name}", f"microsoft/resnet-{row.depth}")
            assert source.format == ("torch" if "timm/" in source.repository else "transformers")
            assert re.fullmatch("main|[0-9a-f]{40}", source.revision)
            assert source.sha256 is None or re.fullmatch("[0-9a-f]{64}", source.sha256)


def test_sources_and_hashes_are_unique() -> None:
    sources = [source for row in CHECKPOINTS.values() for source in row.sources]
    assert max(Counter(sources).values()) == 1
    hub = [source for source in sources if isinstance(source, HubSource)]
    for published in (
        [source.sha256 for source in hub if source.sha256],
        [source.revision for source in hub if source.revision != "main"],
    ):
        assert len(published) >= 8
        assert len(set(published)) == len(published)


def test_importing_the_catalog_imports_no_client_and_no_reader() -> None:
    """Also where a checkpoint is pickled, as it is for the process that builds."""
    loaded = modules_after(
        "import pickle\n"
        "from model_builder.checkpoints.catalog import CHECKPOINTS\n"
        "assert pickle.loads(pickle.dumps(CHECKPOINTS)) == CHECKPOINTS"
    )
    assert "model_builder.checkpoints.download.sources.hub" in loaded
    assert not loaded & {"httpx2", "huggingface_hub", "tenacity", "h5py", "keras"}


@pytest.mark.parametrize("depth", DEPTHS)
def test_every_depth_has_a_default(depth: int) -> None:
    row = CHECKPOINTS[DEFAULT_CHECKPOINTS[name_of_depth(depth)]]
    assert row.depth == depth
    if depth != 50:  # also published on a package registry
        alike = [other for other in CHECKPOINTS.values() if other.family == row.family]
        assert row == max(alike, key=lambda other: other.top1_percent or 0)
    else:
        assert any(isinstance(source, NpmSource) for source in row.sources)
