"""Names the networks that are not of the family, by the names of their tensors.

A network with one more layer than ours would give other logits. Sources: the state dicts of timm
1.0, torchvision 0.2x, transformers and the repositories that each is named after.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from model_builder.system.printable import shortlist

# What is searched for in the names of tensors, and the network that has such a tensor.
NETWORKS: tuple[tuple[str, str], ...] = (
    (r"trunk_output\.|(^|\.)s[1-4]\.b\d+\.conv\d", "a RegNet"),
    (r"(^|\.)conv_stem\.|blocks\.\d+\.\d+\.conv_pwl?\.", "an EfficientNet or a MobileNet"),
    (r"(^|\.)body\.conv1\.conv\.", "a TResNet"),
    (r"\.se\.conv\.", "an ECA-ResNet, with channel attention"),
    (r"\.(se|se_module|squeeze_excitation)\.", "an SE-ResNet, with squeeze and excitation"),
    (r"\.(ca|sa|cbam|bam|ChannelGate|SpatialGate)\.", "a ResNet with CBAM attention"),
    (r"layer\d\.\d+\.conv2\.(fc1|bn0|radix)", "a ResNeSt, with split attention"),
    (r"layer\d\.\d+\.conv[12]\.(paths|attn)\.", "an SK-ResNet, with selective kernels"),
    (r"layer\d\.\d+\.(convs|bns)\.\d", "a Res2Net"),
    (r"\.(filt|blurpool)\b", "an anti-aliased ResNet, with blurred strides"),
    (r"\.bn\d\.(IN|BN)\.", "an IBN-ResNet, with instance normalization"),
    (r"\.aux_bn\.|\.split_bn\.", "a ResNet with several batch norms for one layer"),
    (r"\.(attn|non_local|gcb|context)\.", "a ResNet with attention"),
    (r"attnpool\.|(^|\.)head\.pos_embed$", "CLIP's ResNet, which pools by attention"),
    (r"(^|\.)fuse_layers\.", "an HRNet"),
    (r"maxpool\.\d+\.", "a ResNet with a convolution in the place of its max pool, as ResNet-RS"),
    (r"(^|\.)(rpn|roi_heads|fpn|bbox_head|neck)\.", "a detector"),
    (r"(^|\.)(aux_classifier|decode_head|segmentation_head)\.", "a segmentation network"),
    (r"lora_[AB]\b", "the difference of a fine-tuning (LoRA) without its network"),
    (r"weight_(g|v|orig|mask)$|parametrizations\.", "a network with reparametrized weights"),
    (r"_packed_params|\.zero_point$", "a network that PyTorch quantized"),
    (
        r"stages\.\d\.blocks\.\d+\.norm\d\.",
        "a ResNetV2 or BiT, which normalize before their convolutions",
    ),
    (r"stages\.\d\.\d+\.conv\d_\dx\d\.", "one of timm's ByobNets (ResNet-ts, GCResNet)"),
    (r"stages\.\d\.conv_transition_[ab]\.", "a CSPResNet"),
    (r"(^|\.)denseblock\d", "a DenseNet"),
    (r"stages\.\d\.blocks\.\d+\.(conv_dw|gamma)|(^|\.)downsample_layers\.", "a ConvNeXt"),
    (r"(^|\.)(cls_token|patch_embed|patch_embeddings)\b", "a vision transformer"),
    (r"(^|\.)(Mixed_\d|Conv2d_\d[ab]_|inception\d)", "an Inception network"),
    (r"(^|\.)features\.\d+\.(weight|\d+\.)", "a VGG, AlexNet, SqueezeNet or MobileNet"),
)
_PATTERNS = tuple((re.compile(pattern), network) for pattern, network in NETWORKS)


def other_network(names: Iterable[str]) -> str | None:
    """A sentence with the network that has tensors of these names; None where none is known."""
    found = sorted(names)
    for pattern, network in _PATTERNS:
        if telling := [name for name in found if pattern.search(name)]:
            return (
                f"The checkpoint is {network}, which is not served. Received: {shortlist(telling)}"
            )
    return None


def unknown_layers(names: Iterable[str]) -> str:
    """A sentence for tensors that no layer of a ResNet takes; names: those in the file."""
    found = sorted(names)
    return other_network(found) or f"No layer of the network takes {shortlist(found)}"
