"""The layers of Keras that networks are read with, and which of their settings ours have too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Whose classes are Keras's own. The second is Keras 2 as it goes on beside Keras 3.
PACKAGES = ("keras", "tf_keras")
CONTAINERS = {"Functional", "Model", "Sequential"}
# They give their input at inference. tests/model_builder/checkpoints/formats compares each.
WITHOUT_EFFECT = {
    "ActivityRegularization",
    "AlphaDropout",
    "AugMix",
    "CutMix",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "Identity",
    "MixUp",
    "RandAugment",
    "RandomBrightness",
    "RandomColorDegeneration",
    "RandomColorJitter",
    "RandomContrast",
    "RandomElasticTransform",
    "RandomErasing",
    "RandomFlip",
    "RandomGaussianBlur",
    "RandomGrayscale",
    "RandomHeight",
    "RandomHue",
    "RandomInvert",
    "RandomPerspective",
    "RandomPosterization",
    "RandomRotation",
    "RandomSaturation",
    "RandomSharpness",
    "RandomShear",
    "RandomTranslation",
    "RandomWidth",
    "RandomZoom",
    "Solarization",
    "SpatialDropout2D",
}
# Of the network itself.
BODY = {
    "Activation",
    "Add",
    "BatchNormalization",
    "Conv2D",
    "MaxPooling2D",
    "Pad",
    "ReLU",
    "ZeroPadding2D",
}
HEAD = {
    "AveragePooling2D",
    "Dense",
    "Flatten",
    "GlobalAveragePooling2D",
    "Softmax",
}
# Of images before the first convolution.
PREPARING = {"CenterCrop", "Normalization", "Rescaling", "Resizing"}
LAYERS = WITHOUT_EFFECT | BODY | HEAD | PREPARING | {"InputLayer"}
# Operations on tensors, by what Keras 3 calls them in `keras.ops`.
OPERATIONS = {"Add", "Subtract", "Multiply", "TrueDivide", "Divide", "GetItem", "Stack", "Flip"}
OPERATIONS |= {"Cast", "Pad"}
# Keras 2: layers of the class TFOpLambda or SlicingOpLambda, by their function.
LEGACY_OPERATIONS = {
    "math.add": "Add",
    "__operators__.add": "Add",
    "math.subtract": "Subtract",
    "math.multiply": "Multiply",
    "math.truediv": "TrueDivide",
    "math.divide": "TrueDivide",
    "divide": "TrueDivide",
    "nn.bias_add": "Add",
    "__operators__.getitem": "GetItem",
    "stack": "Stack",
    "reverse": "Flip",
    "cast": "Cast",
}
PREPROCESS_INPUT = "preprocess_input"


def kind_of(layer: Mapping[str, Any]) -> str | None:
    """The class of a layer that is read; None for one that is unknown or carries code.

    An operation on tensors is "ops.Add" and so on, `preprocess_input` in a Lambda "Preprocess".
    """
    kind, config = layer["class_name"], layer["config"]
    # Keras 3 states the module of a class; earlier versions prefixed users' classes only.
    package = layer.get("module") or "keras"
    registered = layer.get("registered_name") or kind
    if package.split(".")[0] not in PACKAGES or registered != kind:
        return None
    if package.startswith(("keras.src.ops.", "keras.ops.")):
        return f"ops.{kind}" if kind in OPERATIONS else None
    if kind in ("TFOpLambda", "SlicingOpLambda"):
        operation = LEGACY_OPERATIONS.get(config.get("function", ""))
        return None if operation is None else f"ops.{operation}"
    if kind == "Lambda":
        return "Preprocess" if _function(config) == PREPROCESS_INPUT else None
    return kind if kind in LAYERS | CONTAINERS else None


def _function(config: Mapping[str, Any]) -> str | None:
    """The name of the function that a Lambda calls; None where it carries code."""
    function = config["function"]
    if isinstance(function, dict) and function.get("class_name") == "function":
        function = function.get("config")
    return function if isinstance(function, str) and not config.get("arguments") else None


def problem(kind: str, settings: Mapping[str, Any]) -> str | None:
    """How a layer differs from ours although its tensors have our shapes; None if it does not."""
    if settings.get("data_format", "channels_last") not in ("channels_last", None):
        return f"is not channels_last. Received: {settings['data_format']}"
    if kind == "Conv2D":
        kernel, stride = settings["kernel_size"], settings["strides"]
        if stride[0] != stride[1] or kernel[0] != kernel[1]:
            return f"is not square. Received: kernel {kernel}, strides {stride}"
        if stride[0] > 1 and kernel[0] > 1 and settings["padding"] != "valid":
            return (
                "pads at the bottom and right only, ours on every side. "
                f"Received: padding {settings['padding']!r}"
            )
        if set(settings["dilation_rate"]) != {1} or settings.get("groups", 1) != 1:
            return "is dilated or grouped."
        if settings["activation"] != "linear":
            return f"has an activation. Received: {settings['activation']!r}"
    elif kind == "MaxPooling2D" and settings["padding"] != "valid":
        return f"is not padded on every side. Received: padding {settings['padding']!r}"
    elif kind == "ZeroPadding2D":
        padding = settings["padding"]
        if padding[0] != padding[1] or padding[0][0] != padding[0][1]:
            return f"does not pad every side alike. Received: {padding}"
    elif kind == "BatchNormalization":
        if not (settings["center"] and settings["scale"]):
            return "has no shift or no scale."
    elif kind == "ReLU" and (settings.get("max_value") or settings.get("negative_slope")):
        return "is capped or leaky."
    return None
