"""The inference network in int8 as OpenVINO's intermediate representation, quantized by NNCF."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from model_builder.system.nncf_import import hide_progress, import_nncf
from model_builder.system.openvino_import import import_openvino

Pixels = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float32]


def quantize(model: Any, crops: Pixels, advance: Callable[[int], None]) -> Any:
    """An OpenVINO model with the same input and output that multiplies in int8.

    Weights are int8 with a scale a channel, activations 8 bits with a scale a tensor, symmetric.
    The stem's weights use 7 of their 8 bits: CPUs without VNNI add two products in a register of
    16 bits, which the stem's would saturate (docs/decisions/0015-openvino-int8.md).

    model: an OpenVINO model with the input uint8 [N, H, W, 3]. crops: uint8 [M, H, W, 3]; they set
    the ranges of the activations, and the biases are corrected for their rounding.
    advance: called with 1 for each crop. Raises BuilderError where NNCF is not installed.
    """
    nncf = import_nncf()

    def as_batch(crop: Pixels) -> Pixels:
        advance(1)
        return crop[None]

    with hide_progress():
        return nncf.quantize(
            model,
            nncf.Dataset(list(crops), as_batch),
            preset=nncf.QuantizationPreset.PERFORMANCE,
            subset_size=len(crops),
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                overflow_fix=nncf.OverflowFix.FIRST_LAYER
            ),
        )


def runner(model: Any) -> Callable[[Pixels], Array]:
    """A function from pixels uint8 [N, H, W, 3] to the feature map float32 [N, h, w, features].

    Its results are valid until it is called again.
    """
    compiled = (
        import_openvino()
        .Core()
        .compile_model(
            model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        )
    )
    request = compiled.create_infer_request()

    def run(pixels: Pixels) -> Array:
        request.infer([pixels])
        features: Array = request.get_output_tensor().data
        return features

    return run
