"""The process that reads one HDF5 file: python -m ...hdf5.process SOURCE OUTPUT NAME

SOURCE and OUTPUT are the numbers of open descriptors. It imports little: every import of HDF5
waits for it.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import IO

import numpy as np

from model_builder.checkpoints.formats.hdf5.content import StoredLayer, write_end, write_refusal
from model_builder.checkpoints.formats.hdf5.file import attribute, measured, opened
from model_builder.checkpoints.formats.hdf5.heaps import check_heaps
from model_builder.checkpoints.formats.hdf5.layers import FoundLayer, find_layers
from model_builder.errors import ConversionFailed

STATM = Path("/proc/self/statm")
# Weights hardly compress. A half-precision file of an array takes its size, and two for float32.
BYTES_A_FILE_BYTE = 4
ALLOWANCE_BYTES = 256 << 20
# A ResNet-152 in float64, compressed at the highest level, takes 4 s of a CPU.
CPU_SECONDS = 60


def main() -> None:
    source, output, name = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    # A crash is what this process is for, and needs no file of its memory.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with os.fdopen(source, "rb") as file, os.fdopen(output, "w+b") as written:
        read(file, written, name)


def read(file: IO[bytes], output: IO[bytes], name: str) -> None:
    """Writes the content of `file` or a refusal to `output`. Limits this process for good."""
    file_bytes = file.seek(0, os.SEEK_END)
    allowed_bytes = ALLOWANCE_BYTES + BYTES_A_FILE_BYTE * file_bytes
    _limit(allowed_bytes)
    try:
        strings_bytes = check_heaps(file, name)
        with opened(file, name) as opened_file:
            layers = find_layers(opened_file, strings_bytes, name)
            config = attribute(opened_file, "model_config")
            total_bytes = measured((one for layer in layers for one in layer.datasets), name)
            if total_bytes > allowed_bytes:
                raise ConversionFailed(
                    f"{name} states tensors of {total_bytes} bytes, which weights in a file of "
                    f"{file_bytes} bytes don't have"
                )
            _write_arrays(layers, output)
        write_end(
            output,
            [
                StoredLayer(layer.path, layer.name, [one.shape for one in layer.datasets])
                for layer in layers
            ],
            config,
        )
    except ConversionFailed as error:
        write_refusal(output, str(error))
    except RecursionError:
        write_refusal(output, f"{name} is nested too deeply for a network's")
    except MemoryError:
        write_refusal(
            output, f"{name} takes more memory to read than its {file_bytes} bytes explain"
        )


def _write_arrays(layers: Iterable[FoundLayer], output: IO[bytes]) -> None:
    for layer in layers:
        for dataset in layer.datasets:
            # What is too large for a float32 becomes infinite, and is refused as that.
            with np.errstate(over="ignore"):
                array = np.asarray(dataset, np.float32)
            if array.size != prod(dataset.shape):
                raise ConversionFailed(f"{dataset.name} has not the shape that it states")
            output.write(np.ascontiguousarray(array).data)


def _limit(extra_bytes: int) -> None:
    """Limits CPU time, and where there is /proc, the address space to `extra_bytes` more."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _lower(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + 1 + CPU_SECONDS)
    if STATM.exists():
        mapped_bytes = int(STATM.read_text().split()[0]) * resource.getpagesize()
        _lower(resource.RLIMIT_AS, mapped_bytes + extra_bytes)


def _lower(kind: int, limit: int) -> None:
    _, hard = resource.getrlimit(kind)
    resource.setrlimit(kind, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


if __name__ == "__main__":
    main()
