"""`resnet describe`, and that docs/models.md shows what it prints and draws."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from docs.refresh import BLOCK, DOCS, printed
from model_builder.architecture import DEPTHS, Architecture
from model_builder.checkpoints import CHECKPOINTS
from model_builder.describe import describe
from service.cli import main
from tests.test_imports import modules_after

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
    depth = int(re.findall(r"\d+", name)[0])
    output = printed(f"describe {name}")
    assert output.startswith(f"resnet{depth}")
    assert f"{Architecture(depth).parameters():,}" in output


def test_the_options_change_the_network() -> None:
    options = "--shortcut C --variant v1.5 --input-size 64 --classes 10"
    output = printed(f"describe resnet50 {options}")
    architecture = Architecture(50, "C", classes=10)
    assert output.startswith("resnet50 v1.5, option C, for pictures of 64 x 64\n")
    assert f"{architecture.parameters():,}" in output
    assert f"{architecture.multiply_adds(64):,}" in output
    assert "published" not in output


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_checkpoints_accuracy_is_said(name: str) -> None:
    checkpoint = CHECKPOINTS[name]
    accuracy = f"top-1 {checkpoint.top1_percent} %, top-5 {checkpoint.top5_percent} %"
    assert f"{name}: published {accuracy}, licence {checkpoint.licence}" in printed(
        f"describe {name}"
    )


def test_the_numbers_need_no_framework() -> None:
    loaded = modules_after(
        "from service.cli import main\nmain(['describe'], standalone_mode=False)"
    )
    assert "model_builder.describe" in loaded
    assert not loaded & {"tensorflow", "keras"}


def test_layers_are_those_of_keras() -> None:
    output = printed("describe resnet18 --layers --input-size 32 --classes 10")
    assert "layer4_1_conv2 (Conv2D)" in output
    assert "(None, 1, 1, 512)" in output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["resnet51"], "Received: 'resnet51'"),
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
    network = describe(Architecture(depth, stride_in_1x1=True))
    cost = f"{network.parameters / 1e6:.1f} M | {network.multiply_adds / 1e9:.2f} G"
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
