"""The `resnet` command, as far as it goes without a network to run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from docs.refresh import printed
from model_builder.checkpoints.catalog import CHECKPOINTS
from model_builder.networks.config import DEPTHS
from service.cli.main import main
from service.settings import Settings
from service.version import __version__
from tests.model_builder.reference import random_state_dict
from tests.model_builder.torch_layout import save_safetensors

run = CliRunner(env={"COLUMNS": "200"}).invoke


def test_version() -> None:
    assert run(main, ["--version"]).output.strip() == __version__


def test_every_command_is_listed_and_a_misspelt_one_guessed() -> None:
    helped = run(main, ["--help"]).output
    commands = (Path(__file__).parents[3] / "service" / "cli" / "commands").glob("*.py")
    names = {path.stem.strip("_") for path in commands} - {"init", "options"}
    assert names
    assert all(re.search(rf"\b{name} ", helped) for name in names)
    done = run(main, ["serv"])
    assert done.exit_code == 2
    assert "serve" in done.output


@pytest.mark.parametrize("name", Settings.fields())
def test_every_setting_is_an_option_of_serve(name: str) -> None:
    assert f"--{name.replace('_', '-')} " in run(main, ["serve", "--help"]).output


def test_serve_shows_every_default() -> None:
    helped = " ".join(re.sub(r"[│╭╮╰╯─]", " ", run(main, ["serve", "--help"]).output).split())
    for name, field in Settings.fields().items():
        option = helped.split(f" --{name.replace('_', '-')} ")[1].split(" --")[0]
        assert "Default: " in option or "Deprecated: " in option, option
        assert (field.description or "").split()[0] in option
    for shown in (
        "Default: resnet50.",
        "Default: 8000.",
        "Default: 30.",
        "Default: 20971520 (20 MiB).",
        "Default: 50000000 (50 million).",
        "Default: no.",
        "Default: none.",
    ):
        assert shown in helped, shown


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("resnet se", ["serve"]),
        ("resnet p", ["predict", "pull"]),
        ("resnet serve --trus", ["--trusted-proxies"]),
        ("resnet describe resnet18.a", ["resnet18.a1_in1k"]),
        ("resnet predict --model flow", ["flowers"]),
        ("resnet quantize resnet1018", []),
    ],
)
def test_a_shell_is_offered_commands_options_and_models(
    typed: str, offered: list[str], tmp_path: Path
) -> None:
    state_dict = random_state_dict(18, np.random.default_rng(0), classes=1000)
    file = save_safetensors(tmp_path / "weights.safetensors", state_dict)
    home = {"RESNET_HOME": str(tmp_path)}
    arguments = ["import", str(file), "--like", "resnet18.tv_in1k", "--name", "flowers"]
    assert run(main, arguments, env=home).exit_code == 0
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    completing = {"_RESNET_COMPLETE": "complete_bash", **words, **home}
    assert run(main, [], env=completing, prog_name="resnet").output.split() == offered


def test_the_completion_of_a_shell_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    # Of what the tests were started from, which need not be a shell.
    monkeypatch.setattr("shellingham.detect_shell", lambda *_: ("bash", "/bin/bash"))
    shown = run(main, ["--show-completion", "bash"], prog_name="resnet").output
    assert "complete -o default -F _resnet_completion resnet" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "99999"], "RESNET_PORT: Input should be less than or equal to 65535"),
        (["--request-timeout-seconds", "0"], "RESNET_REQUEST_TIMEOUT_SECONDS: Input should be"),
        (["--precision", "int4"], "'int4'"),
    ],
)
def test_serve_refuses_nonsense_and_says_what_it_was(arguments: list[str], said: str) -> None:
    done = run(main, ["serve", *arguments])
    assert done.exit_code == 2
    assert said in done.output


def test_nonsense_in_the_environment_is_refused_by_its_name() -> None:
    done = run(main, ["serve"], env={"RESNET_QUEUE_LIMIT": "many"})
    assert done.exit_code == 2
    assert "RESNET_QUEUE_LIMIT" in done.output
    assert "'many'" in done.output


def test_models_lists_every_depth_and_checkpoint() -> None:
    table = run(main, ["models"]).output
    assert all(f"resnet{depth}" in table for depth in DEPTHS)
    assert all(name in table for name in CHECKPOINTS)


def test_models_as_json() -> None:
    bodies = json.loads(run(main, ["models", "--json"]).output)
    assert [body["depth"] for body in bodies] == list(DEPTHS)
    assert {one["name"] for body in bodies for one in body["checkpoints"]} == set(CHECKPOINTS)


def test_predict_with_an_unknown_model_ends_in_words() -> None:
    done = run(main, ["predict", "photo.jpg", "--model", "resnet51", "--precision", "float32"])
    assert done.exit_code == 2
    assert "No model is called 'resnet51'" in done.output


def test_pull_takes_the_file_that_predict_takes(tmp_path: Path) -> None:
    """From the option or the environment; of several names it is the default model's."""
    file = tmp_path / "weights.h5"
    file.write_bytes(b"not the published file")
    refused = f"{file} is no file of resnet101.keras_in1k."
    pull = ["pull", "resnet101.keras_in1k", "--precision", "float32"]
    assert refused in run(main, [*pull, "--checkpoint-file", str(file)]).output
    environment = {"RESNET_CHECKPOINT_FILE": str(file), "RESNET_MODELS": "resnet101.keras_in1k"}
    assert refused in run(main, [*pull, "resnet152.keras_in1k"], env=environment).output
    both = run(main, [*pull, "resnet152.keras_in1k", "--checkpoint-file", str(file)])
    assert both.exit_code == 2
    assert "--checkpoint-file goes with one NAME. Received: resnet101.keras_in1k" in both.output


