"""Converted networks, compared with PyTorch and with the libraries that publish its weights.

Skipped where PyTorch is not installed; `test_reference_numpy` does not need it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from model_builder.checkpoints.formats import torch as torch_format
from model_builder.checkpoints.formats.pytorch import reader
from model_builder.checkpoints.formats.readers import identify
from model_builder.checkpoints.loader import read_checkpoint
from model_builder.errors import ConversionFailed
from model_builder.networks.config import ResNetConfig, name_of_depth
from tests.model_builder.published import (
    TOLERANCE,
    converted,
    served_logits,
)
from tests.model_builder.random_networks import relative_difference
from tests.model_builder.reference import (
    BLOCKS,
    DEPTHS,
    Reference,
    normalized,
    random_images,
    random_reference,
)
from tests.model_builder.torch_layout import transformers_name

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

Array = npt.NDArray[np.float32]
Network = Callable[[Any], Any]

IMAGES = random_images(2, seed=1)


@pytest.fixture(scope="module")
def reference(request: pytest.FixtureRequest) -> Reference:
    return random_reference(request.param, seed=request.param)


def tensors(state_dict: Mapping[str, Array]) -> dict[str, Any]:
    return {name: torch.from_numpy(np.ascontiguousarray(x)) for name, x in state_dict.items()}


def plain(reference: Reference) -> tuple[Network, dict[str, Any]]:
    """The network in PyTorch's operations."""
    state_dict = tensors(reference.state_dict)
    functional = torch.nn.functional

    def unit(x: Any, convolution: str, norm: str, stride: int) -> Any:
        kernel = state_dict[f"{convolution}.weight"]
        x = functional.conv2d(x, kernel, stride=stride, padding=kernel.shape[-1] // 2)
        fields = ("running_mean", "running_var", "weight", "bias")
        return functional.batch_norm(x, *(state_dict[f"{norm}.{f}"] for f in fields), eps=1e-5)

    def block(x: Any, name: str, stride: int) -> Any:
        last = 3 if f"{name}.conv3.weight" in state_dict else 2
        residual = x
        for index in range(1, last + 1):
            unit_stride = stride if index == last - 1 else 1
            residual = unit(residual, f"{name}.conv{index}", f"{name}.bn{index}", unit_stride)
            residual = residual.relu() if index < last else residual
        if f"{name}.downsample.0.weight" in state_dict:
            x = unit(x, f"{name}.downsample.0", f"{name}.downsample.1", stride)
        return (residual + x).relu()

    def network(x: Any) -> Any:
        x = functional.max_pool2d(unit(x, "conv1", "bn1", 2).relu(), 3, stride=2, padding=1)
        for stage, count in enumerate(BLOCKS[reference.depth], start=1):
            for index in range(count):
                x = block(x, f"layer{stage}.{index}", 2 if stage > 1 and index == 0 else 1)
        return functional.linear(x.mean((2, 3)), state_dict["fc.weight"], state_dict["fc.bias"])

    return network, state_dict


def of_torchvision(reference: Reference) -> tuple[Network, dict[str, Any]]:
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    network = getattr(models, f"resnet{reference.depth}")(num_classes=10)
    return filled(network, reference.state_dict)


def of_timm(reference: Reference) -> tuple[Network, dict[str, Any]]:
    timm = pytest.importorskip("timm", reason="timm is not installed")
    network = timm.create_model(f"resnet{reference.depth}", num_classes=10)
    return filled(network, reference.state_dict)


def of_transformers(reference: Reference) -> tuple[Network, dict[str, Any]]:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    bottleneck = reference.depth >= 50
    config = transformers.ResNetConfig(
        layer_type="bottleneck" if bottleneck else "basic",
        hidden_sizes=[64 * 2**stage * (4 if bottleneck else 1) for stage in range(4)],
        depths=list(BLOCKS[reference.depth]),
        num_labels=10,
    )
    network, state_dict = filled(
        transformers.ResNetForImageClassification(config),
        {transformers_name(name): x for name, x in reference.state_dict.items()},
    )
    return lambda x: network(x).logits, state_dict


def filled(network: Any, state_dict: Mapping[str, Array]) -> tuple[Network, dict[str, Any]]:
    """The network with every tensor but its counters replaced, and its state dict."""
    found = network.load_state_dict(tensors(state_dict), strict=False)
    assert not found.unexpected_keys
    assert all(key.endswith("num_batches_tracked") for key in found.missing_keys)
    network.eval()
    return network, network.state_dict()


@pytest.mark.parametrize("reference", DEPTHS, indirect=True, ids="resnet{}".format)
@pytest.mark.parametrize("publisher", [plain, of_torchvision, of_timm, of_transformers])
def test_logits_are_those_of_pytorch(
    reference: Reference,
    publisher: Callable[[Reference], tuple[Network, dict[str, Any]]],
    tmp_path: Path,
) -> None:
    network, state_dict = publisher(reference)
    with torch.inference_mode():
        expected = network(torch.from_numpy(normalized(IMAGES))).numpy()
    assert relative_difference(reference.logits(normalized(IMAGES)), expected) < TOLERANCE
    path = tmp_path / "model.pth"
    torch.save(state_dict, path)
    published = read_checkpoint(path)
    path.unlink()
    architecture = published.architecture(stride_in_1x1=False, batch_norm_epsilon=1e-5)
    assert architecture == ResNetConfig.of(name_of_depth(reference.depth), classes=10)
    received = converted(published, architecture)
    inputs = normalized(IMAGES).transpose(0, 2, 3, 1)
    assert relative_difference(received(inputs, training=False), expected) < TOLERANCE
    assert relative_difference(served_logits(received, architecture, IMAGES), expected) < TOLERANCE


def wrapped(state_dict: dict[str, Any]) -> dict[str, Any]:
    return {"epoch": 90, "arch": "resnet18", "state_dict": state_dict, "best": torch.tensor(69.7)}


def as_model(state_dict: dict[str, Any]) -> dict[str, Any]:
    return {"model": state_dict, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}}


