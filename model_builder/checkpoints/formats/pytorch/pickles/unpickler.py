"""Reads pickles as data: an interpreter of its opcodes that imports nothing and calls nothing.

Source of the opcodes and their arguments: the standard library's `pickletools`. Every object that
a pickle would make by a call becomes an `Instance`, or what `rebuild` makes of it.
"""

from __future__ import annotations

import pickletools
import re
import warnings
from collections.abc import Callable
from typing import Any

from model_builder.checkpoints.formats.pytorch.pickles.known_names import is_known
from model_builder.checkpoints.formats.pytorch.pickles.rebuild import call, set_state
from model_builder.checkpoints.formats.pytorch.pickles.stack import Stack
from model_builder.checkpoints.formats.pytorch.pickles.stream import Stream
from model_builder.checkpoints.formats.pytorch.pickles.values import (
    Global,
    Instance,
    Malformed,
    key_of,
)

# A ResNet-152 with its optimizer takes 100 thousand. Two million take some seconds.
OPCODES_LIMIT = 2_000_000

# They push their argument: INT, BININT1, BINUNICODE8, SHORT_BINBYTES, ...
CONSTANT = re.compile(
    r"(BIN)?INT[12]?|LONG[14]?|(BIN)?FLOAT|(SHORT_)?(BIN)?(STRING|UNICODE|BYTES)8?|BYTEARRAY8"
)
SINGLETONS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
EMPTY: dict[str, Callable[[], Any]] = {
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
    # Elements of sets may have no hash here, and are few.
    "EMPTY_SET": list,
}
NO_EFFECT = frozenset(("PROTO", "FRAME"))


