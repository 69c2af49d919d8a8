"""What stands for the objects that a pickle would make by calls. Nothing is imported or called.

Source of the functions: torch/_utils.py, numpy/_core/multiarray.py and each class's `__reduce__`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from model_builder.checkpoints.formats.pytorch.pickles.values import (
    Global,
    InlineTensor,
    Instance,
    Malformed,
    Storage,
    StoredTensor,
)

Spend = Callable[[int], None]
DIMENSIONS_LIMIT = 16
SIZE_LIMIT = 1 << 48

MAPPINGS = {
    "builtins.dict",
    "__builtin__.dict",
    "collections.OrderedDict",
    "collections.defaultdict",
    "collections.Counter",
}
# A member of an enumeration, in Python 3.11.
GETATTR = {"builtins.getattr", "__builtin__.getattr"}
COLLECTIONS = {
    f"{module}.{name}"
    for module in ("builtins", "__builtin__")
    for name in ("set", "frozenset", "list", "tuple")
}


def call(function: Global, args: tuple[Any, ...], spend: Spend) -> Any:
    """What stands for the result of a call. spend: counts the steps. Raises Malformed."""
    name = function.name
    if not function.known:
        return Instance(name, args)
    if name in MAPPINGS:
        return _mapping(args, spend)
    if name in COLLECTIONS:
        return args[0] if args and isinstance(args[0], list | tuple) else []
    if name == "torch.Size":
        return args[0] if args else ()
    if name == "_codecs.encode" and len(args) == 2 and args[1] in ("latin1", "latin-1"):
        return _encoded(args[0], spend)
    if name in GETATTR and not (len(args) == 2 and isinstance(args[0], Global) and args[0].known):
        raise Malformed("the pickle asks for an attribute of something else than a known class")
    rebuild = REBUILD.get(name)
    try:
        return Instance(name, args) if rebuild is None else rebuild(args, spend)
    except Malformed:
        raise
    except (IndexError, TypeError, ValueError, AttributeError) as error:
        raise Malformed(f"the arguments of {name} are not those that PyTorch writes") from error


def set_state(target: Any, state: Any) -> Any:
    """What stands for an object whose attributes are set. Dicts and tensors ignore theirs."""
    if isinstance(target, Instance):
        if target.name.endswith("._reconstruct") and (array := _array_of_state(state)) is not None:
            target.array = array
        target.state = state
    return target


def _mapping(args: tuple[Any, ...], spend: Spend) -> dict[Any, Any]:
    """Counter(dict), OrderedDict([[key, value], ...]), defaultdict(factory)."""
    first = args[0] if args else None
    if isinstance(first, dict):
        return first
    pairs: dict[Any, Any] = {}
    if isinstance(first, list):
        spend(len(first))
        for pair in first:
            if not isinstance(pair, list | tuple) or len(pair) != 2 or not isinstance(pair[0], str):
                raise Malformed("a mapping in the pickle is not made of pairs")
            pairs[pair[0]] = pair[1]
    return pairs


def _encoded(text: Any, spend: Spend) -> bytes:
    """Bytes as protocols before 3 write them."""
    if not isinstance(text, str):
        raise Malformed("the pickle encodes what is no text")
    # One text may be encoded again and again.
    spend(1 + len(text) // 512)
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise Malformed("the pickle has a text where it should have bytes") from error


def _tensor(args: tuple[Any, ...], _: Spend) -> Any:
    """_rebuild_tensor(storage, offset, size, stride), and its version 2 with more arguments."""
    storage, offset, size, stride, *more = args
    return _stored(storage, storage.dtype, offset, size, stride, more[2] if len(more) > 2 else None)


def _tensor_v3(args: tuple[Any, ...], _: Spend) -> Any:
    """With the dtype as the seventh argument, for dtypes that have no storage of their own."""
    storage, offset, size, stride, _grad, _hooks, dtype, *more = args
    if not isinstance(dtype, Global) or not dtype.known:
        raise Malformed("a tensor has an unknown dtype")
    stated = dtype.name.removeprefix("torch.")
    return _stored(storage, stated, offset, size, stride, more[0] if more else None)


def _stored(
    storage: Any, dtype: str, offset: Any, size: Any, stride: Any, metadata: Any
) -> StoredTensor | Instance:
    if not isinstance(storage, Storage):
        raise Malformed("a tensor has no storage")
    if not (_is_shape(size) and _is_shape(stride) and len(size) == len(stride)):
        raise Malformed("a tensor has no size and strides")
    if type(offset) is not int or not 0 <= offset < SIZE_LIMIT:
        raise Malformed("a tensor begins outside its storage")
    if metadata:
        # Bits that negate or conjugate what is stored.
        return Instance("torch.Tensor of negated or conjugated numbers")
    return StoredTensor(storage, dtype, offset, tuple(size), tuple(stride))


def _is_shape(value: Any) -> bool:
    """Whether it is a tuple of sizes. Nothing else is looked through: it may be without end."""
    return (
        isinstance(value, tuple)
        and len(value) <= DIMENSIONS_LIMIT
        and all(type(size) is int and 0 <= size < SIZE_LIMIT for size in value)
    )


def _from_type(args: tuple[Any, ...], spend: Spend) -> Any:
    """_rebuild_from_type_v2(function, type, arguments, state): a tensor with attributes."""
    function, _type, arguments = args[:3]
    if not isinstance(function, Global) or not isinstance(arguments, tuple):
        raise Malformed("a tensor is not made by a function")
    if function.name == "torch._tensor._rebuild_from_type_v2":
        raise Malformed("a tensor is made by a function that makes tensors")
    return call(function, arguments, spend)


def _array_of_state(state: Any) -> InlineTensor | None:
    """The array of numpy.ndarray.__setstate__: (version, shape, dtype, Fortran's order, bytes)."""
    if not isinstance(state, tuple) or len(state) != 5:
        return None
    return _inline(state[4], state[2], state[1], "F" if state[3] else "C")


def _from_buffer(args: tuple[Any, ...], _: Spend) -> Any:
    """numpy's _frombuffer(bytes, dtype, shape, order), of protocol 5."""
    found = _inline(args[0], args[1], args[2], args[3])
    return Instance("numpy.ndarray") if found is None else found


def _inline(data: Any, dtype: Any, shape: Any, order: Any) -> InlineTensor | None:
    """None for an array that holds no floating-point numbers."""
    code = dtype.args[0] if isinstance(dtype, Instance) and dtype.args else None
    if code not in ("f2", "f4", "f8") or not isinstance(data, bytes | bytearray):
        return None
    byte_order = dtype.state[1] if isinstance(dtype.state, tuple) and dtype.state[1:] else "<"
    if (
        not _is_shape(shape)
        or math.prod(shape) * int(code[1]) != len(data)
        or byte_order not in ("<", ">", "=")
        or order not in ("C", "F")
    ):
        raise Malformed("a NumPy array has another size than its shape")
    return InlineTensor(data, f"{byte_order}{code}", shape, order)


REBUILD: dict[str, Callable[[tuple[Any, ...], Spend], Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    # A parameter is its tensor.
    "torch._utils._rebuild_parameter": lambda args, _: args[0],
    "torch._utils._rebuild_parameter_with_state": lambda args, _: args[0],
    # Of a processor that PyTorch knows by a plug-in: a NumPy array.
    "torch._utils._rebuild_device_tensor_from_numpy": lambda args, _: args[0],
    "torch._utils._rebuild_xla_tensor": lambda args, _: args[0],
    "torch._tensor._rebuild_from_type_v2": _from_type,
    "numpy._core.numeric._frombuffer": _from_buffer,
    "numpy.core.numeric._frombuffer": _from_buffer,
}
for _container in ("torch.nn.parameter.Parameter", "torch.nn.Parameter"):
    REBUILD[_container] = lambda args, _: args[0]
