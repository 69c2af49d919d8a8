"""The build targets of the tests: TensorFlow's network in two precisions."""

from __future__ import annotations

from model_builder.exporters.base import BuildTarget

EXPORTER = "model_builder.exporters.tensorflow"
FLOAT32 = BuildTarget("tensorflow", "float32", EXPORTER)
BFLOAT16 = BuildTarget("tensorflow", "bfloat16", EXPORTER)
