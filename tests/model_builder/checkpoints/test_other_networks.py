"""Networks that are not of the family are refused by their names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model_builder.checkpoints.formats import torch
from model_builder.checkpoints.loader import read_checkpoint
from model_builder.checkpoints.other_networks import NETWORKS, unknown_layers
from model_builder.errors import ConversionFailed
from tests.model_builder.reference import random_state_dict
from tests.model_builder.torch_layout import save_safetensors

# A tensor that each network has beside those of a ResNet, as its publisher names it.
OTHERS = {
    "layer1.0.se.conv.weight": "an ECA-ResNet",
    "layer1.0.se.fc1.weight": "an SE-ResNet",
    "layer1.0.se_module.fc1.weight": "an SE-ResNet",
    "layer2.0.ca.fc1.weight": "CBAM",
    "layer1.0.cbam.ChannelGate.mlp.1.weight": "CBAM",
    "layer1.0.conv2.fc1.weight": "a ResNeSt",
    "layer1.0.conv2.bn0.weight": "a ResNeSt",
    "layer1.0.conv2.paths.0.conv.weight": "an SK-ResNet",
    "layer1.0.conv1.attn.fc_reduce.weight": "an SK-ResNet",
    "layer1.0.convs.0.weight": "a Res2Net",
    "layer2.0.downsample.0.filt": "an anti-aliased ResNet",
    "layer1.0.bn1.IN.weight": "an IBN-ResNet",
    "bn1.aux_bn.0.weight": "several batch norms",
    "layer4.0.attn.qkv.weight": "a ResNet with attention",
    "attnpool.q_proj.weight": "CLIP's ResNet",
    "head.pos_embed": "CLIP's ResNet",
    "stage2.0.fuse_layers.0.1.0.weight": "an HRNet",
    "maxpool.0.weight": "as ResNet-RS",
    "stages.0.0.conv1_1x1.conv.weight": "one of timm's ByobNets",
    "stages.0.conv_transition_a.conv.weight": "a CSPResNet",
    "body.conv1.conv.weight": "a TResNet",
    "rpn.head.conv.weight": "a detector",
    "aux_classifier.0.weight": "a segmentation network",
    "layer1.0.conv1.lora_A.weight": "LoRA",
    "conv1.weight_g": "reparametrized",
    "conv1.parametrizations.weight.original0": "reparametrized",
    "fc._packed_params._packed_params": "quantized",
    "s1.b1.conv1.conv.weight": "a RegNet",
    "trunk_output.block1.block1-0.f.a.0.weight": "a RegNet",
    "stages.0.blocks.0.norm1.weight": "a ResNetV2 or BiT",
    "features.denseblock1.denselayer1.norm1.weight": "a DenseNet",
    "stages.0.blocks.0.conv_dw.weight": "a ConvNeXt",
    "patch_embed.proj.weight": "a vision transformer",
    "conv_stem.weight": "an EfficientNet",
    "Mixed_5b.branch1x1.conv.weight": "an Inception",
    "features.0.weight": "a VGG",
}


@pytest.mark.parametrize(("name", "network"), OTHERS.items())
def test_another_network_is_named(name: str, network: str) -> None:
    tensors = {**random_state_dict(18, np.random.default_rng(0), 2), name: np.zeros(3, np.float32)}
    with pytest.raises(ConversionFailed) as raised:
        torch.to_state_dict(tensors)
    message = str(raised.value)
    assert network in message
    assert message.endswith(f"which is not served. Received: {name}")


@pytest.mark.parametrize("name", ["backbone.fpn.inner.0.weight", "head.pos_embed", "s1.b1.conv1.w"])
def test_another_network_is_named_whatever_else_it_lacks(name: str, tmp_path: Path) -> None:
    """Detectors have dense layers in no order; RegNets no tensor of ours."""
    network = {} if name != "backbone.fpn.inner.0.weight" else prefixed_resnet()
    heads = {f"roi_heads.{n}.weight": np.zeros((n, 512), np.float32) for n in (3, 4)}
    path = save_safetensors(
        tmp_path / "a.safetensors", {**network, **heads, name: np.zeros((2, 2), np.float32)}
    )
    with pytest.raises(ConversionFailed, match=r"^The checkpoint is .*, which is not served\."):
        read_checkpoint(path)


def prefixed_resnet() -> dict[str, np.typing.NDArray[np.float32]]:
    found = random_state_dict(18, np.random.default_rng(0), 2)
    return {f"backbone.{name}": x for name, x in found.items() if not name.startswith("fc.")}


def test_every_pattern_is_tried() -> None:
    found = {unknown_layers([name]) for name in OTHERS}
    named = {network for _, network in NETWORKS if any(network in one for one in found)}
    assert named == {network for _, network in NETWORKS}


def test_an_unknown_layer_of_a_resnet_is_not_called_another_network() -> None:
    assert unknown_layers(["layer1.0.conv9.weight"]) == (
        "No layer of the network takes layer1.0.conv9.weight"
    )


def test_no_tensor_of_a_resnet_looks_like_another_networks() -> None:
    """For heads, prefixes and deep stems as well."""
    names = [
        *random_state_dict(50, np.random.default_rng(0), 2, stem=(32, 32), average_pool=True),
        "module.layer1.0.conv2.weight",
        "fc.1.weight",
        "head.fc.weight",
        "classifier.weight",
    ]
    for name in names:
        assert unknown_layers([name]) == f"No layer of the network takes {name}"
