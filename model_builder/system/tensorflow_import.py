"""Imports TensorFlow without Keras, and without the output of its native libraries."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from model_builder.system.gc_control import gc_paused
from model_builder.system.native_stderr import redirect_native_stderr

# TensorFlow imports this last, if it is installed, so that SavedModels may hold Keras's
# optimizers. It imports all of Keras.
_KERAS_PART = "keras.src.optimizers"


def import_tensorflow() -> ModuleType:
    """TensorFlow. The first call takes seconds; its native output goes to the debug log.

    Sets TensorFlow as Keras's backend unless the environment sets another. Does not import Keras.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # TensorFlow's own kernels are built for CPUs without AVX2. By default it uses oneDNN's only
    # on CPUs with VNNI.
    if platform.machine() == "x86_64":
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    if "tensorflow" not in sys.modules:
        with redirect_native_stderr(), gc_paused(), _not_there(_KERAS_PART):
            import tensorflow

            # The CUDA libraries print when GPUs are listed for the first time.
            tensorflow.config.list_physical_devices()
    return sys.modules["tensorflow"]


@contextmanager
def _not_there(name: str) -> Iterator[None]:
    """Meanwhile an import of the module raises ModuleNotFoundError, if it is not imported yet."""

    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]
