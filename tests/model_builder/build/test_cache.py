"""Artifacts are found by name, and built where missing or damaged. With a real ResNet-18.

Its weights are random; the cache is given a small catalog that contains it.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from model_builder.artifact.labels import Label, imagenet1k
from model_builder.artifact.manifest import Artifact
from model_builder.artifact.store_format import read_artifact
from model_builder.build.cache import ArtifactCache
from model_builder.build.subprocess import BuildRequest
from model_builder.checkpoints.custom import CustomCheckpoint
from model_builder.checkpoints.download.sources.url import UrlSource
from model_builder.checkpoints.formats.state_dict import Tensors
from model_builder.errors import (
    BuilderError,
    FetchFailed,
    InvalidArtifact,
    UnknownModel,
    VerificationFailed,
)
from model_builder.networks.config import ResNetConfig
from tests.model_builder.random_networks import random_network, relative_difference, tensors_of
from tests.model_builder.reference import random_images
from tests.model_builder.targets import BFLOAT16, FLOAT32
from tests.model_builder.world import NAME, PREPROCESSING, SIZE, World, make_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return make_world(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="module")
def built(world: World, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Built once; tests that damage it use a copy."""
    store = ArtifactCache(tmp_path_factory.mktemp("home"), find=world.find, build=BuildRequest.run)
    return store.obtain(NAME, FLOAT32, checkpoint_file=world.file)


@pytest.fixture
def home(built: Artifact, tmp_path: Path) -> Path:
    shutil.copytree(built.folder, tmp_path / "artifacts" / built.folder.name)
    return tmp_path


def run(artifact: Artifact, pixels: Any) -> Any:
    module = tf.saved_model.load(str(artifact.network))
    features = module.signatures["serving_default"](pixels=tf.constant(pixels))["features"].numpy()
    assert features.dtype == np.float32
    return features.mean(axis=(1, 2)) @ artifact.head.kernel + artifact.head.bias


def test_a_missing_artifact_is_built(built: Artifact) -> None:
    assert built.folder.name == f"{NAME}-tensorflow-float32"
    assert built.folder.parent.name == "artifacts"
    assert read_artifact(built.folder).manifest == built.manifest
    assert [p.name for p in built.folder.parent.iterdir() if p.is_dir()] == [built.folder.name]


def test_its_manifest_says_where_it_comes_from(world: World, built: Artifact) -> None:
    manifest = built.manifest
    source = world.row.sources[0]
    assert isinstance(source, UrlSource)
    assert (manifest.name, manifest.precision, manifest.engine) == (NAME, "float32", "tensorflow")
    assert manifest.architecture == world.row.architecture
    assert manifest.preprocessing == PREPROCESSING
    assert manifest.provenance.source == source.url
    assert manifest.provenance.digest == f"md5-{source.md5}"
    assert manifest.provenance.top1_percent == 70.0
    assert manifest.versions == {"keras": keras.__version__, "tensorflow": tf.__version__}
    assert built.labels == imagenet1k()


@pytest.mark.parametrize("batch_size", [1, 3])
def test_it_gives_the_logits_of_the_published_network(
    world: World, built: Artifact, batch_size: int
) -> None:
    pixels = random_images(batch_size, size=SIZE, seed=1)
    expected = world.network((pixels.astype(np.float32) - 128) / 64, training=False)
    assert relative_difference(run(built, pixels), expected) < 1e-4


def test_in_bfloat16(world: World, built: Artifact, tmp_path: Path) -> None:
    store = ArtifactCache(tmp_path, find=world.find, build=BuildRequest.run)
    artifact = store.obtain(NAME, BFLOAT16, checkpoint_file=world.file)
    pixels = random_images(2, size=SIZE, seed=1)
    assert artifact.manifest.precision == "bfloat16"
    network_bytes = [(a.network / "saved_model.pb").stat().st_size for a in (artifact, built)]
    assert network_bytes[0] < 0.6 * network_bytes[1]
    # The worst of 2000 logits, each 8 bits of mantissa through 17 convolutions.
    assert relative_difference(run(artifact, pixels), run(built, pixels)) < 0.15


def test_an_existing_artifact_is_not_built_again(world: World, home: Path) -> None:
    """No file is given to build it from."""
    artifact = ArtifactCache(home, find=world.find, build=BuildRequest.run).obtain(NAME, FLOAT32)
    assert artifact.folder.parent == home / "artifacts"
    assert not (home / "checkpoints").exists()


def test_a_path_is_read_and_not_looked_up(world: World, built: Artifact, tmp_path: Path) -> None:
    artifact = ArtifactCache(tmp_path / "home", find=world.find).given_artifact(str(built.folder))
    assert artifact is not None
    assert artifact.manifest == built.manifest
    assert artifact.manifest.precision == "float32"
    assert not (tmp_path / "home").exists()


def test_a_damaged_artifact_at_a_path_is_refused(world: World, home: Path) -> None:
    """It belongs to the user: it is not built again."""
    (folder,) = (home / "artifacts").iterdir()
    (folder / "labels.json").write_text("[]")
    with pytest.raises(InvalidArtifact, match=r"is not as it was written: labels\.json"):
        ArtifactCache(home, find=world.find, build=BuildRequest.run).given_artifact(str(folder))


def change_a_byte(folder: Path, world: World) -> World:
    path = folder / "network" / "saved_model.pb"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return world


def lose_the_manifest(folder: Path, world: World) -> World:
    (folder / "manifest.json").unlink()
    return world


