"""Classifiers of several layers: named, and batch norm folded."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from model_builder.checkpoints.formats.state_dict import StateDict, Tensors
from model_builder.checkpoints.head import name_head
from model_builder.checkpoints.infer_config import infer, variables
from model_builder.errors import ConversionFailed
from model_builder.networks.config import ResNetConfig
from model_builder.networks.head import HiddenLayer

Wide = npt.NDArray[np.float64]

FEATURES = 512


def dense(inputs: int, outputs: int, *, bias: bool = True) -> Tensors:
    rng = np.random.default_rng(inputs + outputs)
    kernel = rng.normal(size=(inputs, outputs)) / np.sqrt(inputs)
    tensors = {"kernel": kernel.astype(np.float32)}
    if bias:
        tensors["bias"] = rng.normal(size=outputs).astype(np.float32)
    return tensors


def batch_norm(width: int) -> Tensors:
    rng = np.random.default_rng(width)
    return {
        "gamma": rng.normal(size=width).astype(np.float32),
        "beta": rng.normal(size=width).astype(np.float32),
        "moving_mean": rng.normal(size=width).astype(np.float32),
        "moving_variance": rng.uniform(0.5, 2, width).astype(np.float32),
    }


# A module of the classifier: its tensors, or "relu", or "dropout".
Modules = list[Any]

HEADS: dict[str, tuple[Modules, tuple[HiddenLayer, ...]]] = {
    "one": ([dense(FEATURES, 3)], ()),
    "behind dropout": (["dropout", dense(FEATURES, 3)], ()),
    "without bias": ([dense(FEATURES, 3, bias=False)], ()),
    "two": ([dense(FEATURES, 20), "relu", dense(20, 3)], (HiddenLayer(20),)),
    "two with dropout": (
        ["dropout", dense(FEATURES, 20, bias=False), "relu", "dropout", dense(20, 3)],
        (HiddenLayer(20),),
    ),
    "nothing between": ([dense(FEATURES, 20), dense(20, 3)], (HiddenLayer(20, "none"),)),
    "norm before": ([batch_norm(FEATURES), "dropout", dense(FEATURES, 3)], ()),
    "norm behind": (
        [dense(FEATURES, 20), batch_norm(20), "relu", "dropout", dense(20, 3)],
        (HiddenLayer(20),),
    ),
    "norm last": ([dense(FEATURES, 3), batch_norm(3)], ()),
    "fastai without its pooling": (
        [
            batch_norm(FEATURES),
            "dropout",
            dense(FEATURES, 20, bias=False),
            "relu",
            batch_norm(20),
            "dropout",
            dense(20, 3, bias=False),
        ],
        (HiddenLayer(20),),
    ),
    "three": (
        [dense(FEATURES, 20), "relu", dense(20, 7), batch_norm(7), "relu", dense(7, 3)],
        (HiddenLayer(20), HiddenLayer(7)),
    ),
}


def state_dict(modules: Modules, **known: Any) -> StateDict:
    tensors = {
        f"head/{position}/{field}": values
        for position, module in enumerate(modules)
        if not isinstance(module, str)
        for field, values in module.items()
    }
    return StateDict(tensors, {name: name.replace("/", ".") for name in tensors}, **known)


def plainly(modules: Modules, pooled: Wide) -> Wide:
    for module in modules:
        if module == "relu":
            pooled = np.maximum(pooled, 0)
        elif module == "dropout":
            continue
        elif "kernel" in module:
            pooled = pooled @ module["kernel"] + module.get("bias", 0)
        else:
            deviation = np.sqrt(module["moving_variance"] + 1e-5)
            pooled = (pooled - module["moving_mean"]) / deviation * module["gamma"] + module["beta"]
    return pooled


def named_logits(named: StateDict, hidden: tuple[HiddenLayer, ...], pooled: Wide) -> Wide:
    for index, layer in enumerate(hidden):
        pooled = (
            pooled @ named.tensors[f"head_{index}/kernel"] + named.tensors[f"head_{index}/bias"]
        )
        pooled = np.maximum(pooled, 0) if layer.activation == "relu" else pooled
    return np.asarray(pooled @ named.tensors["fc/kernel"] + named.tensors["fc/bias"], np.float64)


@pytest.mark.parametrize("stated", [False, True], ids=["by positions", "stated"])
@pytest.mark.parametrize(("modules", "hidden"), HEADS.values(), ids=HEADS)
def test_a_named_head_gives_the_same_logits(
    modules: Modules, hidden: tuple[HiddenLayer, ...], stated: bool
) -> None:
    relu = frozenset(
        max(i for i in range(at) if not isinstance(modules[i], str))
        for at, module in enumerate(modules)
        if module == "relu"
    )
    named, found = name_head(state_dict(modules, head_relu=relu if stated else None))
    assert found == hidden
    assert named.tensors.keys() == named.keys.keys()
    assert all(values.dtype == np.float32 for values in named.tensors.values())
    pooled = np.abs(np.random.default_rng(0).normal(size=(9, FEATURES)))
    expected = plainly(modules, pooled)
    received = named_logits(named, found, pooled)
    assert np.abs(received - expected).max() < 1e-5 * expected.std()


def test_a_head_of_one_layer_keeps_its_bits() -> None:
    layer = dense(FEATURES, 3)
    given = StateDict({f"fc/{name}": values for name, values in layer.items()}, {})
    named, hidden = name_head(given)
    assert hidden == ()
    assert all(named.tensors[name] is values for name, values in given.tensors.items())


def test_the_network_has_the_hidden_layers() -> None:
    modules, hidden = HEADS["two with dropout"]
    backbone = {
        name: np.broadcast_to(np.float32(0), shape)
        for name, shape in variables(ResNetConfig.of("resnet18")).items()
        if not name.startswith("fc/")
    }
    head = state_dict(modules)
    keys = {**head.keys, **{name: name for name in backbone}}
    published = infer("torch", StateDict({**backbone, **head.tensors}, keys))
    architecture = published.architecture(batch_norm_epsilon=1e-5)
    assert architecture.hidden_layers == hidden
    assert architecture.classes == 3
    plain = ResNetConfig.of("resnet18", classes=3)
    assert architecture.parameters() - plain.parameters() == 513 * 20 + 21 * 3 - 513 * 3
    assert architecture.macs() - plain.macs() == 512 * 20 + 20 * 3 - 512 * 3


@pytest.mark.parametrize(
    ("modules", "known", "message"),
    [
        (
            [dense(FEATURES, 20), "relu", dense(21, 3)],
            {},
            r"dense layer of 20 inputs. Received: .*21",
        ),
        (
            [dense(FEATURES, 20), batch_norm(21), dense(20, 3)],
            {},
            r"have 20 values .*\(21,\)",
        ),
        ([batch_norm(FEATURES)], {}, "ends with a dense layer"),
        ([dense(FEATURES, 3), "relu", batch_norm(3)], {}, "ends with a dense layer"),
        ([dense(FEATURES, 3)], {"head_relu": frozenset({0})}, "ends with a dense layer"),
        ([{"bias": np.zeros(3, np.float32)}], {}, "head.0.bias, which is neither a dense layer"),
        ([{"weight_g": np.zeros(3, np.float32)}], {}, "which is neither a dense layer"),
        (
            [dense(FEATURES, 20), "relu", batch_norm(20), "relu", dense(20, 3)],
            {"head_relu": frozenset({0, 2})},
            "no dense layer is between it and the last ReLU",
        ),
    ],
)
def test_heads_that_are_refused(modules: Modules, known: dict[str, Any], message: str) -> None:
    with pytest.raises(ConversionFailed, match=message):
        name_head(state_dict(modules, **known))


def test_two_heads_are_refused() -> None:
    two = state_dict([dense(FEATURES, 3)])
    tensors = {**two.tensors, **{f"fc/{name}": x for name, x in dense(FEATURES, 3).items()}}
    with pytest.raises(ConversionFailed, match="two classifiers"):
        name_head(StateDict(tensors, {name: name for name in tensors}))
