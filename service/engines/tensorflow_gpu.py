"""TensorFlow with XLA: float16 and bfloat16 on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from model_builder.artifact.manifest import Artifact
from model_builder.exporters.saved_model import read_graph
from model_builder.system.tensorflow_import import import_tensorflow

Pixels = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float32]

MAX_BATCH_SIZE = 256


class GpuEngine:
    """The network of one artifact on one logical device, compiled for each batch size.

    device: TensorFlow's name of a logical device, of any kind.
    """

    def __init__(self, artifact: Artifact, device: str) -> None:
        self._tf: Any = import_tensorflow()
        self._device = device
        saved = read_graph(artifact.network)
        tf = self._tf

        def network(pixels: Any) -> Any:
            (features,) = tf.graph_util.import_graph_def(
                saved.graph_def, {saved.pixels: pixels}, [saved.features], name=""
            )
            return features

        with tf.device(device):
            shape = tf.TensorSpec([None, None, None, 3], tf.uint8)
            function = tf.function(network, autograph=False).get_concrete_function(shape)
            self._function: Callable[[Any], Any] = tf.function(
                lambda pixels: function(pixels), autograph=False, jit_compile=True
            )

    @property
    def device(self) -> str:
        return self._device.removeprefix("/device:").lower()

    @property
    def max_batch_size(self) -> int:
        return MAX_BATCH_SIZE

    @property
    def takes_any_size(self) -> bool:
        """False: XLA compiles the network for each."""
        return False

    @property
    def concurrency(self) -> int:
        """2: the next batch is copied to the device while the last one runs."""
        return 2

    def features(self, pixels: Pixels) -> Any:
        """The feature map as a tensor on the device."""
        with self._tf.device(self._device):
            return self._function(self._tf.constant(pixels))

    @property
    def alone(self) -> None:
        """`run` has every thread."""

    @property
    def divided(self) -> bool:
        return True

    def divide(self) -> None:
        """Nothing to do."""

    def run(self, pixels: Pixels) -> Array:
        features: Array = self.features(pixels).numpy()
        return features

    def retain_sizes(self, batch_sizes: tuple[int, ...]) -> None:
        """Does nothing: XLA keeps what it compiled as long as the function exists."""
