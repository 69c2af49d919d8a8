"""The images in a form, and the names of its parts."""

from __future__ import annotations

from service.errors import MalformedRequest
from service.http.request.body import Body

PART = "file"
# What clients call an image as well.
PARTS = {PART, "image", "data"}
PARTS |= {name + ending for name in ("file", "image") for ending in ("s", "[]", "s[]")}
# Read so that they can be refused by name.
MAX_FIELDS = 16
MAX_FIELD_BYTES = 64 * 1024
# Of a name in a message.
MAX_NAME_LENGTH = 100


class Form:
    """Keeps the content of the images, and the names of all parts."""

    def __init__(self, body: Body, max_files: int) -> None:
        self.names: dict[str, None] = {}
        self._body = body
        self._max_files = max_files
        self._files = self._fields = 0
        # Of the part that is being read.
        self._image_from: int | None = None
        self._field_bytes: int | None = None

    def begin(self, name: str, file_name: str | None) -> None:
        self._image_from = self._field_bytes = None
        if file_name is None:
            self._fields += 1
            self._field_bytes = 0
            if name in PARTS:
                raise MalformedRequest(f"The part {name!r} is text: it has no file name.")
        else:
            self._files += 1
            if name in PARTS:
                self._image_from = len(self._body)
        if self._files > self._max_files or self._fields > MAX_FIELDS:
            raise MalformedRequest(
                f"A form may have {self._max_files} files and {MAX_FIELDS} fields."
            )
        self.names[name] = None

    def add(self, data: memoryview) -> None:
        if self._image_from is not None:
            self._body.append(data)
        elif self._field_bytes is not None:
            self._field_bytes += len(data)
            if self._field_bytes > MAX_FIELD_BYTES:
                raise MalformedRequest(f"A form's field may have {MAX_FIELD_BYTES} bytes.")

    def end(self) -> None:
        if self._image_from is not None:
            self._body.add_image(self._image_from)

    def check(self, *, ended: bool) -> None:
        """Raises MalformedRequest. ended: whether the form's last boundary was there."""
        if self.names and not ended:
            raise MalformedRequest("The form breaks off before its last boundary.")
        if not self.names.keys() & PARTS:
            names = sorted(repr(name[:MAX_NAME_LENGTH]) for name in self.names)
            raise MalformedRequest(f"The form has {', '.join(names) or 'no part at all'}.")
