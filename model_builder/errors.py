"""Errors of the download, conversion and build of a network.

BuilderError
+-- UnknownModel          no checkpoint or artifact has this name
+-- FetchFailed           no source gave the checkpoint's file
|   +-- VerificationFailed  a file was received whose hash is not the published one
+-- ConversionFailed      tensors are missing, unused, or of another shape
+-- CalibrationFailed     no images to calibrate on, or an int8 network that is not accurate enough
+-- InvalidArtifact       a folder that does not match its manifest
"""

from __future__ import annotations

from typing import ClassVar


class BuilderError(Exception):
    """Base of every error that the builder raises on purpose.

    `code` names it to those who are not told the message, which may hold paths and addresses.
    """

    code: ClassVar[str] = "load_failed"


class UnknownModel(BuilderError):
    """No checkpoint, depth or artifact folder has the requested name."""

    code = "unknown_model"


class FetchFailed(BuilderError):
    """Every source was tried and none gave the file. The message lists them."""

    code = "fetch_failed"


class VerificationFailed(FetchFailed):
    """A file was received completely, and its hash is not the published one."""

    code = "verification_failed"


class ConversionFailed(BuilderError):
    """Published tensors do not fill the network exactly."""

    code = "conversion_failed"


class CalibrationFailed(BuilderError):
    """There are no images to calibrate on, or the calibrated network is not accurate enough."""

    code = "calibration_failed"


class InvalidArtifact(BuilderError):
    """An artifact folder is incomplete, changed, or of another format version."""

    code = "invalid_artifact"
