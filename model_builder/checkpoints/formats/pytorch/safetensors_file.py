"""safetensors files, as their reference reader reads them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors

from model_builder.checkpoints.formats.byte_budget import JSON_BYTES_LIMIT, ByteBudget
from model_builder.checkpoints.formats.pytorch.flatten import Found, found
from model_builder.checkpoints.formats.pytorch.tensors import LazyTensor, to_float32
from model_builder.checkpoints.formats.state_dict import Array
from model_builder.errors import ConversionFailed

LENGTH_BYTES = 8
# JSON's white space, which some writers put before the header to align it.
SPACES = b" \t\r\n"
DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def is_safetensors(path: Path) -> bool:
    """Whether the file starts with eight bytes, the header's length, and a JSON header."""
    with path.open("rb") as file:
        first = file.read(LENGTH_BYTES + 64)
    return first[LENGTH_BYTES:].lstrip(SPACES).startswith(b"{") or (
        path.suffix == ".safetensors" and len(first) > LENGTH_BYTES
    )


def read_safetensors(path: Path) -> list[Found]:
    """The tensors of a file. Raises ConversionFailed."""
    _check_header(path)
    ByteBudget(path.name).take("its end", path.stat().st_size)
    try:
        views = safetensors.deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise ConversionFailed(
            f"{path.name} is not a complete safetensors file. Received: {error}"
        ) from error
    return [found(key, "", _lazy(view)) for key, view in views]


def _lazy(view: Mapping[str, Any]) -> LazyTensor:
    shape: tuple[int, ...] = tuple(view["shape"])
    stated = view["dtype"]
    dtype = DTYPES.get(stated, stated)

    def read() -> Array:
        return to_float32(view["data"], dtype).reshape(shape)

    return LazyTensor(shape, dtype, read)


def _check_header(path: Path) -> None:
    """Raises ConversionFailed where the JSON before the tensors is too long for a ResNet's."""
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(LENGTH_BYTES), "little")
    if header_bytes > JSON_BYTES_LIMIT:
        raise ConversionFailed(
            f"{path.name} may have a header of {JSON_BYTES_LIMIT} bytes. Received: {header_bytes}"
        )
