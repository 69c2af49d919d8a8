"""Accuracy, calibration and throughput of one model in several precisions, on labeled images."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from model_builder.artifact.labels import Label
from model_builder.artifact.manifest import Precision
from model_builder.artifact.preprocessing import Preprocessing
from model_builder.artifact.report import Measurement
from service.errors import InvalidParameter, ServiceError
from service.evaluation.calibration.figures import expected_calibration_error
from service.imaging.pool import DecoderPool
from service.inference.request import InferenceRequest
from service.inference.service import InferenceService

Pixels = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float32]

# Images in flight: several of the largest batches.
CHUNK = 32
TIMEOUT_SECONDS = 600.0
TOP = 5
# The probability from which on the class of a model with one class is there.
PRESENT = 0.5


@dataclass(frozen=True, slots=True)
class LabeledImage:
    """An image file and the index of its class."""

    path: Path
    class_id: int


@dataclass(frozen=True, slots=True)
class LabeledFolder:
    """The labeled images of a folder.

    images: those of a known class. skipped: folders and files whose name is no class.
    not_files: pipes, devices and the like.
    """

    images: tuple[LabeledImage, ...]
    skipped: tuple[str, ...]
    not_files: tuple[str, ...] = ()


@dataclass(slots=True)
class Tally:
    """The results of one precision so far, and the seconds that they took."""

    confidences: list[float] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)
    right_in_top: list[bool] = field(default_factory=list)
    agreeing: list[bool] = field(default_factory=list)
    classes: int = 0
    seconds: float = 0.0

    def add(self, probabilities: Array, class_ids: Sequence[int], reference: Array) -> None:
        """Adds N images. probabilities, reference: float32 [N, classes]; reference is float32's.

        The answer is the most probable class; of a model with one class, whether it is there.
        """
        self.classes = probabilities.shape[1]
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :TOP]
        for row, class_id, mine, other in zip(
            order, class_ids, _answers(probabilities), _answers(reference), strict=True
        ):
            self.right.append(bool(mine == class_id))
            self.right_in_top.append(bool(class_id in row))
            self.agreeing.append(bool(mine == other))
        self.confidences += probabilities.max(axis=1).tolist()

    def measurement(self, images: str, digest: str) -> Measurement:
        """The figures. top5_percent is None with five classes or fewer: it would always be 100."""
        return Measurement(
            images=images,
            count=len(self.right),
            agreement_percent=_percent(self.agreeing),
            top1_percent=_percent(self.right),
            top5_percent=_percent(self.right_in_top) if self.classes > TOP else None,
            expected_calibration_error=round(
                expected_calibration_error(self.confidences, self.right), 4
            ),
            images_per_second=round(len(self.right) / self.seconds, 2),
            origin="evaluate",
            digest=digest,
        )


def labeled_images(folder: Path, labels: Sequence[Label]) -> LabeledFolder:
    """The images in folders named after a class, by WordNet id or label, and those whose file name
    begins with a WordNet id. Raises InvalidParameter where there are none.
    """
    by_name = {name: i for i, label in enumerate(labels) for name in (label.wnid, label.name)}
    found, skipped, not_files = [], set(), []
    for path in sorted(path for path in folder.rglob("*") if not path.is_dir()):
        if not path.is_file():
            not_files.append(str(path.relative_to(folder)))
            continue
        wnid = path.name.partition("_")[0].partition(".")[0]
        class_id = by_name.get(path.parent.name, by_name.get(wnid))
        if class_id is not None:
            found.append(LabeledImage(path, class_id))
        else:
            skipped.add(str((path if path.parent == folder else path.parent).relative_to(folder)))
    if not found:
        raise InvalidParameter(
            "Images must be in a folder for each class, named by WordNet id or label, or have "
            f"names that begin with the WordNet id. Received: {folder}, which has no such image"
        )
    return LabeledFolder(tuple(found), tuple(sorted(skipped)), tuple(not_files))


def digest_of(images: Sequence[LabeledImage]) -> str:
    """sha256 over the files' names, classes and contents, in hexadecimal.

    The same files give the same digest in every folder.
    """
    running = hashlib.sha256()
    for image in images:
        content = hashlib.sha256(image.path.read_bytes()).hexdigest()
        running.update(f"{image.path.name} {image.class_id} {content}\n".encode())
    return running.hexdigest()


async def evaluate(
    images: Sequence[LabeledImage],
    services: Mapping[Precision, InferenceService],
    decoder: DecoderPool,
    preprocessing: Preprocessing,
    *,
    skipped: Callable[[Path, ServiceError], None],
    advance: Callable[[int], None],
) -> dict[Precision, Tally]:
    """Decodes every image once and sends it through each service in turn, CHUNK images at a time.

    services: one for each precision of a model, "float32" among them. skipped: called with each
    image that can't be decoded. advance: called with the number of images done since the last
    call. Raises ServiceError, and InvalidParameter where no image could be decoded.
    """
    tallies: dict[Precision, Tally] = {precision: Tally() for precision in services}

    async def decode(image: LabeledImage) -> Pixels | ServiceError:
        try:
            data = await asyncio.to_thread(image.path.read_bytes)
            decoded = await decoder.decode(data, preprocessing, deadline=_due())
            return decoded.pixels
        except ServiceError as error:
            return error

    for start in range(0, len(images), CHUNK):
        chunk = images[start : start + CHUNK]
        pixels, class_ids = [], []
        for image, outcome in zip(chunk, await asyncio.gather(*map(decode, chunk)), strict=True):
            if isinstance(outcome, ServiceError):
                skipped(image.path, outcome)
            else:
                pixels.append(outcome)
                class_ids.append(image.class_id)
        if not pixels:
            continue
        answers: dict[Precision, Array] = {}
        for precision, service in services.items():
            started = time.perf_counter()
            answers[precision] = await _probabilities(service, pixels)
            tallies[precision].seconds += time.perf_counter() - started
        for precision, probabilities in answers.items():
            tallies[precision].add(probabilities, class_ids, answers["float32"])
        advance(len(pixels))
    if not tallies["float32"].right:
        raise InvalidParameter(f"None of the {len(images)} images could be decoded.")
    return tallies


async def _probabilities(service: InferenceService, pixels: Sequence[Pixels]) -> Array:
    """float32 [N, classes]. Raises the error of any image."""
    due = _due()
    # A request for each image: together they may be more than the queue has room for.
    rows = await asyncio.gather(
        *(
            service.infer_one(InferenceRequest((one,), due, ("probabilities",), wait_for_room=True))
            for one in pixels
        )
    )
    return np.stack([row.outputs["probabilities"] for row in rows])


def _answers(probabilities: Array) -> npt.NDArray[np.int64]:
    """int64 [N]: the most probable class; of a model with one class -1 where it is not there."""
    if probabilities.shape[1] == 1:
        return np.asarray(np.where(probabilities[:, 0] >= PRESENT, 0, -1), np.int64)
    return np.asarray(probabilities.argmax(axis=1), np.int64)


def _due() -> float:
    return time.monotonic() + TIMEOUT_SECONDS


def _percent(flags: Sequence[bool]) -> float:
    return round(100 * sum(flags) / len(flags), 2)