def test_import_asks_for_what_no_tensor_shows_and_takes_it(tmp_path: Path) -> None:
    """A network without weights in its shortcuts has them of option A, or none."""
    state_dict = random_state_dict(18, np.random.default_rng(0), classes=1000)
    plain = {name: x for name, x in state_dict.items() if "downsample" not in name}
    file = save_safetensors(tmp_path / "weights.safetensors", plain)
    fed = ["--like", "resnet18.tv_in1k", "--name", "plain"]
    asked = run(main, ["import", str(file), *fed, "--epsilon", "1e-5"])
    assert asked.exit_code == 2
    assert "has to be stated: --shortcut A, or --shortcut none" in asked.output
    assert "batch_norm_epsilon" not in asked.output
    done = run(main, ["import", str(file), *fed, "--epsilon", "1e-5", "--shortcut", "none"])
    assert done.output.startswith("plain: resnet18, shortcuts none, v1.5, 1000 classes")
    assert printed("describe plain").startswith("resnet18, plain, ")


def test_import_takes_variant_and_epsilon_from_the_checkpoint_that_it_is_like(
    tmp_path: Path,
) -> None:
    """As the README does it; and a second import of that name asks for --replace."""
    state_dict = random_state_dict(18, np.random.default_rng(0), classes=1000)
    file = save_safetensors(tmp_path / "weights.safetensors", state_dict)
    arguments = ["import", str(file), "--like", "resnet18.tv_in1k", "--name", "flowers"]
    arguments.append(f"--home={tmp_path}")
    done = run(main, arguments)
    assert done.exit_code == 0, done.output
    again = run(main, arguments)
    assert again.exit_code == 2
    assert "flowers is imported already: --replace replaces it." in again.output
    assert run(main, [*arguments, "--replace"]).exit_code == 0


def test_import_lists_everything_that_is_missing_at_once(tmp_path: Path) -> None:
    state_dict = random_state_dict(50, np.random.default_rng(0), classes=3)
    plain = {name: x for name, x in state_dict.items() if "downsample" not in name}
    file = save_safetensors(tmp_path / "weights.safetensors", plain)
    asked = run(main, ["import", str(file), "--name", "x", "--crop", "224", "--channels", "RGB"])
    assert asked.exit_code == 2
    beginnings = [
        f"{file} can't be imported. This is missing:",
        "  - The file does not show shortcut, and it has to be stated: --shortcut A, or",
        "  - The file does not show stride_in_1x1, and it has to be stated: --variant v1 (True)",
        "  - The file does not show batch_norm_epsilon, and it has to be stated: --epsilon 1e-5",
        "  - How the network was fed has to be stated: --like CHECKPOINT or FILE, or --resize, "
        "--crop, --interpolation, --channels, --mean, --std. Missing: --resize, --interpolation, "
        "--mean, --std.",
        "  - The classifier has 3 classes: name them with --labels FILE.",
    ]
    lines = asked.output.splitlines()
    assert len(lines) == len(beginnings)
    for line, beginning in zip(lines, beginnings, strict=True):
        assert line.startswith(beginning)


def test_import_says_first_that_the_file_is_missing(tmp_path: Path) -> None:
    done = run(main, ["import", str(tmp_path / "none.safetensors"), "--name", "flowers"])
    assert done.exit_code == 2
    assert "There is no such file" in done.output


OF_ONE_AND_ANOTHER = (
    "keras_in1k-openvino-float32",
    "keras_in1k-litert-int8",
    "tv_in1k-litert-int8",
)


def test_remove_leaves_nothing_of_a_model_and_all_of_the_others(tmp_path: Path) -> None:
    artifacts = [tmp_path / "artifacts" / f"resnet50.{name}" for name in OF_ONE_AND_ANOTHER]
    for folder in artifacts:
        folder.mkdir(parents=True)
        for made in (f"plans/{folder.name}.json", f"compiled/{folder.name}.graph"):
            (tmp_path / made).parent.mkdir(exist_ok=True)
            (tmp_path / made).touch()
    (tmp_path / "plans" / "resnet50.keras_in1k-auto-int8.json").touch()
    done = run(main, ["remove", "resnet50.keras_in1k", f"--home={tmp_path}"])
    assert done.exit_code == 0, done.output
    kept = [path.name for path in tmp_path.glob("*/*")]
    other = artifacts[-1].name
    assert sorted(kept) == [other, f"{other}.graph", f"{other}.json"]
    assert done.output.count("Removed") == 2
