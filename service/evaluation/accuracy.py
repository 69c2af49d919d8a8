"""Accuracy, calibration and speed of one model in several precisions, on labelled images."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from model_builder.artifact.labels import Label
from model_builder.artifact.manifest import Artifact, Precision
from model_builder.artifact.preprocessing import Preprocessing
from model_builder.artifact.report import Measurement
from service.engines.base import Engine
from service.errors import InvalidParameter, ServiceError
from service.imaging.decoder import decode
from service.inference.outputs import logits, softmax

Pixels = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float32]

BATCH_SIZE = 8
# Guo et al. 2017 (arXiv 1706.04599), section 2 and figure 1.
CALIBRATION_BINS = 15


@dataclass(frozen=True, slots=True)
class LabelledImage:
    path: Path
    class_id: int


@dataclass(slots=True)
class Tally:
    """What one engine said of the images so far."""

    confidences: list[float] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)
    right_in_five: list[bool] = field(default_factory=list)
    agreeing: list[bool] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, probabilities: Array, class_ids: Sequence[int], reference: Array) -> None:
        """probabilities, reference: float32 [N, classes], the latter the float32 network's."""
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :5]
        for row, class_id, best in zip(order, class_ids, reference.argmax(axis=1), strict=True):
            self.right.append(bool(row[0] == class_id))
            self.right_in_five.append(bool(class_id in row))
            self.agreeing.append(bool(row[0] == best))
        self.confidences += probabilities.max(axis=1).tolist()

    def measurement(self, images: str) -> Measurement:
        return Measurement(
            images=images,
            count=len(self.right),
            agreement_percent=_percent(self.agreeing),
            top1_percent=_percent(self.right),
            top5_percent=_percent(self.right_in_five),
            expected_calibration_error=round(self._calibration_error(), 4),
            images_per_second=round(len(self.right) / self.seconds, 2),
        )

    def _calibration_error(self) -> float:
        """How far confidence is from being right, over bins of confidence, weighted by size."""
        confidences, right = np.array(self.confidences), np.array(self.right, float)
        bins = np.minimum((confidences * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
        gaps = (
            abs((confidences[bins == one] - right[bins == one]).sum()) for one in np.unique(bins)
        )
        return float(sum(gaps) / len(right))


def labelled_images(folder: Path, labels: Sequence[Label]) -> list[LabelledImage]:
    """Every file whose folder is called as a class, by WordNet id or label, or whose own name
    begins with a WordNet id. Raises InvalidParameter where there is none.
    """
    by_name = {name: i for i, label in enumerate(labels) for name in (label.wnid, label.name)}
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        wnid = path.name.partition("_")[0].partition(".")[0]
        class_id = by_name.get(path.parent.name, by_name.get(wnid))
        if class_id is not None:
            found.append(LabelledImage(path, class_id))
    if not found:
        raise InvalidParameter(
            "Images lie in a folder a class, named by WordNet id or label, or have names that "
            f"begin with the WordNet id. Received: {folder}, which has no such image"
        )
    return found


def evaluate(
    images: Sequence[LabelledImage],
    models: Mapping[Precision, tuple[Artifact, Engine]],
    *,
    max_pixels: int,
    skipped: Callable[[Path, ServiceError], None],
    advance: Callable[[int], None],
) -> dict[Precision, Tally]:
    """Runs every image through every model, batch by batch in turn.

    models: artifacts of one model, "float32" among them. skipped: told of what can't be decoded.
    """
    preprocessing = models["float32"][0].manifest.preprocessing
    tallies: dict[Precision, Tally] = {precision: Tally() for precision in models}
    _warm_up(models, preprocessing)
    for batch, pixels in _batches(images, preprocessing, max_pixels, skipped):
        answers: dict[Precision, Array] = {}
        for precision, (artifact, engine) in models.items():
            started = time.perf_counter()
            answers[precision] = softmax(logits(engine.run(pixels), artifact.head))
            tallies[precision].seconds += time.perf_counter() - started
        class_ids = [image.class_id for image in batch]
        for precision, probabilities in answers.items():
            tallies[precision].add(probabilities, class_ids, answers["float32"])
        advance(len(batch))
    if not tallies["float32"].right:
        raise InvalidParameter(f"None of the {len(images)} images could be decoded.")
    return tallies


def _warm_up(
    models: Mapping[Precision, tuple[Artifact, Engine]], preprocessing: Preprocessing
) -> None:
    size = preprocessing.crop_size
    for _, engine in models.values():
        engine.run(np.zeros((BATCH_SIZE, size, size, 3), np.uint8))


def _batches(
    images: Sequence[LabelledImage],
    preprocessing: Preprocessing,
    max_pixels: int,
    skipped: Callable[[Path, ServiceError], None],
) -> Iterator[tuple[list[LabelledImage], Pixels]]:
    def read(image: LabelledImage) -> Pixels | ServiceError:
        try:
            return decode(image.path.read_bytes(), preprocessing, max_pixels=max_pixels)
        except ServiceError as error:
            return error

    with ThreadPoolExecutor() as pool:
        for start in range(0, len(images), BATCH_SIZE):
            batch: list[LabelledImage] = []
            rows: list[Pixels] = []
            chunk = images[start : start + BATCH_SIZE]
            for image, outcome in zip(chunk, pool.map(read, chunk), strict=True):
                if isinstance(outcome, ServiceError):
                    skipped(image.path, outcome)
                else:
                    batch.append(image)
                    rows.append(outcome)
            if batch:
                yield batch, np.stack(rows)


def _percent(flags: Sequence[bool]) -> float:
    return round(100 * sum(flags) / len(flags), 2)
