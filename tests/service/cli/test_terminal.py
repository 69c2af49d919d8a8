"""Names, labels and messages from elsewhere are data on a terminal, in every command."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from model_builder.artifact.labels import Label
from model_builder.artifact.manifest import MANIFEST
from model_builder.build.cache import ArtifactCache
from model_builder.checkpoints.custom import CHECKPOINT, CustomCheckpoint, write_custom
from model_builder.networks.config import ResNetConfig
from service.cli.main import main
from service.cli.predicted import Predicted, print_table
from service.inference.outputs import ClassScore
from tests.service.color_artifact import PREPROCESSING, write_color_artifact

# Colors, a window's title, a cleared line, a mark for right to left, markup of Rich, a line of its
# own, and a byte that is no UTF-8.
HOSTILE = "\x1b[31m\x1b]0;owned\x07\x1b[2K\u202e[/b][red]\n12:00:00 INFO fake\r\udcff"
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\udcff]")
run = CliRunner(env={"COLUMNS": "400", "FORCE_COLOR": None}).invoke


def printed(*arguments: str, status: int) -> str:
    done = run(main, arguments)
    output = str(done.output)
    assert done.exit_code == status, output
    assert not CONTROL.search(output), repr(output)
    assert not re.search(r"(?m)^12:00:00", output)
    return output


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["predict", "photo.jpg", "--model", HOSTILE], 2),
        (["predict", "photo.jpg", "--precision", HOSTILE], 2),
        (["evaluate", HOSTILE, "."], 2),
        (["evaluate", "resnet50", HOSTILE], 2),
        (["evaluate", "resnet50", ".", "--precision", HOSTILE], 2),
        (["describe", HOSTILE], 2),
        (["describe", "--plot", HOSTILE], 2),
        (["describe", "resnet50", HOSTILE], 2),
        (["import", HOSTILE, "--name", "x"], 2),
        (["import", "pyproject.toml", "--name", HOSTILE], 2),
        (["import", "pyproject.toml", "--name", "x", "--like", HOSTILE], 2),
        (["pull", HOSTILE], 2),
        (["quantize", HOSTILE], 2),
        (["verify", HOSTILE], 2),
        (["remove", HOSTILE], 2),
        (["serve", "--precision", HOSTILE], 2),
        (["serve", "--mirror", HOSTILE], 2),
        ([HOSTILE], 2),
        (["serve", HOSTILE], 2),
        (["serve", f"--{HOSTILE}"], 2),
    ],
    ids=lambda value: " ".join(value).replace(HOSTILE, "X") if isinstance(value, list) else None,
)
def test_an_argument_is_shown_and_not_obeyed(
    arguments: list[str], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parents[3])
    output = printed(*arguments, status=status)
    assert r"\x1b" in output


def test_labels_and_names_of_files_in_predictions(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    scores = (ClassScore(0, "", HOSTILE, 0.75), ClassScore(1, "", "plain", 0.25))
    print_table([Path(HOSTILE), Path(HOSTILE)], [Predicted(scores, {}, {}), HOSTILE])
    output = capsys.readouterr().out
    assert not CONTROL.search(output), repr(output)
    shown = r"\x1b[31m\x1b]0;owned\x07\x1b[2K\u202e[/b][red]\n12:00:00 INFO fake\r\udcff"
    # Two files, a label, and why the second file has none.
    assert output.count(shown) == 4


def test_what_an_artifact_says_of_itself(tmp_path: Path) -> None:
    """Its folder may come from anywhere."""
    folder = write_color_artifact(tmp_path / "artifact").folder
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["name"] = HOSTILE.replace("\udcff", "")
    (folder / MANIFEST).write_text(json.dumps(manifest))
    assert "resnet18" in printed("describe", str(folder), status=0)
    manifest["architecture"]["name"] = HOSTILE.replace("\udcff", "")
    (folder / MANIFEST).write_text(json.dumps(manifest))
    assert r"Received: '\x1b[31m" in printed("describe", str(folder), status=2)


def test_what_an_import_is_called_in_its_file(tmp_path: Path) -> None:
    architecture = ResNetConfig.of("resnet18", classes=1)
    checkpoint = CustomCheckpoint("x", architecture, PREPROCESSING, (Label("a"),), "a.h5", "")
    own = ArtifactCache(tmp_path).own
    write_custom(own, checkpoint, {})
    row = json.loads((own / "x" / CHECKPOINT).read_text())
    (own / "x" / CHECKPOINT).write_text(json.dumps({**row, "name": HOSTILE.replace("\udcff", "")}))
    assert r"\x1b[31m" in printed("models", "--home", str(tmp_path), status=0)
