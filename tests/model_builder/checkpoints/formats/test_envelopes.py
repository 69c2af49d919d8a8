"""Where in a file the network is found, which of several is taken, and what is ignored beside it.

Tensors have a ResNet-18's names and a few numbers each: shapes are `infer_config`'s matter.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from model_builder.checkpoints.formats.pytorch import reader
from model_builder.checkpoints.formats.readers import READERS, identify
from model_builder.checkpoints.formats.recognition.folders import weights_file
from model_builder.checkpoints.formats.state_dict import StateDict as Received
from model_builder.checkpoints.formats.torch import to_state_dict
from model_builder.errors import ConversionFailed
from tests.model_builder.reference import Array, random_state_dict
from tests.model_builder.torch_files import (
    Made,
    Storage,
    Tensor,
    save_legacy,
    save_zip,
    tensor,
    tensors,
)
from tests.model_builder.torch_layout import transformers_name

StateDict = dict[str, Array]
CLASSES = 3


def small(seed: int) -> StateDict:
    """Kernels of [2, 2, 1, 1] and vectors of [2], a classifier of [3, 2]."""
    rng = np.random.default_rng(seed)
    shapes = {4: (2, 2, 1, 1), 1: (2,)}
    found = {
        name: rng.normal(size=shapes.get(values.ndim, ())).astype(np.float32)
        for name, values in random_state_dict(18, rng, CLASSES).items()
        if not name.startswith("fc.")
    }
    kernel, bias = rng.normal(size=(CLASSES, 2)), rng.normal(size=CLASSES)
    return {**found, "fc.weight": kernel.astype("f4"), "fc.bias": bias.astype("f4")}


@pytest.fixture(scope="module")
def state_dict() -> StateDict:
    return small(0)


@pytest.fixture(scope="module")
def other() -> StateDict:
    return small(1)


def prefixed(prefix: str, state_dict: Mapping[str, Array]) -> StateDict:
    return {prefix + name: values for name, values in state_dict.items()}


def renamed(state_dict: StateDict, change: Callable[[str], str]) -> StateDict:
    return {change(name): values for name, values in state_dict.items()}


def head(state_dict: StateDict, **layers: str) -> StateDict:
    """The classifier's tensors under other names: fc="head.fc"."""
    (name,) = layers.values()
    return renamed(state_dict, lambda key: f"{name}{key[2:]}" if key.startswith("fc.") else key)


def without_head(state_dict: StateDict) -> StateDict:
    return {name: x for name, x in state_dict.items() if not name.startswith("fc.")}


def read(folder: Path, saved: Any, key: str | None = None) -> Received:
    return reader.read(save_zip(folder / "model.pth", saved), key)


def read_path(path: Path) -> Received:
    """As `read_checkpoint` does before it looks at shapes."""
    path = weights_file(path)
    return READERS[identify(path)](path)


def assert_same(published: Received, state_dict: StateDict) -> None:
    expected = to_state_dict(state_dict).tensors
    assert published.tensors.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(published.tensors[name], values, err_msg=name)


def optimizer(state_dict: StateDict) -> dict[str, Any]:
    """As Adam's, with tensors of the shapes of the weights."""
    state = {
        index: {"step": 5, "exp_avg": tensor(values, f"adam{index}")}
        for index, values in enumerate(state_dict.values())
    }
    return {"state": state, "param_groups": [{"lr": 0.1, "betas": (0.9, 0.999), "params": [0, 1]}]}


@pytest.mark.parametrize("save", [save_zip, save_legacy])
@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "module.",
        "model.",
        "net.",
        "backbone.",
        "_orig_mod.",
        "_orig_mod.module.",
        "module._orig_mod.model.",
        "timm_model.",
        "_forward_module.model.net.",
    ],
)
def test_any_prefix_that_all_names_share(
    prefix: str, save: Callable[..., Path], state_dict: StateDict, tmp_path: Path
) -> None:
    path = save(tmp_path / "model.pth", {"model_state": tensors(prefixed(prefix, state_dict))})
    assert_same(read_path(path), state_dict)


