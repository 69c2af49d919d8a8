"""ResNet-50 of keras.applications with the published weights: an independent implementation.

`python -m tests.golden.reference` writes `logits.json` from it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from model_builder.checkpoints.catalog import find_checkpoint
from model_builder.checkpoints.download.fetch import LocalFile, fetch
from service.imaging.decoder import decode
from service.settings import Settings
from tests.home import HOME

Array = npt.NDArray[np.float32]
Pixels = npt.NDArray[np.uint8]

MODEL = "resnet50"
PHOTOS = Path(__file__).parents[1] / "photos"
LOGITS = Path(__file__).with_name("logits.json")
STORED_CLASSES = 10


def pixels_of(photo: Path) -> Pixels:
    """uint8 [1, 224, 224, 3], as the service computes it."""
    preprocessing = find_checkpoint(MODEL).preprocessing
    return decode(photo.read_bytes(), preprocessing, max_pixels=10**7)[None]


def checkpoint_file(home: Path = HOME) -> LocalFile:
    """As published, from RESNET_CHECKPOINT_FILE, the cache, or its source. Raises FetchFailed."""
    given = Settings().model.checkpoint_file
    return fetch(find_checkpoint(MODEL), home / "checkpoints", given=given)


def keras_network(file: LocalFile) -> Any:
    """Float32, with batch norm, output logits."""
    from model_builder.system.tensorflow_import import import_tensorflow

    import_tensorflow()
    import keras

    from model_builder.checkpoints.formats.keras.names import our_layer
    from model_builder.checkpoints.loader import read_tensors

    tensors = read_tensors(file, find_checkpoint(MODEL).architecture)
    network = keras.applications.ResNet50(weights=None, classifier_activation=None)
    for variable in network.weights:
        layer, field = variable.path.split("/")[-2:]
        variable.assign(tensors.pop(f"{our_layer(layer) or 'fc'}/{field}"))
    assert not tensors
    return network


def keras_logits(network: Any, pixels: Pixels) -> Array:
    from keras.applications.resnet import preprocess_input

    return np.asarray(network(preprocess_input(pixels.astype(np.float32)), training=False))


def main() -> None:
    network = keras_network(checkpoint_file())
    golden = {}
    for photo in sorted(PHOTOS.glob("*.jpg")):
        (logits,) = keras_logits(network, pixels_of(photo))
        best = np.argsort(-logits, kind="stable")[:STORED_CLASSES]
        golden[photo.name] = {str(i): round(float(logits[i]), 5) for i in best}
    LOGITS.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