class Unpickler:
    """Reads one pickle. `foreign` lists the globals met that are not read as data."""

    def __init__(self, persistent: Callable[[Any], Any]) -> None:
        """persistent: makes the object of a persistent id. May raise Malformed."""
        self._persistent = persistent
        self._stack = Stack()
        self._memo: dict[int, Any] = {}
        self._left = OPCODES_LIMIT
        self.foreign: list[str] = []

    def load(self, stream: Stream) -> Any:
        """The object in the pickle. Raises Malformed."""
        try:
            with warnings.catch_warnings():
                # Of an unknown escape in a text of protocol 0.
                warnings.simplefilter("ignore", DeprecationWarning)
                return self._interpret(stream)
        except Malformed:
            raise
        # OverflowError: a length of 8 bytes. AttributeError, TypeError: what pickletools makes of
        # an argument of the wrong kind.
        except (ValueError, OverflowError, TypeError, AttributeError) as error:
            raise Malformed(f"the pickle can't be read: {str(error)[:200]}") from error

    def _interpret(self, stream: Stream) -> Any:
        # Its annotation says bytes or a file; it takes what has read and readline.
        for opcode, argument, _ in pickletools.genops(stream):  # type: ignore[arg-type]
            self.spend(1)
            if opcode.name == "STOP":
                return self._stack.pop()
            self._step(opcode.name, argument)
        raise Malformed("the pickle has no end")

    def spend(self, steps: int) -> None:
        """Counts work. Raises Malformed where the pickle asks for too much."""
        self._left -= steps
        if self._left < 0:
            raise Malformed(f"the pickle has more than {OPCODES_LIMIT} steps")

    def _step(self, name: str, argument: Any) -> None:
        if CONSTANT.fullmatch(name):
            self._stack.push(argument)
        elif name in SINGLETONS:
            self._stack.push(SINGLETONS[name])
        elif name in EMPTY:
            self._stack.push(EMPTY[name]())
        elif name not in NO_EFFECT:
            operation = OPERATIONS.get(name)
            if operation is None:
                raise Malformed(
                    f"the pickle has the opcode {name}, which torch.save does not write"
                )
            operation(self, argument)

    def put(self, index: int | None) -> None:
        value = self._stack.top()
        self._memo[len(self._memo) if index is None else index] = value

    def get(self, index: int) -> None:
        if index not in self._memo:
            raise Malformed(f"the pickle refers to {index}, which it has not kept")
        self._stack.push(self._memo[index])

    def tuple_of(self, count: int | None) -> None:
        items = (
            self._stack.to_mark()
            if count is None
            else [self._stack.pop() for _ in range(count)][::-1]
        )
        self._stack.push(tuple(items))

    def dict_of(self, _: Any) -> None:
        items = self._stack.to_mark()
        self._stack.push({})
        self._set_items(items)

    def append(self, _: Any) -> None:
        self._extend([self._stack.pop()])

    def extend(self, _: Any) -> None:
        self._extend(self._stack.to_mark())

    def _extend(self, items: list[Any]) -> None:
        target = self._stack.top()
        if isinstance(target, Instance):
            target = target.elements
        if not isinstance(target, list):
            raise Malformed(f"the pickle appends to {type(target).__name__}")
        target += items

    def set_item(self, _: Any) -> None:
        value = self._stack.pop()
        self._set_items([self._stack.pop(), value])

    def set_items(self, _: Any) -> None:
        self._set_items(self._stack.to_mark())

    def _set_items(self, items: list[Any]) -> None:
        target = self._stack.top()
        if isinstance(target, Instance):
            target = target.entries
        if not isinstance(target, dict) or len(items) % 2:
            raise Malformed(f"the pickle sets an item of {type(target).__name__}")
        target.update(zip(map(key_of, items[::2]), items[1::2], strict=True))

    def global_(self, argument: str) -> None:
        self._push_global(argument.replace(" ", "."))

    def stack_global(self, _: Any) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise Malformed("the pickle names a class by something else than text")
        self._push_global(f"{module}.{name}")

    def _push_global(self, name: str) -> None:
        known = is_known(name)
        if not known:
            self.foreign.append(name)
        self._stack.push(Global(name, known))

    def reduce(self, _: Any) -> None:
        args = self._stack.pop()
        self._call(self._stack.pop(), args)

    def new_object_with_keywords(self, _: Any) -> None:
        keywords, args = self._stack.pop(), self._stack.pop()
        named = (keywords,) if keywords else ()
        self._call(self._stack.pop(), (*args, *named) if isinstance(args, tuple) else args)

    def object_(self, _: Any) -> None:
        items = self._stack.to_mark()
        if not items:
            raise Malformed("the pickle makes an object of nothing")
        self._call(items[0], tuple(items[1:]))

    def instance(self, argument: str) -> None:
        items = self._stack.to_mark()
        self.global_(argument)
        self._call(self._stack.pop(), tuple(items))

    def _call(self, function: Any, args: Any) -> None:
        if not isinstance(function, Global | Instance) or not isinstance(args, tuple):
            raise Malformed("the pickle calls no class, or without a tuple of arguments")
        if isinstance(function, Instance):
            # What another call gave, a bound method or the like.
            self.foreign.append(function.name)
            function = Global(function.name, known=False)
        self._stack.push(call(function, args, self.spend))

    def build(self, _: Any) -> None:
        state = self._stack.pop()
        self._stack.push(set_state(self._stack.pop(), state))

    def persistent(self, argument: Any) -> None:
        self._stack.push(self._persistent(argument))

    def persistent_on_stack(self, _: Any) -> None:
        self._stack.push(self._persistent(self._stack.pop()))


OPERATIONS: dict[str, Callable[[Unpickler, Any], None]] = {
    "MARK": lambda machine, _: machine._stack.mark(),
    "POP": lambda machine, _: machine._stack.drop(),
    "POP_MARK": lambda machine, _: machine._stack.drop_to_mark(),
    "DUP": lambda machine, _: machine._stack.push(machine._stack.top()),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), Unpickler.put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), Unpickler.get),
    "TUPLE": Unpickler.tuple_of,
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    **dict.fromkeys(
        ("LIST", "FROZENSET"), lambda machine, _: machine._stack.push(machine._stack.to_mark())
    ),
    "DICT": Unpickler.dict_of,
    "APPEND": Unpickler.append,
    **dict.fromkeys(("APPENDS", "ADDITEMS"), Unpickler.extend),
    "SETITEM": Unpickler.set_item,
    "SETITEMS": Unpickler.set_items,
    "GLOBAL": Unpickler.global_,
    "STACK_GLOBAL": Unpickler.stack_global,
    **dict.fromkeys(("REDUCE", "NEWOBJ"), Unpickler.reduce),
    "NEWOBJ_EX": Unpickler.new_object_with_keywords,
    "OBJ": Unpickler.object_,
    "INST": Unpickler.instance,
    "BUILD": Unpickler.build,
    "PERSID": Unpickler.persistent,
    "BINPERSID": Unpickler.persistent_on_stack,
}
