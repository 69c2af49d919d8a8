"""Reads HDF5 weights in a process of its own: libhdf5 can crash, and takes what it is asked for.

`hdf5.process` is that process. It gets an open file, hands out plain numbers, and limits its own
memory and CPU time.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import IO

from model_builder.checkpoints.formats.hdf5.content import Hdf5Content, read_content
from model_builder.errors import ConversionFailed
from model_builder.system.anonymous_file import anonymous_file

# By the clock: the disk may be slow, and the process stopped.
TIMEOUT_SECONDS = 600.0


def read_hdf5(file: IO[bytes], name: str) -> Hdf5Content:
    """The weights in a file of Keras's HDF5, in float32.

    file: with a descriptor, at any place. name: for messages.
    Raises ConversionFailed, also where the library crashes on the file or takes too much for it.
    """
    with anonymous_file() as output:
        status = run_process(file.fileno(), output.fileno(), name)
        if status is None:
            raise ConversionFailed(f"{name} was not read within {TIMEOUT_SECONDS:.0f} s")
        if status == -signal.SIGXCPU:
            raise ConversionFailed(f"{name} takes more CPU time to read than any sound HDF5 file")
        if status != 0:
            raise ConversionFailed(
                f"{name} can't be read: the HDF5 library {_ended(status)} on it, so it is damaged: "
                "save or copy it again, or save the weights as safetensors"
            )
        try:
            return read_content(output)
        except (LookupError, TypeError, ValueError, OverflowError) as error:
            raise ConversionFailed(
                f"{name} can't be read: the process that read it gave no weights: {error}"
            ) from error


def run_process(source: int, output: int, name: str) -> int | None:
    """Its exit status, a signal's number negative; None where it took too long.

    source, output: descriptors.
    """
    path = os.pathsep.join(folder for folder in sys.path if folder)
    module = "model_builder.checkpoints.formats.hdf5.process"
    try:
        return subprocess.run(
            [sys.executable, "-m", module, str(source), str(output), name],
            pass_fds=[source, output],
            # A thread of BLAS for each CPU would reserve memory that is limited.
            env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            timeout=TIMEOUT_SECONDS,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        return None


def _ended(status: int) -> str:
    if status > 0:
        return f"ended with status {status}"
    try:
        return f"ended with signal {-status} ({signal.Signals(-status).name})"
    except ValueError:
        return f"ended with signal {-status}"