def test_wrappers_within_the_names(state_dict: StateDict, tmp_path: Path) -> None:
    """FSDP and activation checkpointing wrap blocks, torch.compile any module."""
    wrapped = renamed(
        state_dict,
        lambda name: name.replace("layer1.", "layer1._fsdp_wrapped_module.").replace(
            "layer2.0.", "layer2.0._checkpoint_wrapped_module."
        ),
    )
    assert_same(read(tmp_path, tensors(prefixed("_orig_mod.", wrapped))), state_dict)


ENVELOPES: dict[str, Callable[[dict[str, Tensor]], Any]] = {
    "list": lambda found: [found, 5],
    "tuple": lambda found: (3, {"inner": found}),
    "deep": lambda found: {"checkpoint": {"model": [{"weights": found}]}},
    "averaged model": lambda found: {
        "n_averaged": tensor(np.full((1, 1), 7, np.float32), "n"),
        **found,
    },
    "loss with weights": lambda found: {
        **found,
        "criterion.weight": tensor(np.ones(3, np.float32), "c"),
        "loss_fn.weight": tensor(np.ones((3, 2), np.float32), "d"),
        "train_acc.tp": tensor(np.ones(3, np.int64), "e"),
    },
    "counters of an average": lambda found: {
        "ema": {
            "initted": tensor(np.ones((), np.int64), "i"),
            "step": tensor(np.ones(1, np.int64), "s"),
            **{f"ema_model.{name}": values for name, values in found.items()},
        }
    },
    "classes' weights in a loss of any name": lambda found: {
        **{f"net.{name}": values for name, values in found.items()},
        "ce.weight": tensor(np.ones(CLASSES, np.float32), "c"),
    },
    "counted by a profiler": lambda found: {
        **found,
        "total_ops": tensor(np.ones(1), "p"),
        "layer1.0.conv1.total_params": tensor(np.ones(1), "q"),
    },
    "values beside": lambda found: {
        "epoch": 9,
        "args": Made("argparse", "Namespace", (), {"lr": 0.1, "path": None}),
        "path": Made("pathlib", "PosixPath", ("/", "data")),
        "hyper_parameters": Made("pytorch_lightning.utilities.parsing", "AttributeDict"),
        "best": Made("numpy._core.multiarray", "scalar", (Made("numpy", "dtype", ("f8",)), b"8")),
        "config": Made("omegaconf.dictconfig", "DictConfig", (), {"_content": {}}),
        "seen": Made("collections", "Counter", ({"a": 3},)),
        "state_dict": found,
    },
}


@pytest.mark.parametrize("envelope", ENVELOPES.values(), ids=list(ENVELOPES))
def test_what_is_around_the_tensors_and_beside_them(
    envelope: Callable[[dict[str, Tensor]], Any], state_dict: StateDict, tmp_path: Path
) -> None:
    assert_same(read(tmp_path, envelope(tensors(state_dict))), state_dict)


def test_an_optimizer_is_no_network(state_dict: StateDict, tmp_path: Path) -> None:
    saved = {"optimizer": optimizer(state_dict), "net": tensors(state_dict)}
    published = read(tmp_path, saved)
    assert_same(published, state_dict)
    assert published.notes == ()


@pytest.mark.parametrize(
    ("raw", "averaged"),
    [("state_dict", "state_dict_ema"), ("model", "model_ema"), ("net", "ema"), ("model", "swa")],
)
def test_the_average_is_taken_and_the_other_by_its_key(
    raw: str, averaged: str, state_dict: StateDict, other: StateDict, tmp_path: Path
) -> None:
    saved = {raw: tensors(other), averaged: tensors(prefixed("module.", state_dict))}
    published = read(tmp_path, saved)
    assert_same(published, state_dict)
    assert published.notes == (
        f"It holds several networks. Taken: {averaged}.module, the average of the weights over "
        f"training. --key takes another: {raw}",
    )
    for key, expected in ((raw, other), (averaged, state_dict), (f"{averaged}.module", state_dict)):
        published = read(tmp_path, saved, key)
        assert_same(published, expected)
        assert published.notes == ()


def test_an_average_within_the_network(
    state_dict: StateDict, other: StateDict, tmp_path: Path
) -> None:
    saved = tensors({**prefixed("model.", other), **prefixed("model.ema.", state_dict)})
    published = read(tmp_path, saved)
    assert_same(published, state_dict)
    assert published.notes[0].endswith("--key takes another: model")
    assert_same(read(tmp_path, saved, "model"), other)