def from_data_parallel(state_dict: dict[str, Any]) -> dict[str, Any]:
    return wrapped({f"module.{name}": values for name, values in state_dict.items()})


def in_half_precision(state_dict: dict[str, Any]) -> dict[str, Any]:
    return {name: x.bfloat16() if x.is_floating_point() else x for name, x in state_dict.items()}


SMALL = pytest.mark.parametrize("reference", [18], indirect=True, ids="resnet{}".format)


@SMALL
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("wrap", [dict, wrapped, as_model, from_data_parallel])
def test_state_dicts_are_unwrapped(
    reference: Reference,
    wrap: Callable[[dict[str, Any]], dict[str, Any]],
    legacy: bool,
    tmp_path: Path,
) -> None:
    path = tmp_path / "model.pth"
    torch.save(wrap(tensors(reference.state_dict)), path, _use_new_zipfile_serialization=not legacy)
    assert identify(path) == "torch"
    published = read_checkpoint(path)
    expected = torch_format.to_state_dict(reference.state_dict).tensors
    assert published.tensors.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(published.tensors[name], values, err_msg=name)


@SMALL
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_bfloat16_is_widened_exactly(reference: Reference, suffix: str, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    half = in_half_precision(tensors(reference.state_dict))
    path = tmp_path / f"model.{suffix}"
    if suffix == "pth":
        torch.save(half, path)
    else:
        save_file(half, path)
    received = read_checkpoint(path).tensors
    widened = {name: values.float().numpy() for name, values in half.items()}
    expected = torch_format.to_state_dict(widened).tensors
    assert received.keys() == expected.keys()
    for name, values in expected.items():
        assert received[name].dtype == np.float32
        np.testing.assert_array_equal(received[name], values, err_msg=name)


class Harmful:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (Path("harm_was_done"),)


def test_a_pickle_that_runs_code_is_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.pth"
    torch.save({"state_dict": {"conv1.weight": Harmful()}}, path)
    with pytest.raises(ConversionFailed, match=r"model\.pth holds (__builtin__\.getattr|pathlib)"):
        read_checkpoint(path)
    assert not (tmp_path / "harm_was_done").exists()


def forms() -> dict[str, Any]:
    """Tensors as people and PyTorch's own modules save them."""
    base = torch.randn(20, 30)
    tagged = torch.nn.Parameter(torch.randn(4, 5))
    tagged.tag = "x"
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    optimizer = torch.optim.AdamW(module.parameters())
    module(torch.randn(2, 3, 9, 9)).sum().backward()
    optimizer.step()
    return {
        "plain": [torch.randn(3, 4), torch.zeros(0), torch.tensor(3.5), torch.randn(2, 0, 3)],
        "views": [base[2:5, 3:9], base.t(), base[::2, ::3], base[0], base],
        "repeated": [torch.randn(1, 5).expand(7, 5), torch.randn(3, 1).expand(3, 4)],
        "channels last": torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        "precisions": [
            torch.tensor([6e-8, 65504, -0.0, torch.inf], dtype=dtype)
            for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16)
        ],
        "parameters": [tagged, torch.nn.Parameter(torch.randn(3).bfloat16())],
        "module": module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 9).state_dict(),
        "values": [torch.Size([1]), torch.float16, torch.device("cpu"), np.float64(3), Path("a")],
        "random": [torch.get_rng_state(), np.random.get_state()],
    }


def floats(saved: Any, path: str = "") -> dict[str, Any]:
    """The floating-point tensors in a saved object, by their paths."""
    if isinstance(saved, torch.Tensor):
        return {path: saved} if saved.is_floating_point() else {}
    items: list[tuple[Any, Any]] = []
    if isinstance(saved, list | tuple):
        items += enumerate(saved)
    elif isinstance(saved, dict):
        items += saved.items()
    found: dict[str, Any] = {}
    for key, inner in items:
        found |= floats(inner, f"{path}.{key}" if path else str(key))
    return found


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_every_tensor_is_as_pytorch_reads_it(legacy: bool, protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    saved = forms()
    torch.save(saved, path, _use_new_zipfile_serialization=not legacy, pickle_protocol=protocol)
    expected = floats(torch.load(path, weights_only=False))
    with reader.opened(path) as file:
        received = {one.key: one.tensor for one in file.tensors if one.tensor.is_float}
        assert received.keys() >= expected.keys() == floats(saved).keys()
        for key, values in expected.items():
            np.testing.assert_array_equal(
                received[key].read(), values.detach().float().numpy(), err_msg=key
            )


def test_a_file_without_checksums(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    options = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save([torch.arange(3.0)], path)
    finally:
        torch.serialization.set_crc32_options(options)
    with reader.opened(path) as file:
        np.testing.assert_array_equal(file.tensors[0].tensor.read(), [0, 1, 2])
