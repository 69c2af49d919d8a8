"""The layers behind the pooling of a Keras network: dense layers, batch norms, activations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from model_builder.checkpoints.formats.keras.values import Features, HeadLayer
from model_builder.errors import ConversionFailed


def after_pooling(
    features: Features, kind: str, name: str, settings: Mapping[str, Any]
) -> Features | None:
    """The features after one more layer; None for one that a classifier does not have.

    Raises ConversionFailed for an activation that ours does not have there.
    """
    if kind in ("Flatten", "GlobalAveragePooling2D"):
        return replace(features, is_map=False)
    if features.is_map:
        return None
    if kind == "Dense":
        _check_no_activation(features, name)
        added = replace(features, layers=(*features.layers, HeadLayer("dense", name)))
        return _activated(added, settings["activation"], name, kind)
    if kind == "BatchNormalization":
        _check_no_activation(features, name)
        if settings["axis"] not in (1, -1, [1], [-1]):
            raise ConversionFailed(
                f"{name} ({kind}) is not over features. Received: axis {settings['axis']}"
            )
        layer = HeadLayer("batch_norm", name, epsilon=float(settings["epsilon"]))
        return replace(features, layers=(*features.layers, layer))
    if kind == "Activation":
        return _activated(features, settings["activation"], name, kind)
    if kind in ("ReLU", "Softmax"):
        return _activated(features, kind.lower(), name, kind)
    return None


def _check_no_activation(features: Features, name: str) -> None:
    if features.activation is not None:
        raise ConversionFailed(
            f"{name} is behind a {features.activation}, which only the last layer has."
        )


def _activated(features: Features, activation: Any, name: str, kind: str) -> Features:
    if activation == "linear":
        return features
    if not features.layers:
        if activation == "relu":
            # Pooled features are averages of what a ReLU gave.
            return features
    elif activation == "relu":
        return replace(
            features,
            layers=(*features.layers[:-1], replace(features.layers[-1], relu=True)),
        )
    elif activation in ("softmax", "sigmoid"):
        _check_no_activation(features, name)
        return replace(features, activation=activation)
    raise ConversionFailed(
        f"{name} ({kind}) is none of relu, softmax and sigmoid. Received: {activation!r}"
    )
