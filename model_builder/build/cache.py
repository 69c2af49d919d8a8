"""The artifacts on this machine: found by name, built where missing or damaged."""

from __future__ import annotations

import glob
import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from model_builder.artifact.manifest import MANIFEST, Artifact, artifact_name
from model_builder.artifact.report import forget_measurements
from model_builder.artifact.store_format import read_artifact
from model_builder.build.calibration import calibration_set
from model_builder.build.subprocess import BUILD_TIMEOUT_SECONDS, BuildRequest, build_in_subprocess
from model_builder.checkpoints.catalog import all_names, find_checkpoint
from model_builder.checkpoints.checkpoint import Checkpoint
from model_builder.checkpoints.custom import (
    CustomCheckpoint,
    list_custom,
    read_custom,
    write_custom,
)
from model_builder.checkpoints.download.config import DownloadConfig
from model_builder.errors import BuilderError, InvalidArtifact, UnknownModel
from model_builder.exporters.base import BuildTarget, CalibrationSet, calibration_of

if TYPE_CHECKING:
    from model_builder.checkpoints.download.fetch import LocalFile

logger = logging.getLogger(__name__)

ARTIFACTS = "artifacts"
# An import may replace a checkpoint's weights during a build.
BUILD_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class ArtifactCache:
    """`home` holds `checkpoints/` (files as published), `own/` (imported) and `artifacts/`.

    find: the catalog; raises BuilderError for a name that it does not have.
    build: builds what is missing.
    """

    home: Path
    fetching: DownloadConfig = field(default_factory=DownloadConfig)
    find: Callable[[str], Checkpoint] = find_checkpoint
    build: Callable[[BuildRequest], None] = build_in_subprocess

    def obtain(
        self,
        name: str,
        target: BuildTarget,
        *,
        checkpoint_file: Path | None = None,
        calibration: Path | None = None,
    ) -> Artifact:
        """The artifact of a model for an engine and a precision.

        Downloads and builds what is missing; of several processes at the same time, one does.
        calibration: a folder of images for quantization, in place of what the present artifact was
        calibrated on. Raises BuilderError.
        """
        checkpoint = self.checkpoint(name)
        folder = self.artifact_folder(checkpoint, target)
        wanted = calibration_set(calibration, checkpoint.preprocessing) if calibration else None
        try:
            if artifact := self._existing(checkpoint, folder, wanted):
                return artifact
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(folder.with_name(folder.name + ".lock"), timeout=BUILD_TIMEOUT_SECONDS):
                # Another process may have built it while this one waited.
                if artifact := self._existing(checkpoint, folder, wanted):
                    return artifact
                return self._built(checkpoint, folder, target, checkpoint_file, calibration)
        except Timeout as error:
            raise BuilderError(
                f"Waited {BUILD_TIMEOUT_SECONDS:.0f} s for another process that builds {folder}."
            ) from error
        except OSError as error:
            raise BuilderError(f"{folder} can't be written: {error}") from error

    def has(self, name: str, target: BuildTarget) -> bool:
        """Whether there is an artifact of a model, which may be damaged or outdated."""
        return (self.artifact_folder(self.checkpoint(name), target) / MANIFEST).is_file()

    def present(self, name: str, target: BuildTarget) -> Artifact | None:
        """The artifact of a model as it is in the cache; None where it would have to be built."""
        checkpoint = self.checkpoint(name)
        return self._existing(checkpoint, self.artifact_folder(checkpoint, target), None)

    def given_artifact(self, name: str) -> Artifact | None:
        """The artifact in the folder with the path `name`; None where there is none.

        Raises InvalidArtifact.
        """
        return read_artifact(Path(name)) if (Path(name) / MANIFEST).is_file() else None

    def _built(
        self,
        checkpoint: Checkpoint,
        folder: Path,
        target: BuildTarget,
        checkpoint_file: Path | None,
        calibration: Path | None,
    ) -> Artifact:
        """Builds, and again where an import replaced the weights during the build."""
        for _ in range(BUILD_ATTEMPTS):
            file = self._file(checkpoint, checkpoint_file)
            self.build(BuildRequest(checkpoint, file, self.own, folder, target, calibration))
            checkpoint = self.checkpoint(checkpoint.name)
            # An import removes what was built before it.
            if (folder / MANIFEST).is_file():
                artifact = read_artifact(folder)
                if self._is_current(artifact, checkpoint):
                    return artifact
            logger.warning("%s was imported again during the build; building again", folder.name)
        raise BuilderError(
            f"{checkpoint.name} was imported again during each of {BUILD_ATTEMPTS} builds."
        )

    @property
    def own(self) -> Path:
        """The folder of imported checkpoints."""
        return self.home / "own"

    def checkpoint(self, name: str) -> Checkpoint:
        """The import of that name, else the row of the catalog. Raises BuilderError."""
        try:
            return read_custom(self.own, name).row()
        except UnknownModel:
            pass
        try:
            return self.find(name)
        except UnknownModel as error:
            imported = [one.name for one in self.list_custom()]
            nearest = get_close_matches(name, [*all_names(), *imported], n=3)
            hint = f" Did you mean {' or '.join(nearest)}?" if nearest else ""
            raise UnknownModel(
                f"No model is called {name!r}.{hint} `resnet models` lists every name; the path of "
                "an artifact folder is taken too."
            ) from error

    def check_name(self, name: str) -> None:
        """Raises UnknownModel, with the nearest names, unless `obtain` knows the name."""
        if not (Path(name) / MANIFEST).is_file():
            self.checkpoint(name)

    def list_custom(self) -> tuple[CustomCheckpoint, ...]:
        """Every imported checkpoint that can be read, sorted by name."""
        return list_custom(self.own)

    def add(
        self, checkpoint: CustomCheckpoint, tensors: Mapping[str, npt.NDArray[np.float32]]
    ) -> None:
        """Stores an imported checkpoint and removes the artifacts of an earlier one of that name.

        Raises BuilderError.
        """
        try:
            write_custom(self.own, checkpoint, tensors)
            for folder in self.artifact_folders(checkpoint.row()):
                shutil.rmtree(folder, ignore_errors=True)
        except OSError as error:
            raise BuilderError(f"{self.own} can't be written: {error}") from error

    def remove(self, name: str) -> list[Path]:
        """Deletes a model's artifacts and its published file or import. Returns what was deleted.

        Raises BuilderError or OSError.
        """
        checkpoint = self.checkpoint(name)
        places = [
            *self.artifact_folders(checkpoint),
            self.home / "checkpoints" / checkpoint.name,
            self.own / checkpoint.name,
        ]
        found = [path for path in places if path.is_dir()]
        for path in found:
            shutil.rmtree(path)
        return found

    def forget_measurements(self, name: str) -> int:
        """Removes the users' measurements of a model's artifacts, and returns their number.

        Raises BuilderError or OSError.
        """
        given = self.given_artifact(name)
        folders = [given.folder] if given else self.artifact_folders(self.checkpoint(name))
        return sum(forget_measurements(folder) for folder in folders)

    def artifact_folder(self, checkpoint: Checkpoint, target: BuildTarget) -> Path:
        """The folder of a checkpoint's artifact for an engine and a precision."""
        name = artifact_name(checkpoint.name, target.engine, target.precision)
        return self.home / ARTIFACTS / name

    def _file(self, checkpoint: Checkpoint, given: Path | None) -> LocalFile | None:
        """None for an imported checkpoint."""
        if not checkpoint.sources:
            return None
        # Most starts download nothing: they need not import an HTTP client.
        from model_builder.checkpoints.download.fetch import fetch

        return fetch(checkpoint, self.home / "checkpoints", given=given, config=self.fetching)

    def artifact_folders(self, checkpoint: Checkpoint) -> list[Path]:
        """Of every engine and precision. Neither name contains "-"."""
        folders = (self.home / ARTIFACTS).glob(f"{glob.escape(checkpoint.name)}-*-*")
        return [path for path in folders if path.name.rsplit("-", 2)[0] == checkpoint.name]

    def _existing(
        self, checkpoint: Checkpoint, folder: Path, calibration: CalibrationSet | None
    ) -> Artifact | None:
        if not (folder / MANIFEST).is_file():
            return None
        try:
            artifact = read_artifact(folder)
        except InvalidArtifact as error:
            logger.warning("The artifact is built again: %s", error)
            return None
        if not self._is_current(artifact, checkpoint):
            logger.warning("%s was built from another checkpoint and is built again.", folder)
            return None
        if calibration is not None and artifact.manifest.calibration != calibration_of(calibration):
            logger.info("%s was calibrated on other images and is built again.", folder)
            return None
        return artifact

    def _is_current(self, artifact: Artifact, checkpoint: Checkpoint) -> bool:
        """Whether the artifact was built from the checkpoint that the catalog or import has now."""
        manifest = artifact.manifest
        if (manifest.architecture, manifest.preprocessing) != (
            checkpoint.architecture,
            checkpoint.preprocessing,
        ):
            return False
        if checkpoint.sources:
            return True
        custom = read_custom(self.own, checkpoint.name)
        return (manifest.provenance.digest, artifact.labels) == (custom.digest, custom.labels)
