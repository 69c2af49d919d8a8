"""What can go wrong while a network is described, fetched, converted or built.

BuilderError
+-- UnknownModel          no checkpoint or artifact goes by that name
+-- FetchFailed           no source of the checkpoint could be reached
|   +-- VerificationFailed  a file arrived, and is not the one that was published
+-- ConversionFailed      tensors are missing, left over, or of another shape
+-- CalibrationFailed     an int8 network can't be made of these images, or not well enough
+-- InvalidArtifact       a folder that is not, or is no longer, what its manifest says
"""

from __future__ import annotations

from typing import ClassVar


class BuilderError(Exception):
    """Base of every error that the builder raises on purpose.

    `code` names it to those who are not told the message, which may hold paths and addresses.
    """

    code: ClassVar[str] = "load_failed"


class UnknownModel(BuilderError):
    """No checkpoint, depth or artifact folder goes by the name that was asked for."""

    code = "unknown_model"


class FetchFailed(BuilderError):
    """Every source was tried and none gave the file. The message lists them."""

    code = "fetch_failed"


class VerificationFailed(FetchFailed):
    """A file arrived whole and its hash is not the published one."""

    code = "verification_failed"


class ConversionFailed(BuilderError):
    """Published tensors do not fill the network exactly."""

    code = "conversion_failed"


class CalibrationFailed(BuilderError):
    """There are no images to calibrate on, or what came of them is not to be served."""

    code = "calibration_failed"


class InvalidArtifact(BuilderError):
    """An artifact folder is incomplete, altered, or of another format version."""

    code = "invalid_artifact"