def test_a_tensor_of_the_same_name_outside_the_network(
    state_dict: StateDict, tmp_path: Path
) -> None:
    kernel = np.ones((2, 2, 3, 3), np.float32)
    saved = {**prefixed("model.", state_dict), "conv1.weight": kernel}
    with pytest.raises(ConversionFailed, match=r"No layer of the network takes conv1\.weight$"):
        read(tmp_path, tensors(saved))


def test_mmengine_saves_the_average_where_others_save_the_raw_weights(
    state_dict: StateDict, other: StateDict, tmp_path: Path
) -> None:
    saved = {
        "meta": {"epoch": 3},
        "state_dict": tensors(prefixed("backbone.", state_dict)),
        "ema_state_dict": tensors(prefixed("module.backbone.", other)),
        "message_hub": {"seen": Made("mmengine.logging.history_buffer", "HistoryBuffer")},
    }
    published = read(tmp_path, saved)
    assert_same(published, state_dict)
    assert published.notes[0].startswith("It holds several networks. Taken: state_dict.backbone,")
    assert_same(read(tmp_path, saved, "ema_state_dict"), other)


def test_the_average_of_ema_pytorch_beside_what_is_trained(
    state_dict: StateDict, other: StateDict, tmp_path: Path
) -> None:
    saved = {
        "ema": tensors({**prefixed("online_model.", other), **prefixed("ema_model.", state_dict)})
    }
    assert_same(read(tmp_path, saved), state_dict)
    assert_same(read(tmp_path, saved, "ema.online_model"), other)


def test_lightning_saves_the_average_as_the_network(
    state_dict: StateDict, other: StateDict, tmp_path: Path
) -> None:
    """WeightAveraging of Lightning 2.6."""
    saved = {
        "state_dict": tensors(prefixed("model.", state_dict)),
        "current_model_state": tensors(prefixed("model.", other)),
    }
    published = read(tmp_path, saved)
    assert_same(published, state_dict)
    assert "Taken: state_dict.model, the average of the weights" in published.notes[0]


def test_an_average_to_go_on_with_is_not_taken(
    state_dict: StateDict, other: StateDict, tmp_path: Path
) -> None:
    """Lightning's StochasticWeightAveraging: its batch norms' statistics are computed at the end,
    when the average becomes the `state_dict`.
    """
    average = {"average_model_state": tensors(prefixed("model.", other))}
    saved = {
        "state_dict": tensors(prefixed("model.", state_dict)),
        "callbacks": {"StochasticWeightAveraging": average},
    }
    published = read(tmp_path, saved)
    assert_same(published, state_dict)
    assert published.notes[0].startswith(
        "It holds several networks. Taken: state_dict.model. --key takes another: callbacks."
    )


def test_copies_of_an_average_for_resuming(
    state_dict: StateDict, other: StateDict, tmp_path: Path
) -> None:
    """MMCV's EMAHook keeps them as buffers beside the weights."""
    copies = renamed(other, lambda name: f"ema_backbone_{name.replace('.', '_')}")
    network = prefixed("backbone.", without_head(state_dict))
    fc = {"head.fc.weight": state_dict["fc.weight"], "head.fc.bias": state_dict["fc.bias"]}
    assert_same(read(tmp_path, {"state_dict": tensors({**network, **fc, **copies})}), state_dict)


def test_several_networks_of_which_none_is_an_average(
    state_dict: StateDict, other: StateDict, tmp_path: Path
) -> None:
    saved = tensors({**prefixed("student.", state_dict), **prefixed("teacher.", other)})
    with pytest.raises(
        ConversionFailed, match=r"several networks: choose one with --key\. .*: student, teacher$"
    ):
        read(tmp_path, saved)
    assert_same(read(tmp_path, saved, "teacher"), other)
    with pytest.raises(ConversionFailed, match=r"networks at student, teacher\. .*--key nobody$"):
        read(tmp_path, saved, "nobody")


