"""Errors of a scoring job. What concerns one image is no error of the job: see `Unreadable`.

ScoringError
+-- InvalidInput      the input, or an option, can't be used
|   +-- MissingDriver   a file system needs a package that is not installed
+-- OutputMismatch    the output was written by a job with another model, input or options
+-- InputChanged      the input's images are no longer those that were scored
+-- ScoringStopped    the job can't go on; started again, it continues
"""

from __future__ import annotations


class ScoringError(Exception):
    """Its message is for the person who started the job."""


class InvalidInput(ScoringError):
    """There is no such input, or it has no such column, or an option makes no sense with it."""


class MissingDriver(InvalidInput):
    """What is installed can't read or write there."""


class OutputMismatch(ScoringError):
    """The output holds rows of a job that differs from this one."""


class InputChanged(ScoringError):
    """An image that was scored is no longer at its place in the input."""


class ScoringStopped(ScoringError):
    """The service under the job failed repeatedly; every published row stays."""


class Unreadable(Exception):
    """One image whose bytes can't be read: its row says why."""

    code = "unreadable"
