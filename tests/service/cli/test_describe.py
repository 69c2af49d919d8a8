"""`resnet describe`, and that docs/models.md shows what it prints and draws."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from docs.refresh import BLOCK, DOCS, printed
from model_builder.artifact.labels import Label
from model_builder.artifact.manifest import Artifact
from model_builder.build.cache import ArtifactCache
from model_builder.checkpoints.catalog import CHECKPOINTS, DEFAULT_CHECKPOINTS
from model_builder.checkpoints.custom import CustomCheckpoint, write_custom
from model_builder.networks.config import DEPTHS, ResNetConfig, name_of_depth
from model_builder.networks.summary import describe
from service.cli.main import main
from tests.interpreter import modules_after
from tests.service.color_artifact import PREPROCESSING

run = CliRunner(env={"COLUMNS": "240"}).invoke
PAGE = (DOCS / "models.md").read_text(encoding="utf-8")
SHOWN = BLOCK.findall(PAGE)


def refusal(*arguments: str) -> str:
    done = run(main, ["describe", *arguments])
    assert done.exit_code == 2
    assert "Traceback" not in done.output
    return done.output


@pytest.mark.parametrize("name", [*(f"resnet{depth}" for depth in DEPTHS), *CHECKPOINTS])
def test_every_name_is_described(name: str) -> None:
    network = name.partition(".")[0]
    output = printed(f"describe {name}")
    assert output.startswith(network)
    assert f"{ResNetConfig.of(network).parameters():,}" in output


@pytest.mark.parametrize("depth", DEPTHS)
def test_a_depth_is_described_as_its_default_checkpoint(depth: int) -> None:
    name = name_of_depth(depth)
    assert printed(f"describe {name}") == printed(f"describe {DEFAULT_CHECKPOINTS[name]}")


def test_a_checkpoint_that_was_imported_here(tmp_path: Path) -> None:
    architecture = ResNetConfig.of("resnet50", stride_in_1x1=True, classes=3)
    labels = tuple(map(Label, ("rose", "tulip", "violet")))
    imported = CustomCheckpoint("my.flowers", architecture, PREPROCESSING, labels, "flowers.h5", "")
    write_custom(ArtifactCache(tmp_path).own, imported, {})
    output = printed(f"describe my.flowers --home {tmp_path}")
    assert output.startswith("resnet50 v1, option B, for images of 32 x 32\n")
    assert f"{architecture.parameters():,}" in output
    assert f"{architecture.macs(32):,}" in output
    assert "published" not in output
    assert "No model is called 'my.flowers'" in refusal("my.flowers")


def test_an_artifact_folder(artifact: Artifact) -> None:
    output = printed(f"describe {artifact.folder}")
    assert output.startswith("resnet18, option B, for images of 32 x 32\n")
    assert f"{artifact.manifest.architecture.parameters():,}" in output


def test_the_options_change_the_network() -> None:
    options = "--shortcut C --variant v1.5 --input-size 64 --classes 10"
    output = printed(f"describe resnet50 {options}")
    architecture = ResNetConfig.of("resnet50", "C", classes=10)
    assert output.startswith("resnet50 v1.5, option C, for images of 64 x 64\n")
    assert f"{architecture.parameters():,}" in output
    assert f"{architecture.macs(64):,}" in output
    assert "published" not in output
    assert "published" in printed("describe resnet50 --variant v1.5")


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_checkpoints_accuracy_is_said(name: str) -> None:
    checkpoint = CHECKPOINTS[name]
    row = next(
        line for line in printed(f"describe {name}").splitlines() if line.startswith(f"│ {name} ")
    )
    stated = (checkpoint.top1_percent, checkpoint.top5_percent)
    percents = ["" if one is None else f"{one} %" for one in stated]
    cells = [cell.strip() for cell in row.strip("│").split("│")]
    assert cells == [name, *percents, checkpoint.licence]


def test_depths_are_compared_in_one_variant() -> None:
    output = printed("describe resnet50 --compare depths --variant v1.5")
    for depth in DEPTHS:
        assert f"{ResNetConfig.of(name_of_depth(depth)).macs() / 1e9:.2f} G" in output


def test_the_numbers_need_no_framework() -> None:
    loaded = modules_after(
        "from service.cli.main import main\nmain(['describe'], standalone_mode=False)"
    )
    assert "model_builder.networks.summary" in loaded
    assert not loaded & {"tensorflow", "keras"}


def test_layers_are_those_of_keras() -> None:
    output = printed("describe resnet18 --layers --input-size 32 --classes 10")
    assert "layer4_1_conv2 (Conv2D)" in output
    assert "(None, 1, 1, 512)" in output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["resnet51"], "No model is called 'resnet51'. Did you mean resnet50"),
        (["--plot", "drawing.pdf"], "Received: drawing.pdf"),
        (["--plot", "nowhere/drawing.svg"], "nowhere/drawing.svg can't be written"),
        (["--compare", "depths", "--layers"], "--layers goes with one network"),
        (["--compare", "shortcuts", "--shortcut", "A"], "Received one too: A"),
        (["--compare", "variants", "--variant", "v1"], "Received one too: v1"),
        (["resnet18", "--compare", "variants"], "Received: resnet18"),
        (["--shortcut", "D"], "'D'"),
        (["--input-size", "0"], "'--input-size'"),
    ],
)
def test_nonsense_is_refused_in_words(arguments: list[str], said: str) -> None:
    assert said in refusal(*arguments)


@pytest.mark.parametrize("depth", DEPTHS)
def test_the_page_says_what_each_depth_costs(depth: int) -> None:
    network = describe(ResNetConfig.of(name_of_depth(depth), stride_in_1x1=True))
    cost = f"{network.parameters / 1e6:.1f} M | {network.macs / 1e9:.2f} G"
    assert f"| resnet{depth} | {cost} | {4 * network.parameters / 1e6:.0f} MB |" in PAGE


def test_the_page_shows_every_comparison() -> None:
    commands = " ".join(command for command, _ in SHOWN)
    for what in ("depths", "shortcuts", "variants"):
        assert f"--compare {what}" in commands


@pytest.mark.parametrize(("command", "output"), SHOWN, ids=[command for command, _ in SHOWN])
def test_the_page_shows_what_is_printed_and_drawn(
    tmp_path: Path, command: str, output: str
) -> None:
    drawing = command.partition(" --plot ")[2]
    if output:
        assert printed(command) == output
    if drawing:
        assert f"]({Path(drawing).name})" in PAGE
        again = tmp_path / Path(drawing).name
        printed(command.replace(drawing, str(again)))
        assert again.read_bytes() == (DOCS.parent / drawing).read_bytes()