def test_an_average_of_the_parameters_alone_is_not_taken(
    state_dict: StateDict, tmp_path: Path
) -> None:
    """Some averages leave out the statistics of the batch norms."""
    parameters = {name: x for name, x in state_dict.items() if "running" not in name}
    saved = {"model": tensors(state_dict), "ema": tensors(parameters)}
    published = read(tmp_path, saved)
    assert_same(published, state_dict)
    assert published.notes[0].startswith("ema is not taken: ema holds parameters of a network")
    with pytest.raises(ConversionFailed, match=r"ema holds parameters .* without the statistics"):
        read(tmp_path, saved, "ema")


@pytest.mark.parametrize(
    "name",
    ["fc.0", "fc.1", "classifier", "classifier.1", "head", "head.fc", "last_linear", "head.1"],
)
@pytest.mark.parametrize("prefix", ["", "model."])
def test_classifiers_under_other_names(
    name: str, prefix: str, state_dict: StateDict, tmp_path: Path
) -> None:
    assert_same(read(tmp_path, tensors(prefixed(prefix, head(state_dict, fc=name)))), state_dict)


def test_a_classifier_outside_the_network(state_dict: StateDict, tmp_path: Path) -> None:
    encoder = prefixed("encoder.", without_head(state_dict))
    fc = {"weight": state_dict["fc.weight"], "bias": state_dict["fc.bias"]}
    assert_same(read(tmp_path, tensors({**encoder, **prefixed("out.", fc)})), state_dict)
    apart = {
        "encoder": tensors(without_head(state_dict)),
        "classifier": tensors(fc),
        "optimizer": optimizer(fc),
    }
    assert_same(read(tmp_path, apart), state_dict)


def test_a_classifier_without_bias_or_as_a_convolution(
    state_dict: StateDict, tmp_path: Path
) -> None:
    without = {name: x for name, x in state_dict.items() if name != "fc.bias"}
    published = read(tmp_path, tensors(without))
    assert published.tensors.keys() == to_state_dict(without).tensors.keys()
    convolution = {**state_dict, "fc.weight": state_dict["fc.weight"][:, :, None, None]}
    assert_same(read(tmp_path, tensors(convolution)), state_dict)


