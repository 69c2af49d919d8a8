"""Names of PyTorch's state dicts, and files of them read without PyTorch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from model_builder.checkpoints.formats import torch, transformers
from model_builder.checkpoints.formats.readers import identify
from model_builder.checkpoints.loader import read_checkpoint
from model_builder.errors import ConversionFailed
from tests.model_builder.reference import DEPTHS, Array, random_state_dict
from tests.model_builder.torch_layout import save_safetensors, transformers_name


@pytest.fixture(scope="module")
def state_dict() -> dict[str, Array]:
    return random_state_dict(18, np.random.default_rng(0), 10)


@pytest.mark.parametrize(
    ("published", "ours"),
    [
        ("conv1.weight", "conv1/kernel"),
        ("bn1.running_var", "bn1/moving_variance"),
        ("layer1.0.conv1.weight", "layer1_0_conv1/kernel"),
        ("layer3.22.bn3.bias", "layer3_22_bn3/beta"),
        ("layer2.0.downsample.0.weight", "layer2_0_downsample_0/kernel"),
        ("layer2.0.downsample.0.bias", "layer2_0_downsample_0/bias"),
        ("layer2.0.downsample.1.weight", "layer2_0_downsample_1/gamma"),
        ("layer2.0.downsample.1.running_mean", "layer2_0_downsample_1/moving_mean"),
        ("fc.bias", "fc/bias"),
        ("conv1.0.weight", "conv1_0/kernel"),  # the first of three of a deep stem
        ("layer2.0.downsample.2.weight", None),
        ("layer1.0.se.fc1.weight", None),
        ("layer5.0.conv1.weight", None),
        ("layer1.0.conv4.weight", None),
        ("conv1.running_mean", None),
        ("head.fc.weight", None),
    ],
)
def test_names_of_torchvision_and_timm(published: str, ours: str | None) -> None:
    assert torch.our_name(published) == ours


@pytest.mark.parametrize("depth", DEPTHS)
def test_names_of_transformers(depth: int) -> None:
    names = random_state_dict(depth, np.random.default_rng(0), 1)
    received = [transformers.our_name(transformers_name(name)) for name in names]
    assert received == [torch.our_name(name) for name in names]
    assert None not in received


@pytest.mark.parametrize(
    "published",
    [
        "resnet.embedder.embedder.pooler.weight",
        "resnet.encoder.stages.4.layers.0.layer.0.convolution.weight",
        "resnet.encoder.stages.0.layers.0.layer.3.convolution.weight",
        "resnet.encoder.stages.0.layers.0.shortcut.convolution.scale",
        "classifier.0.weight",
        "fc.weight",
    ],
)
def test_names_that_transformers_does_not_have(published: str) -> None:
    assert transformers.our_name(published) is None


def test_counters_are_left_out_and_nothing_else(
    state_dict: dict[str, Array], tmp_path: Path
) -> None:
    path = save_safetensors(tmp_path / "model.safetensors", state_dict)
    assert torch.read_state_dict(path).keys() == state_dict.keys()
    save_safetensors(path, state_dict, **{"layer1.0.se.weight": np.zeros(3, np.float32)})
    with pytest.raises(ConversionFailed, match=r"an SE-ResNet, .* layer1\.0\.se\.weight$"):
        read_checkpoint(path)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_kernels_are_transposed_and_converted_to_float32(
    dtype: type[np.floating[Any]], tmp_path: Path
) -> None:
    kernel = np.arange(64 * 3 * 7 * 7, dtype=dtype).reshape(64, 3, 7, 7) % 256
    dense = np.arange(20, dtype=dtype).reshape(10, 2)
    save_file({"conv1.weight": kernel, "fc.weight": dense}, tmp_path / "model.safetensors")
    tensors = torch.read(tmp_path / "model.safetensors").tensors
    assert tensors["conv1/kernel"].dtype == np.float32
    assert tensors["conv1/kernel"].shape == (7, 7, 3, 64)
    assert tensors["conv1/kernel"][5, 4, 2, 33] == kernel[33, 2, 5, 4]
    np.testing.assert_array_equal(tensors["fc/kernel"], dense.T)


def test_a_prefix_of_all_names_is_removed(state_dict: dict[str, Array], tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_safetensors(path, {f"module.{name}": x for name, x in state_dict.items()})
    assert read_checkpoint(path).depth == 18
    save_safetensors(path, {**state_dict, "module.conv1.weight": state_dict["conv1.weight"]})
    with pytest.raises(ConversionFailed, match=r"network takes module\.conv1\.weight"):
        read_checkpoint(path)


def test_integers_are_no_weights(state_dict: dict[str, Array], tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_safetensors(path, {**state_dict, "fc.bias": np.zeros(10, np.int8)})
    with pytest.raises(ConversionFailed, match=r"fc\.bias holds no floating-point numbers.*I8"):
        read_checkpoint(path)


@pytest.mark.parametrize("keep", [20, 5000, 0.5])
def test_broken_safetensors(state_dict: dict[str, Array], keep: float, tmp_path: Path) -> None:
    path = save_safetensors(tmp_path / "model.safetensors", state_dict)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep if keep < 1 else keep)])
    with pytest.raises(
        ConversionFailed, match=r"model\.safetensors is not a complete safetensors file"
    ):
        read_checkpoint(path)


def test_pth_needs_pytorch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "model.pth").write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(ConversionFailed, match=r"pip install 'resnet-server\[torch\]'"):
        read_checkpoint(tmp_path / "model.pth")


@pytest.mark.parametrize(
    ("config", "stride_in_1x1"),
    [
        (None, None),
        ('{"hidden_act": "relu"}', False),
        ('{"downsample_in_bottleneck": true}', True),
    ],
)
def test_transformers_config_states_the_strides(
    config: str | None, stride_in_1x1: bool | None, tmp_path: Path
) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    state_dict = random_state_dict(50, np.random.default_rng(0), 2)
    path = tmp_path / "model.safetensors"
    save_safetensors(path, {transformers_name(name): x for name, x in state_dict.items()})
    assert identify(path) == "transformers"
    published = read_checkpoint(path)
    assert published.stride_in_1x1 is stride_in_1x1
    assert published.batch_norm_epsilon == 1e-5


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ('{"downsample_in_first_stage": true}', "Received: downsample_in_first_stage=True"),
        ('{"hidden_act": "gelu"}', "our networks have ReLU. Received: 'gelu'"),
        ("[]", "can't be read"),
        ("{", "can't be read"),
    ],
)
def test_other_networks_of_transformers(
    state_dict: dict[str, Array], config: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(config)
    path = tmp_path / "model.safetensors"
    save_safetensors(path, {transformers_name(name): x for name, x in state_dict.items()})
    with pytest.raises(ConversionFailed, match=message):
        read_checkpoint(path)