def change_the_catalogue(_: Path, world: World) -> World:
    preprocessing = replace(PREPROCESSING, mean=(1, 2, 3))
    return replace(world, row=replace(world.row, preprocessing=preprocessing))


@pytest.mark.parametrize("damage", [change_a_byte, lose_the_manifest, change_the_catalogue])
def test_a_damaged_artifact_is_built_again(
    world: World, home: Path, damage: Callable[[Path, World], World]
) -> None:
    (folder,) = (home / "artifacts").iterdir()
    now = damage(folder, world)
    artifact = ArtifactCache(home, find=now.find, build=BuildRequest.run).obtain(
        NAME, FLOAT32, checkpoint_file=world.file
    )
    assert artifact.folder == folder
    assert artifact.manifest.preprocessing == now.row.preprocessing
    assert read_artifact(folder).manifest == artifact.manifest


def test_concurrent_callers_build_once(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    callers = 3
    together = threading.Barrier(callers, timeout=60)

    def obtain(_: int) -> Artifact:
        together.wait()
        return ArtifactCache(tmp_path, find=world.find, build=BuildRequest.run).obtain(
            NAME, FLOAT32, checkpoint_file=world.file
        )

    with caplog.at_level(logging.INFO), ThreadPoolExecutor(callers) as pool:
        artifacts = list(pool.map(obtain, range(callers)))
    assert len({str(artifact.manifest) for artifact in artifacts}) == 1
    built = [record for record in caplog.records if record.message.startswith("Built ")]
    assert len(built) == 1


def test_a_checkpoint_that_can_not_be_fetched_is_not_built(world: World, tmp_path: Path) -> None:
    with pytest.raises(FetchFailed, match=r"http://127\.0\.0\.1:9/weights\.h5"):
        ArtifactCache(tmp_path, find=world.find, build=BuildRequest.run).obtain(NAME, FLOAT32)
    assert not [path for path in (tmp_path / "artifacts").iterdir() if path.is_dir()]


def test_another_checkpoint_file_is_refused(world: World, tmp_path: Path) -> None:
    wrong = tmp_path / "weights.h5"
    wrong.write_bytes(b"wrong")
    with pytest.raises(VerificationFailed, match=f"{wrong} is no file of {NAME}"):
        ArtifactCache(tmp_path / "home", find=world.find, build=BuildRequest.run).obtain(
            NAME, FLOAT32, checkpoint_file=wrong
        )


def test_a_home_that_is_not_writable(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BuilderError, match="can't be written"):
        ArtifactCache(tmp_path / "file", find=world.find, build=BuildRequest.run).obtain(
            NAME, FLOAT32, checkpoint_file=world.file
        )


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("resnet51", UnknownModel, "No model is called 'resnet51'"),
        ("/nowhere/to/be/found", UnknownModel, "path of an artifact folder"),
    ],
)
def test_names_in_the_real_catalog(
    tmp_path: Path, name: str, error: type[BuilderError], message: str
) -> None:
    with pytest.raises(error, match=message):
        ArtifactCache(tmp_path).obtain(name, FLOAT32)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_a_manifest_is_no_artifact(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match=str(tmp_path)):
        ArtifactCache(tmp_path / "home").obtain(str(tmp_path), FLOAT32)


def imported(network: keras.Model, digest: str, *names: str) -> tuple[CustomCheckpoint, Tensors]:
    architecture = ResNetConfig.of("resnet18")
    checkpoint = CustomCheckpoint(
        "flowers",
        architecture,
        PREPROCESSING,
        tuple(Label(f"{names}{index}") for index in range(architecture.classes)),
        "file:weights",
        digest,
    )
    return checkpoint, tensors_of(network)


def test_an_import_during_a_build_is_built(world: World, tmp_path: Path) -> None:
    """The running build has the old weights: it is repeated."""
    old, new = (random_network(ResNetConfig.of("resnet18"), input_size=SIZE) for _ in range(2))
    builds: list[str] = []

    def build(request: BuildRequest) -> None:
        request.run()
        builds.append(read_artifact(request.folder).manifest.provenance.digest)
        if len(builds) == 1:
            cache.add(*imported(new, "sha256-new"))

    cache = ArtifactCache(tmp_path, find=world.find, build=build)
    cache.add(*imported(old, "sha256-old"))
    artifact = cache.obtain("flowers", FLOAT32)
    assert builds == ["sha256-old", "sha256-new"]
    assert artifact.manifest.provenance.digest == "sha256-new"
    kernel, _ = new.get_layer("fc").get_weights()
    np.testing.assert_array_equal(artifact.head.kernel, kernel)


def test_an_artifact_of_an_earlier_import_is_not_served(world: World, tmp_path: Path) -> None:
    """As two processes can leave it: an import, then a build that began before it."""
    network = random_network(ResNetConfig.of("resnet18"), input_size=SIZE)
    cache = ArtifactCache(tmp_path, find=world.find, build=BuildRequest.run)
    cache.add(*imported(network, "sha256-old"))
    stale = cache.obtain("flowers", FLOAT32)
    kept = tmp_path / "kept"
    shutil.copytree(stale.folder, kept)
    for again in (imported(network, "sha256-new"), imported(network, "sha256-old", "other ")):
        cache.add(*again)
        shutil.copytree(kept, stale.folder)
        found = cache.obtain("flowers", FLOAT32)
        assert found.manifest.provenance.digest == again[0].digest
        assert found.labels == again[0].labels
