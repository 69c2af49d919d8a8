"""The stack of a pickle's interpreter, with marks that separate its parts."""

from __future__ import annotations

from typing import Any

from model_builder.checkpoints.formats.pytorch.pickles.values import Malformed


class Stack:
    """Nothing is taken from below the last mark. Every method raises Malformed for that."""

    def __init__(self) -> None:
        self._items: list[Any] = []
        self._marks: list[int] = []

    def push(self, value: Any) -> None:
        """Puts a value on top."""
        self._items.append(value)

    def pop(self) -> Any:
        """Takes the value on top."""
        if len(self._items) <= (self._marks[-1] if self._marks else 0):
            raise Malformed("the pickle takes more from its stack than there is")
        return self._items.pop()

    def top(self) -> Any:
        """The value on top, which stays."""
        value = self.pop()
        self._items.append(value)
        return value

    def mark(self) -> None:
        """Begins a part."""
        self._marks.append(len(self._items))

    def to_mark(self) -> list[Any]:
        """Takes the last part and its mark."""
        if not self._marks:
            raise Malformed("the pickle has no mark where it needs one")
        mark = self._marks.pop()
        items = self._items[mark:]
        del self._items[mark:]
        return items

    def drop(self) -> None:
        """Removes the value on top or, where a part is empty, its mark."""
        if self._marks and self._marks[-1] == len(self._items):
            self._marks.pop()
        else:
            self.pop()

    def drop_to_mark(self) -> None:
        """Removes the last part and its mark."""
        self.to_mark()
