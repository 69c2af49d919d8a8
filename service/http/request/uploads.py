"""The images in a request's body, its bytes counted while they stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from contextlib import aclosing

from starlette.requests import Request

from service.errors import MalformedRequest, PayloadTooLarge, UnsupportedMedia, UploadTimeout
from service.http.request.body import Body
from service.http.request.multipart import MultipartParser
from service.http.request.parameters import check_form
from service.settings import Settings

PART = "file"
HINT = (
    f"Send multipart/form-data with a part named {PART!r} for each image, "
    "or one image as the body with a Content-Type such as image/jpeg."
)
# Read so that they can be refused by name.
MAX_FIELDS = 16
MAX_FIELD_BYTES = 64 * 1024
# One read of a socket, by uvloop and asyncio.
FIRST_BYTES = 256 * 1024
# Of a name in a message.
MAX_NAME_LENGTH = 100


async def read_images(
    request: Request, body: Body, settings: Settings, parameters: Collection[str]
) -> None:
    """Puts into the body's images one for each part named "file", or the raw body.

    parameters: names of the route's query parameters, for the message that refuses a form field.
    Raises InvalidParameter, MalformedRequest, MemoryFull, PayloadTooLarge, UnsupportedMedia,
    UploadTimeout, and starlette's ClientDisconnect.
    """
    content_type = request.headers.get("Content-Type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    max_bytes = settings.limits.max_body_bytes
    length = announced_length(request, max_bytes)
    body.expect(max_bytes if length is None else length, length or 0)
    if media_type == "multipart/form-data":
        form = _Form(body, settings.limits.max_files)
        try:
            parser = MultipartParser(content_type, form)
            await receive(request, body, settings, parser.feed)
            form.check(ended=parser.ended)
        except MalformedRequest as error:
            raise MalformedRequest(f"{error} {HINT}") from error
        check_form(form.names, PART, parameters)
    elif media_type.startswith("image/") or media_type == "application/octet-stream":
        await receive(request, body, settings, body.append)
        if not len(body):
            raise MalformedRequest(f"The body is empty. {HINT}")
        body.add_image()
    else:
        raise UnsupportedMedia(f"{HINT} Received: Content-Type {media_type or 'none'!r}")


def announced_length(request: Request, max_bytes: int) -> int | None:
    """What is announced. Refuses what is too large before any of it is read."""
    text = request.headers.get("Content-Length", "")
    if not (text.isascii() and text.isdecimal()):
        return None
    # More digits than any limit has are not worth a number.
    length = int(text[:20])
    if length > max_bytes:
        raise too_large(max_bytes, length)
    return length


async def receive(
    request: Request,
    body: Body,
    settings: Settings,
    take: Callable[[bytes], None],
    inflate: Callable[[bytes], Iterator[bytes]] | None = None,
) -> None:
    """Gives what arrives to `take`, piece by piece, and inflated where there is `inflate`."""
    timeout_seconds = settings.http.request_timeout_seconds
    stream = _stream(request, body, settings.limits.max_body_bytes, take, inflate)
    try:
        await asyncio.wait_for(stream, timeout_seconds)
    except asyncio.TimeoutError:
        raise UploadTimeout(f"The body did not arrive within {timeout_seconds:g} s.") from None


async def _stream(
    request: Request,
    body: Body,
    max_bytes: int,
    take: Callable[[bytes], None],
    inflate: Callable[[bytes], Iterator[bytes]] | None,
) -> None:
    received = 0
    # The server has read this much of a large one.
    await body.next_turn(min(body.capacity, FIRST_BYTES))
    async with aclosing(request.stream()) as stream:
        async for chunk in stream:
            received += len(chunk)
            if received > max_bytes:
                raise too_large(max_bytes, received)
            if inflate is None:
                take(chunk)
                await body.next_turn(len(chunk))
                continue
            for piece in inflate(chunk):
                take(piece)
                # A chunk may become a thousand times as long.
                await body.next_turn(len(piece))


def too_large(max_bytes: int, received: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"A body may have {max_bytes} bytes. Received: at least {received}")


class _Form:
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
            if name == PART:
                raise MalformedRequest(f"The part {PART!r} is text: it has no file name.")
        else:
            self._files += 1
            if name == PART:
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
        if PART not in self.names:
            names = sorted(repr(name[:MAX_NAME_LENGTH]) for name in self.names)
            raise MalformedRequest(f"The form has {', '.join(names) or 'no part at all'}.")