def test_a_classifier_of_several_layers(state_dict: StateDict, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    layers = {
        "classifier.0.weight": rng.normal(size=(20, 2)).astype(np.float32),
        "classifier.0.bias": rng.normal(size=20).astype(np.float32),
        "classifier.3.weight": rng.normal(size=(CLASSES, 20)).astype(np.float32),
    }
    published = read(tmp_path, tensors({**prefixed("net.", without_head(state_dict)), **layers}))
    np.testing.assert_array_equal(
        published.tensors["head/0/kernel"], layers["classifier.0.weight"].T
    )
    np.testing.assert_array_equal(
        published.tensors["head/3/kernel"], layers["classifier.3.weight"].T
    )


def test_a_classifier_of_several_named_layers(state_dict: StateDict, tmp_path: Path) -> None:
    """nn.Sequential(OrderedDict(fc1=, relu=, fc2=, output=)): what each takes shows the order."""
    rng = np.random.default_rng(2)
    layers = {
        "fc.last.weight": rng.normal(size=(CLASSES, 20)).astype(np.float32),
        "fc.first.weight": rng.normal(size=(20, 2)).astype(np.float32),
        "fc.first.bias": rng.normal(size=20).astype(np.float32),
    }
    network = without_head(state_dict)
    published = read(tmp_path, tensors({**network, **layers}))
    head_keys = {name: key for name, key in published.keys.items() if name.startswith("head/")}
    # The position between them is that of a ReLU.
    assert head_keys == {
        "head/0/kernel": "fc.first.weight",
        "head/0/bias": "fc.first.bias",
        "head/2/kernel": "fc.last.weight",
    }
    for more in (
        # Two that take the features; another module; one that none leads to.
        {"fc.auxiliary.weight": layers["fc.first.weight"]},
        {"other.weight": rng.normal(size=(4, CLASSES)).astype(np.float32)},
        {"fc.other.weight": rng.normal(size=(4, 7)).astype(np.float32)},
    ):
        with pytest.raises(ConversionFailed, match=r"3 dense layers, whose order no name shows"):
            read(tmp_path, tensors({**network, **layers, **more}))


def test_a_batch_norm_among_named_layers(state_dict: StateDict, tmp_path: Path) -> None:
    """Its place is in no name."""
    layers = {
        "fc.first.weight": np.ones((20, 2), np.float32),
        "fc.last.weight": np.ones((CLASSES, 20), np.float32),
        "fc.bn.weight": np.ones(20, np.float32),
    }
    with pytest.raises(ConversionFailed, match=r"No layer of the network takes fc\.bn\.weight"):
        read(tmp_path, tensors({**without_head(state_dict), **layers}))


def test_one_number_for_each_class_that_is_no_weight_of_a_loss(
    state_dict: StateDict, tmp_path: Path
) -> None:
    for name in ("scale.weight", "temperature.weight", "ce.bias", "fc.weight_scale", "model.log"):
        more = {**prefixed("model.", state_dict), name: np.ones(CLASSES, np.float32)}
        with pytest.raises(ConversionFailed, match=f"No layer of the network takes {name}"):
            read(tmp_path, tensors(more))


def test_projections_called_shortcut(state_dict: StateDict, tmp_path: Path) -> None:
    """As kuangliu/pytorch-cifar saves them."""
    published = renamed(
        prefixed("module.", head(state_dict, fc="linear")),
        lambda name: name.replace(".downsample.", ".shortcut."),
    )
    assert_same(read(tmp_path, {"net": tensors(published), "acc": 95.5, "epoch": 9}), state_dict)


def test_children_of_a_sequential(state_dict: StateDict, tmp_path: Path) -> None:
    """nn.Sequential(*list(resnet.children())[:-1])."""
    numbers = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}

    def number(name: str) -> str:
        first, _, rest = name.partition(".")
        return f"{numbers[first]}.{rest}" if first in numbers else name

    children = renamed(state_dict, lambda name: f"features.{number(name)}")
    assert_same(read(tmp_path, tensors(head(children, fc="classifier"))), state_dict)
    apart = {**prefixed("features.", renamed(without_head(state_dict), number))}
    apart |= {"fc.weight": state_dict["fc.weight"], "fc.bias": state_dict["fc.bias"]}
    assert_same(read(tmp_path, tensors(apart)), state_dict)
    numbered = renamed(
        state_dict, lambda name: f"1.8{name[2:]}" if name[:2] == "fc" else f"0.{number(name)}"
    )
    assert_same(read(tmp_path, tensors(numbered)), state_dict)
    # The average and the maximum of each feature.
    fastai = {**numbered, "1.8.weight": np.ones((CLASSES, 4), np.float32)}
    with pytest.raises(ConversionFailed, match="fastai's Sequential networks"):
        read(tmp_path, {"model": tensors(fastai), "opt": optimizer(state_dict)})


ENCODERS: dict[str, tuple[Callable[[StateDict], StateDict], str]] = {
    "alone": (without_head, "no classifier, no dense layer that gives classes"),
    "MoCo": (
        lambda x: prefixed("module.encoder_q.", x),
        r"at state_dict\.module\.encoder_q has no classifier",
    ),
    "projector": (
        lambda x: {
            **prefixed("backbone.", without_head(x)),
            "projector.0.weight": np.ones((128, 2), np.float32),
        },
        r"at state_dict\.backbone has no classifier",
    ),
}


@pytest.mark.parametrize(("change", "said"), ENCODERS.values(), ids=list(ENCODERS))
def test_encoders_are_refused(
    change: Callable[[StateDict], StateDict], said: str, state_dict: StateDict, tmp_path: Path
) -> None:
    with pytest.raises(ConversionFailed, match=said):
        read(tmp_path, {"state_dict": tensors(change(state_dict))})


@pytest.mark.parametrize(
    "name",
    ["layer1.0.se.fc1.weight", "attention.weight", "neck.0.weight", "backbone2.stem.weight"],
)
def test_a_layer_that_ours_do_not_have(name: str, state_dict: StateDict, tmp_path: Path) -> None:
    """It would change the answer."""
    more = {**state_dict, name: np.ones((4, 4, 3, 3), np.float32)}
    with pytest.raises(ConversionFailed, match=name):
        read(tmp_path, tensors(more))


