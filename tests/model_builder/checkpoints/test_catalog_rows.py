"""Every row of the catalog, and how rows are found by name."""

from __future__ import annotations

import base64
import re

import pytest

from model_builder.checkpoints.catalog import CHECKPOINTS, DEFAULT_CHECKPOINTS, find_checkpoint
from model_builder.checkpoints.checkpoint import Checkpoint
from model_builder.checkpoints.download.sources.hub import HubSource
from model_builder.checkpoints.download.sources.npm import NpmSource
from model_builder.checkpoints.download.sources.source import Source
from model_builder.checkpoints.download.sources.url import UrlSource
from model_builder.errors import UnknownModel
from model_builder.networks.config import DEPTHS, RESNETS, name_of_depth
from model_builder.networks.members import MEMBERS

ROWS = pytest.mark.parametrize("row", CHECKPOINTS.values(), ids=list(CHECKPOINTS))
SOURCES = [
    pytest.param(source, id=f"{row.name}-{source.format}")
    for row in CHECKPOINTS.values()
    for source in row.sources
]


@ROWS
def test_rows_are_named_after_their_architecture(row: Checkpoint) -> None:
    assert re.fullmatch(rf"{row.architecture.name}\.[a-z0-9]+_in1k", row.name)
    assert row.architecture.name in (*RESNETS, *MEMBERS)
    assert CHECKPOINTS[row.name] is row
    assert find_checkpoint(row.name) is row


@ROWS
def test_rows_state_license_and_paper(row: Checkpoint) -> None:
    assert row.top1_percent is None or row.top5_percent is not None
    if row.top1_percent is not None and row.top5_percent is not None:
        assert 50 < row.top1_percent < row.top5_percent < 100
    assert row.licence
    assert row.paper.startswith("https://arxiv.org/abs/")
    assert row.architecture.classes == 1000
    assert row.architecture.shortcut == "B"  # A, C and none are not published
    assert 0 < row.architecture.batch_norm_epsilon < 1e-4
    assert row.sources


@pytest.mark.parametrize("source", SOURCES)
def test_sources_are_pinned(source: Source) -> None:
    if isinstance(source, UrlSource):
        assert source.url.startswith("https://")
        assert re.fullmatch(r"[\w.-]+\.h5", source.file_name)
        assert re.fullmatch("[0-9a-f]{32}", source.md5)
    elif isinstance(source, HubSource):
        assert re.fullmatch(r"[\w-]+/[\w.-]+", source.repository)
        # None where no publisher states it: the file is verified against the hub's ETag.
        assert source.sha256 is None or re.fullmatch("[0-9a-f]{64}", source.sha256)
        assert source.revision == "main" or re.fullmatch("[0-9a-f]{40}", source.revision)
    else:
        assert isinstance(source, NpmSource)
        algorithm, digest = source.integrity.split("-", 1)
        assert algorithm == "sha512"
        assert len(base64.b64decode(digest, validate=True)) == 64
        assert re.fullmatch("[0-9a-f]{64}", source.shards_sha256)
        assert re.fullmatch(r"\d+\.\d+\.\d+", source.version)
        assert source.size_bytes > 1_000_000


def test_no_two_sources_are_the_same() -> None:
    sources = [source for row in CHECKPOINTS.values() for source in row.sources]
    assert len({source.address for source in sources}) == len(sources)


def test_keras_checkpoints_have_the_hashes_of_keras() -> None:
    from keras.src.applications.resnet import BASE_WEIGHTS_PATH, WEIGHTS_HASHES

    for depth in (50, 101, 152):
        row = CHECKPOINTS[f"resnet{depth}.keras_in1k"]
        source = row.sources[0]
        assert isinstance(source, UrlSource)
        assert source.md5 == WEIGHTS_HASHES[f"resnet{depth}"][0]
        assert source.url.startswith(BASE_WEIGHTS_PATH)
        assert row.architecture.stride_in_1x1
        assert row.architecture.batch_norm_epsilon == 1.001e-5


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_depth_is_its_default_checkpoint(depth: int) -> None:
    row = find_checkpoint(f"resnet{depth}")
    assert row is CHECKPOINTS[DEFAULT_CHECKPOINTS[name_of_depth(depth)]]
    assert row.depth == depth


def test_every_depth_has_a_default() -> None:
    assert {row.family for row in CHECKPOINTS.values()} == set(DEFAULT_CHECKPOINTS)
    assert {row.architecture.base for row in CHECKPOINTS.values()} == set(RESNETS)


@pytest.mark.parametrize("name", ["resnet20", "ResNet50", "resnet50.none_in1k", "50", "vgg16", ""])
def test_unknown_names(name: str) -> None:
    with pytest.raises(UnknownModel, match=rf"^No model is called {re.escape(repr(name))}\. Known"):
        find_checkpoint(name)


def test_the_error_lists_the_known_names() -> None:
    with pytest.raises(UnknownModel) as raised:
        find_checkpoint("resnet20")
    for known in [*CHECKPOINTS, *DEFAULT_CHECKPOINTS]:
        assert known in str(raised.value)
