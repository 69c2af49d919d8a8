"""The artifacts on this machine: found by name, built when missing, rebuilt when damaged."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from model_builder.artifact import MANIFEST, Artifact, Precision, read_artifact
from model_builder.checkpoints import Checkpoint, find_checkpoint
from model_builder.errors import BuilderError, InvalidArtifact
from model_builder.fetching import Fetching
from model_builder.sources import fetch
from model_builder.tensorflow_runtime import import_tensorflow

logger = logging.getLogger(__name__)

BUILD_TIMEOUT_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Store:
    """`home` holds `checkpoints/` (files as published) and `artifacts/` (what is served)."""

    home: Path
    fetching: Fetching = field(default_factory=Fetching)

    def obtain(
        self, name: str, precision: Precision, *, checkpoint_file: Path | None = None
    ) -> Artifact:
        """The artifact for a model's name, or the one in the folder that `name` is the path of.

        Fetches and builds what is not there yet; of several processes that ask at once, one does.
        Raises BuilderError.
        """
        if (Path(name) / MANIFEST).is_file():
            return read_artifact(Path(name))
        checkpoint = find_checkpoint(name)
        folder = self.artifact_folder(checkpoint, precision)
        try:
            if artifact := self._existing(checkpoint, folder):
                return artifact
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(folder.with_name(folder.name + ".lock"), timeout=BUILD_TIMEOUT_SECONDS):
                # Another process may have built it while this one waited.
                if artifact := self._existing(checkpoint, folder):
                    return artifact
                file = fetch(
                    checkpoint,
                    self.home / "checkpoints",
                    given=checkpoint_file,
                    fetching=self.fetching,
                )
                import_tensorflow()
                from model_builder.build import build_artifact

                build_artifact(checkpoint, file, folder, precision)
                return read_artifact(folder)
        except Timeout as error:
            raise BuilderError(
                f"Waited {BUILD_TIMEOUT_SECONDS:.0f} s for another process that builds {folder}."
            ) from error
        except OSError as error:
            raise BuilderError(f"{folder} can't be written: {error}") from error

    def artifact_folder(self, checkpoint: Checkpoint, precision: Precision) -> Path:
        return self.home / "artifacts" / f"{checkpoint.name}-tensorflow-{precision}"

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