def test_views_of_one_storage(state_dict: StateDict, tmp_path: Path) -> None:
    """FSDP keeps all parameters in one block; a channels-last kernel has other strides."""
    block = np.concatenate([values.ravel() for values in state_dict.values()])
    storage, offset = Storage("0", block), 0
    views = {}
    for name, values in state_dict.items():
        strides = tuple(stride // 4 for stride in np.ascontiguousarray(values).strides)
        views[name] = Tensor(storage, offset, values.shape, strides)
        offset += values.size
    kernel = state_dict["conv1.weight"]
    views["conv1.weight"] = tensor(kernel.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2), "1")
    assert_same(read(tmp_path, views), state_dict)


@pytest.mark.parametrize("save", [save_zip, save_legacy])
def test_other_precisions(save: Callable[..., Path], state_dict: StateDict, tmp_path: Path) -> None:
    double = {name: values.astype(np.float64) for name, values in state_dict.items()}
    assert_same(read_path(save(tmp_path / "a.pth", tensors(double))), state_dict)
    half = {name: values.astype(np.float16) for name, values in state_dict.items()}
    rounded = {name: values.astype(np.float32) for name, values in half.items()}
    assert_same(read_path(save(tmp_path / "a.pth", tensors(half))), rounded)
    # bfloat16 is the upper half of a float32.
    upper = {name: (x.view(np.uint32) >> 16).astype(np.uint16) for name, x in state_dict.items()}
    widened = {name: (x.astype(np.uint32) << 16).view(np.float32) for name, x in upper.items()}
    assert_same(read_path(save(tmp_path / "a.pth", tensors(upper))), widened)


def shard(folder: Path, state_dict: StateDict, name: str) -> None:
    """In two files and an index."""
    names = sorted(state_dict)
    parts = {f"{name}-1.safetensors": names[:20], f"{name}-2.safetensors": names[20:]}
    for file, keys in parts.items():
        save_file({key: state_dict[key] for key in keys}, folder / file)
    places = {key: file for file, keys in parts.items() for key in keys}
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_shards_by_their_index_or_their_folder(state_dict: StateDict, tmp_path: Path) -> None:
    shard(tmp_path, state_dict, "model")
    assert_same(read_path(tmp_path), state_dict)
    index = tmp_path / "model.safetensors.index.json"
    assert_same(read_path(index), state_dict)
    (tmp_path / "model-2.safetensors").unlink()
    with pytest.raises(ConversionFailed, match=r"names files that are missing: model-2\.safeten"):
        read_path(index)
    index.write_text(json.dumps({"weight_map": {"conv1.weight": "../model-1.safetensors"}}))
    with pytest.raises(ConversionFailed, match="A shard must be in the folder"):
        read_path(index)
    save_file({"a": np.ones(1, np.float32)}, tmp_path / "model-1.safetensors")
    index.write_text(json.dumps({"weight_map": {"conv1.weight": "model-1.safetensors"}}))
    with pytest.raises(ConversionFailed, match=r"lacks conv1\.weight, which the index names"):
        read_path(index)


def test_a_folder_of_the_hub(state_dict: StateDict, tmp_path: Path) -> None:
    published = renamed(state_dict, transformers_name)
    save_zip(tmp_path / "pytorch_model.bin", tensors(published))
    (tmp_path / "config.json").write_text('{"downsample_in_bottleneck": true}')
    assert_same(read_path(tmp_path), state_dict)
    save_file(published, tmp_path / "model.safetensors")
    assert weights_file(tmp_path).name == "model.safetensors"
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ConversionFailed, match="has no weights by a known name"):
        read_path(empty)


@pytest.mark.parametrize(("before", "behind"), [(b" " * 8, b""), (b"", b" " * 7), (b"\n", b"")])
def test_white_space_around_the_header_of_safetensors(
    before: bytes, behind: bytes, state_dict: StateDict, tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    save_file(state_dict, path, metadata={"format": "pt", "note": "{"})
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = before + data[8 : 8 + length] + behind
    path.write_bytes(len(header).to_bytes(8, "little") + header + data[8 + length :])
    assert_same(read_path(path), state_dict)
