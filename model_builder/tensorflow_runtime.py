"""Imports TensorFlow without the start-up lines that its native libraries print."""

from __future__ import annotations

import os
import sys
from types import ModuleType

from model_builder.native_output import chatter_to_log


def import_tensorflow() -> ModuleType:
    """TensorFlow. The first call takes seconds; what it prints of itself goes to the debug log.

    Keras is told to use TensorFlow unless the environment says otherwise.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if "tensorflow" not in sys.modules:
        with chatter_to_log():
            import tensorflow

            # Looking for GPUs is what the CUDA libraries report on.
            tensorflow.config.list_physical_devices()
    return sys.modules["tensorflow"]
