"""Maps the layer names of Keras networks to ours."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from model_builder.checkpoints.formats.keras.config import KerasConfig
from model_builder.checkpoints.formats.keras.recipe import recipe_of
from model_builder.checkpoints.formats.keras.values import Features
from model_builder.checkpoints.formats.state_dict import Array, StateDict, layer_name, rename
from model_builder.errors import ConversionFailed

OURS = re.compile(r"conv1|bn1|layer[1-4]_\d+_(conv[1-3]|bn[1-3]|downsample_[01])")
# keras.applications: conv2_block1_0_conv. Convolution 0 is the shortcut's.
APPLICATIONS = re.compile(r"conv([2-5])_block(\d+)_([0-3])_(conv|bn)")
# Caffe and Keras before 2019: res2a_branch2a, bn4b22_branch1. Blocks are a, b, c, ... or, in the
# deeper networks, a, b1, b2, ...; branch 1 is the shortcut.
CAFFE = re.compile(r"(res|bn)([2-5])([a-z])(\d*)_branch(1|2[abc])")
STEM = {"conv1_conv": "conv1", "conv1_bn": "bn1", "conv1": "conv1", "bn_conv1": "bn1"}

# keras/src/applications/resnet.py: strides on the first 1x1, and this epsilon.
APPLICATIONS_EPSILON = 1.001e-5

# Of Normalization layers, which are part of the recipe.
MOMENTS = ("/mean", "/variance")
BATCH_NORM_FIELDS = ("gamma", "beta", "moving_mean", "moving_variance")
FIELDS: dict[tuple[int, ...], tuple[str, ...]] = {
    (4,): ("kernel",),
    (4, 1): ("kernel", "bias"),
    (2,): ("kernel",),
    (2, 1): ("kernel", "bias"),
    (1, 1, 1, 1): BATCH_NORM_FIELDS,
    # Normalization's; its count is left out, as every integer is.
    (1, 1): ("mean", "variance"),
    (0, 0): ("mean", "variance"),
}


def our_layer(name: str) -> str | None:
    """Our name of a convolution or batch norm in a Keras network; None for other layers."""
    if name in STEM:
        return STEM[name]
    if OURS.fullmatch(name):
        return name
    if match := APPLICATIONS.fullmatch(name):
        stage, block, index, kind = match.groups()
        return layer_name(int(stage) - 1, int(block) - 1, int(index), kind)
    if match := CAFFE.fullmatch(name):
        kind, stage, letter, number, branch = match.groups()
        block_index = int(number) if number else ord(letter) - ord("a")
        convolution = 0 if branch == "1" else "abc".index(branch[1]) + 1
        return layer_name(
            int(stage) - 1, block_index, convolution, "conv" if kind == "res" else "bn"
        )
    return None


def by_field(layer: str, arrays: Sequence[Array]) -> dict[str, Array]:
    """A layer's arrays by "layer/field". Their order gives the field, as in Keras."""
    fields = FIELDS.get(tuple(values.ndim for values in arrays))
    if fields is None:
        shapes = ", ".join(str(values.shape) for values in arrays)
        raise ConversionFailed(
            f"{layer} is not a convolution, batch norm or dense layer of a ResNet. "
            f"Received: tensors of shape {shapes}"
        )
    return {f"{layer}/{name}": values for name, values in zip(fields, arrays, strict=True)}


def to_state_dict(published: Mapping[str, Array], config: KerasConfig | None) -> StateDict:
    """Tensors named "layer/field" by our names, with what `config` states of the network.

    Without one, the only dense layer is the classifier, under any name. Raises ConversionFailed.
    """
    layers = {key.rpartition("/")[0] for key in published}
    dense = {
        key.rpartition("/")[0]
        for key, values in published.items()
        if key.endswith("/kernel") and values.ndim == 2
    }
    classifier = None if config is None else config.classifier
    head = _head(classifier) if classifier is not None else dict.fromkeys(dense, "fc")
    if len(head) > 1 and classifier is None:
        # Their order and what is between them are in the config alone.
        head = {}

    def our_name(key: str) -> str | None:
        layer, _, field = key.rpartition("/")
        name = head.get(layer) or our_layer(layer)
        return None if name is None else f"{name}/{field}"

    kept = {key: values for key, values in published.items() if not key.endswith(MOMENTS)}
    tensors, keys = rename(kept, our_name)
    if config is not None:
        strides = {
            name: stride
            for layer, stride in config.strides.items()
            if (name := our_layer(layer)) is not None
        }
        pool_edge = None if classifier is None else classifier.pool_edge
        found = StateDict(
            tensors,
            keys,
            strides,
            batch_norm_epsilon=config.batch_norm_epsilon,
            recipe=recipe_of(config.image, pool_edge, published),
        )
        return found if classifier is None else _with_classifier(found, classifier)
    if "conv1_conv" in layers:
        return StateDict(tensors, keys, stride_in_1x1=True, batch_norm_epsilon=APPLICATIONS_EPSILON)
    # Every network with these names has Caffe's strides; epsilons vary.
    return StateDict(tensors, keys, stride_in_1x1=True if "bn_conv1" in layers else None)


def _head(classifier: Features) -> dict[str, str]:
    """Our name of each layer of the classifier: "fc" for one alone, or "head/0", "head/1", ..."""
    if len(classifier.layers) == 1:
        return {classifier.layers[0].name: "fc"}
    return {layer.name: f"head/{index}" for index, layer in enumerate(classifier.layers)}


def _with_classifier(found: StateDict, classifier: Features) -> StateDict:
    if classifier.layers and classifier.layers[-1].relu:
        raise ConversionFailed(
            f"{classifier.layers[-1].name} gives logits through a ReLU, and ours has none there."
        )
    epsilons = {layer.epsilon for layer in classifier.layers if layer.epsilon is not None}
    if len(epsilons) > 1:
        raise ConversionFailed(
            f"The classifier's batch norms have several epsilons. Received: {sorted(epsilons)}"
        )
    return replace(
        found,
        activation=classifier.activation,
        head_relu=frozenset(i for i, layer in enumerate(classifier.layers) if layer.relu),
        head_epsilon=next(iter(epsilons), None),
    )
