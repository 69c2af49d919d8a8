"""Networks that tensors do not show, refused by what states them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import save_file

from model_builder.checkpoints.loader import read_checkpoint
from model_builder.errors import ConversionFailed
from tests.fuzz.checkpoints import state_dict
from tests.model_builder.torch_files import Made, save_legacy, save_zip, tensors


def refusal(path: Path) -> str:
    with pytest.raises(ConversionFailed) as raised:
        read_checkpoint(path)
    return str(raised.value)


def beside(folder: Path, config: Any) -> Path:
    save_file(state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    "name",
    ["resnetaa50.a1h_in1k", "resnetblur18", "resnetaa101d.sw_in12k", "seresnextaa101d_32x8d.ah"],
)
def test_by_the_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.safetensors"
    save_file(state_dict(), path)
    assert "an anti-aliased ResNet" in refusal(path)


@pytest.mark.parametrize("name", ["resnet50_aa.safetensors", "myresnetaa50.safetensors", "aa.bin"])
def test_other_names_are_those_of_people(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    save_file(state_dict(), path)
    # The kernels have one pixel.
    assert "A stem is" in refusal(path)


@pytest.mark.parametrize(
    "config",
    [
        {"architecture": "resnetaa50"},
        {"architecture": "resnet50", "pretrained_cfg": {"architecture": "resnetblur50"}},
    ],
)
def test_by_the_architecture_in_timms_config(tmp_path: Path, config: dict[str, Any]) -> None:
    message = refusal(beside(tmp_path, config))
    assert message.startswith("The network is resnet")
    assert "config.json beside the weights" in message


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"aa_layer": "avg"}, "aa_layer"),
        ({"act_layer": "silu"}, "act_layer"),
        ({"output_stride": 16}, "output_stride"),
        ({"global_pool": "catavgmax"}, "global_pool"),
    ],
)
def test_by_timms_arguments(tmp_path: Path, arguments: dict[str, Any], named: str) -> None:
    message = refusal(beside(tmp_path, {"architecture": "resnet18", "model_args": arguments}))
    assert f"states {named}" in message


def test_by_timms_pooling(tmp_path: Path) -> None:
    config = {"architecture": "resnet18", "global_pool": "max", "pretrained_cfg": {}}
    assert "states global_pool" in refusal(beside(tmp_path, config))


def test_what_timm_states_of_a_resnet_is_none(tmp_path: Path) -> None:
    config = {
        "architecture": "resnet18",
        "global_pool": "avg",
        "model_args": {"num_classes": 3, "output_stride": 32, "act_layer": "relu"},
        "pretrained_cfg": {"architecture": "resnet18"},
    }
    assert "A stem is" in refusal(beside(tmp_path, config))


@pytest.mark.parametrize("save", [save_zip, save_legacy])
@pytest.mark.parametrize(
    "said",
    [
        {"arch": "resnetaa50"},
        {"args": Made("argparse", "Namespace", (), {"model": "resnetblur50", "lr": 0.1})},
        {"hyper_parameters": {"model_name": "resnetaa50d"}},
    ],
)
def test_by_what_training_saved(tmp_path: Path, save: Any, said: dict[str, Any]) -> None:
    path = save(tmp_path / "a.pth", {"state_dict": tensors(state_dict()), **said})
    assert "a.pth itself: an anti-aliased ResNet" in refusal(path)
