"""The artifacts on this machine: found by name, built when missing, rebuilt when damaged."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from model_builder.artifact import MANIFEST, Artifact, Precision, read_artifact
from model_builder.checkpoints import Checkpoint, find_checkpoint
from model_builder.errors import BuilderError, InvalidArtifact, UnknownModel
from model_builder.fetching import Fetching
from model_builder.own import OwnCheckpoint, list_own, read_own, write_own
from model_builder.sources import fetch
from model_builder.tensorflow_runtime import import_tensorflow

if TYPE_CHECKING:
    from model_builder.weights import Weights

logger = logging.getLogger(__name__)

BUILD_TIMEOUT_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Store:
    """`home` holds `checkpoints/` (files as published), `own/` (imported) and `artifacts/`.

    find: the catalogue; raises BuilderError for a name that it does not have.
    """

    home: Path
    fetching: Fetching = field(default_factory=Fetching)
    find: Callable[[str], Checkpoint] = find_checkpoint

    def obtain(
        self, name: str, precision: Precision, *, checkpoint_file: Path | None = None
    ) -> Artifact:
        """The artifact for a model's name, or the one in the folder that `name` is the path of.

        Fetches and builds what is not there yet; of several processes that ask at once, one does.
        Raises BuilderError.
        """
        if (Path(name) / MANIFEST).is_file():
            return read_artifact(Path(name))
        checkpoint = self.checkpoint(name)
        folder = self.artifact_folder(checkpoint, precision)
        try:
            if artifact := self._existing(checkpoint, folder):
                return artifact
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(folder.with_name(folder.name + ".lock"), timeout=BUILD_TIMEOUT_SECONDS):
                # Another process may have built it while this one waited.
                if artifact := self._existing(checkpoint, folder):
                    return artifact
                weights = self._weights(checkpoint, checkpoint_file)
                import_tensorflow()
                from model_builder.build import build_artifact

                build_artifact(checkpoint, weights, folder, precision)
                return read_artifact(folder)
        except Timeout as error:
            raise BuilderError(
                f"Waited {BUILD_TIMEOUT_SECONDS:.0f} s for another process that builds {folder}."
            ) from error
        except OSError as error:
            raise BuilderError(f"{folder} can't be written: {error}") from error

    @property
    def own(self) -> Path:
        """Where checkpoints of one's own lie."""
        return self.home / "own"

    def checkpoint(self, name: str) -> Checkpoint:
        """One's own of that name, else the catalogue's. Raises UnknownModel and its kin."""
        try:
            return read_own(self.own, name).row()
        except UnknownModel:
            return self.find(name)

    def list_own(self) -> tuple[OwnCheckpoint, ...]:
        """Every imported checkpoint that can be read, by name."""
        return list_own(self.own)

    def add(
        self, checkpoint: OwnCheckpoint, tensors: Mapping[str, npt.NDArray[np.float32]]
    ) -> None:
        """Keeps a checkpoint of one's own. What was built from another of that name is removed.

        Raises BuilderError.
        """
        try:
            write_own(self.own, checkpoint, tensors)
            for folder in self._artifact_folders(checkpoint.row()):
                shutil.rmtree(folder, ignore_errors=True)
        except OSError as error:
            raise BuilderError(f"{self.own} can't be written: {error}") from error

    def remove(self, name: str) -> list[Path]:
        """Deletes a model's artifacts and its published file or import, and says which it found."""
        checkpoint = self.checkpoint(name)
        places = [
            *self._artifact_folders(checkpoint),
            self.home / "checkpoints" / checkpoint.name,
            self.own / checkpoint.name,
        ]
        found = [path for path in places if path.is_dir()]
        for path in found:
            shutil.rmtree(path)
        return found

    def _weights(self, checkpoint: Checkpoint, checkpoint_file: Path | None) -> Weights:
        # Reading weights imports h5py, which a start from a finished artifact does without.
        from model_builder.weights import own_weights, published_weights

        if not checkpoint.sources:
            return own_weights(self.own, read_own(self.own, checkpoint.name))
        file = fetch(
            checkpoint, self.home / "checkpoints", given=checkpoint_file, fetching=self.fetching
        )
        return published_weights(checkpoint, file)

    def artifact_folder(self, checkpoint: Checkpoint, precision: Precision) -> Path:
        return self.home / "artifacts" / f"{checkpoint.name}-tensorflow-{precision}"

    def _artifact_folders(self, checkpoint: Checkpoint) -> list[Path]:
        return [self.artifact_folder(checkpoint, precision) for precision in get_args(Precision)]

    def _existing(self, checkpoint: Checkpoint, folder: Path) -> Artifact | None:
        if not (folder / MANIFEST).is_file():
            return None
        try:
            artifact = read_artifact(folder)
        except InvalidArtifact as error:
            logger.warning("The artifact is built again: %s", error)
            return None
        manifest = artifact.manifest
        if (manifest.architecture, manifest.preprocessing) != (
            checkpoint.architecture,
            checkpoint.preprocessing,
        ):
            logger.warning("%s was built from an older catalogue and is built again.", folder)
            return None
        return artifact
