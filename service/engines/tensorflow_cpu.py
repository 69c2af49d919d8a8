"""TensorFlow on a CPU: float32 and bfloat16."""

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

# The largest batch to measure: from 8 on, arithmetic limits the throughput of every CPU.
MAX_BATCH_SIZE = 8


class CpuEngine:
    """The network of one artifact in its own session.

    A session copies the graph's constants, 94 MB for ResNet-50, less often than functions do: it
    loads faster and takes less memory (docs/performance.md).
    """

    def __init__(self, artifact: Artifact, *, threads: int) -> None:
        tf: Any = import_tensorflow()
        saved = read_graph(artifact.network)
        graph = tf.Graph()
        with graph.as_default():
            tf.graph_util.import_graph_def(saved.graph_def, name="")
        graph.finalize()
        config = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=threads,
            # One batch at a time: a second pool would only compete with the first.
            inter_op_parallelism_threads=1,
            device_count={"GPU": 0},
        )
        # The graph is never extended, and a second optimizer pass changes nothing.
        config.experimental.optimize_for_static_graph = True
        config.graph_options.rewrite_options.meta_optimizer_iterations = 1
        session = tf.compat.v1.Session(graph=graph, config=config)
        self._run: Callable[[Pixels], Array] = session.make_callable(saved.features, [saved.pixels])

    @property
    def device(self) -> str:
        return "cpu:0"

    @property
    def max_batch_size(self) -> int:
        return MAX_BATCH_SIZE

    @property
    def takes_any_size(self) -> bool:
        return True

    @property
    def concurrency(self) -> int:
        return 1

    @property
    def alone(self) -> None:
        """`run` has every thread."""

    @property
    def divided(self) -> bool:
        return True

    def divide(self) -> None:
        """Nothing to do."""

    def run(self, pixels: Pixels) -> Array:
        return self._run(pixels)

    def retain_sizes(self, batch_sizes: tuple[int, ...]) -> None:
        """Does nothing: one graph serves every size."""
