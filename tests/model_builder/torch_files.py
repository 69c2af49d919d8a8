"""Writes files as `torch.save` does, without PyTorch: its functions by name only."""

from __future__ import annotations

import io
import pickle
import sys
import types
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
STORAGES = {"f8": "Double", "f4": "Float", "f2": "Half", "i8": "Long", "u2": "BFloat16"}


@dataclass(frozen=True, eq=False)
class Storage:
    """Numbers that tensors share. values: [N]; uint16 stands for bfloat16."""

    key: str
    values: npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor as `_rebuild_tensor_v2` makes it. Offset and strides count numbers."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def __reduce__(self) -> tuple[Any, ...]:
        arguments: tuple[Any, ...] = (
            self.storage,
            self.offset,
            self.shape,
            self.strides,
            False,
            {},
        )
        return named("torch._utils", "_rebuild_tensor_v2"), arguments


def named(module: str, name: str) -> Any:
    """A function that a pickle refers to by this name."""

    def function() -> None: ...

    function.__module__, function.__qualname__ = module, name
    return FUNCTIONS.setdefault(f"{module}.{name}", function)


FUNCTIONS: dict[str, Any] = {}


@dataclass(frozen=True, eq=False)
class Made:
    """An object that a pickle makes by calling a function, and gives a state."""

    module: str
    name: str
    arguments: tuple[Any, ...] = ()
    state: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        made = named(self.module, self.name), self.arguments
        return made if self.state is None else (*made, self.state)


def tensors(state_dict: Mapping[str, npt.NDArray[Any]]) -> dict[str, Tensor]:
    """Contiguous tensors, one storage each."""
    return {name: tensor(values, f"{id(values)}") for name, values in state_dict.items()}


def tensor(values: npt.NDArray[Any], key: str) -> Tensor:
    """A tensor with a storage of its own, and the array's strides."""
    strides = tuple(stride // values.itemsize for stride in values.strides)
    stored = np.lib.stride_tricks.as_strided(values, (values.size,), (values.itemsize,))
    return Tensor(Storage(key, stored), 0, values.shape, strides)


class _Pickler(pickle._Pickler):
    def __init__(self, file: io.BytesIO, legacy: bool) -> None:
        super().__init__(file, protocol=2)
        self.legacy = legacy
        self.storages: dict[str, Storage] = {}

    def persistent_id(self, value: Any) -> Any:
        if not isinstance(value, Storage):
            return None
        self.storages[value.key] = value
        kind = named("torch", f"{STORAGES[value.values.dtype.str[1:]]}Storage")
        found = ("storage", kind, value.key, "cpu", value.values.size)
        return (*found, None) if self.legacy else found


@contextmanager
def _modules() -> Iterator[None]:
    """Modules that hold what `named` has made, as pickle wants to find them."""
    modules: dict[str, Any] = {}
    for function in FUNCTIONS.values():
        module = modules.setdefault(function.__module__, types.ModuleType(function.__module__))
        setattr(module, function.__qualname__, function)
    for name in list(modules):
        while name := name.rpartition(".")[0]:
            if name not in sys.modules:
                modules.setdefault(name, types.ModuleType(name)).__path__ = []
    with patch.dict(sys.modules, modules):
        yield


def pickled(saved: Any, *, legacy: bool = False) -> tuple[bytes, dict[str, Storage]]:
    """The pickle of an object, and the storages that it refers to."""
    for kind in STORAGES.values():
        named("torch", f"{kind}Storage")
    named("torch._utils", "_rebuild_tensor_v2")
    for one in _made(saved):
        named(one.module, one.name)
    file = io.BytesIO()
    pickler = _Pickler(file, legacy)
    with _modules():
        pickler.dump(saved)
    return file.getvalue(), pickler.storages


def _made(value: Any) -> Iterator[Made]:
    if isinstance(value, Made):
        yield value
        yield from _made(value.arguments)
        yield from _made(value.state)
    elif isinstance(value, Mapping):
        yield from (one for inner in value.values() for one in _made(inner))
    elif isinstance(value, list | tuple):
        yield from (one for inner in value for one in _made(inner))


def save_zip(path: Path, saved: Any, *, byteorder: str = "little", root: str = "archive") -> Path:
    """The format since PyTorch 1.6."""
    data, storages = pickled(saved)
    return write_zip(
        path,
        {
            "data.pkl": data,
            "byteorder": byteorder.encode(),
            "version": b"3\n",
            **{f"data/{key}": one.values.tobytes() for key, one in storages.items()},
        },
        root,
    )


def write_zip(path: Path, members: Mapping[str, bytes], root: str = "archive") -> Path:
    """A zip with these members in the folder `root`."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{root}/{name}", content)
    return path


def save_legacy(path: Path, saved: Any, *, little_endian: bool = True) -> Path:
    """The format before PyTorch 1.6."""
    data, storages = pickled(saved, legacy=True)
    machine = {"protocol_version": VERSION, "little_endian": little_endian, "type_sizes": {}}
    with path.open("wb") as file:
        for first in (MAGIC, VERSION, machine):
            file.write(pickle.dumps(first, protocol=2))
        file.write(data)
        file.write(pickle.dumps(sorted(storages), protocol=2))
        for key in sorted(storages):
            values = storages[key].values
            file.write(values.size.to_bytes(8, "little") + values.tobytes())
    return path
