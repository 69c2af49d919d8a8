"""The images in a request's body, its bytes counted while they stream."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Collection
from typing import NoReturn

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.types import Message, Receive

from service.errors import MalformedRequest, PayloadTooLarge, UnsupportedMedia, UploadTimeout
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


async def read_images(
    request: Request, settings: Settings, parameters: Collection[str]
) -> list[bytes]:
    """One image's bytes for each part named "file", or the raw body.

    parameters: names of the route's query parameters, for the message that refuses a form field.
    Raises InvalidParameter, MalformedRequest, PayloadTooLarge, UnsupportedMedia, UploadTimeout,
    and starlette's ClientDisconnect.
    """
    media_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    _check_length(request, settings.limits.max_body_bytes)
    limited = Request(request.scope, _limited(request.receive, settings.limits.max_body_bytes))
    if media_type == "multipart/form-data":
        reading = _parts(limited, settings.limits.max_files, parameters)
    elif media_type.startswith("image/") or media_type == "application/octet-stream":
        reading = _raw(limited)
    else:
        raise UnsupportedMedia(f"{HINT} Received: Content-Type {media_type or 'none'!r}")
    try:
        return await asyncio.wait_for(reading, settings.http.request_timeout_seconds)
    except asyncio.TimeoutError:
        raise UploadTimeout(
            f"The body did not arrive within {settings.http.request_timeout_seconds:g} s."
        ) from None


def _check_length(request: Request, max_bytes: int) -> None:
    """Refuses what says that it is too large before any of it is read."""
    length = request.headers.get("Content-Length", "")
    if length.isdecimal() and int(length) > max_bytes:
        raise _too_large(max_bytes, int(length))


def _limited(receive: Receive, max_bytes: int) -> Receive:
    received = 0

    async def receive_counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > max_bytes:
            raise _too_large(max_bytes, received)
        return message

    return receive_counted


def _too_large(max_bytes: int, received: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"A body may have {max_bytes} bytes. Received: at least {received}")


async def _raw(request: Request) -> list[bytes]:
    body = await request.body()
    if not body:
        raise MalformedRequest(f"The body is empty. {HINT}")
    return [body]


class _Form(MultiPartParser):
    """In memory, whatever its size: the body's bytes are counted, and no disk is needed."""

    spool_max_size = sys.maxsize
    ended = False

    def on_end(self) -> None:
        self.ended = True


async def _parts(request: Request, max_files: int, parameters: Collection[str]) -> list[bytes]:
    form = _Form(
        request.headers,
        request.stream(),
        max_files=max_files,
        max_fields=MAX_FIELDS,
        max_part_size=MAX_FIELD_BYTES,
    )
    try:
        parts = await form.parse()
        if parts and not form.ended:
            raise MalformedRequest(f"The form breaks off before its last boundary. {HINT}")
        if PART in parts:
            check_form(parts, PART, parameters)
        return [await _image(part) for part in parts.getlist(PART)] or _refuse(parts)
    except MultiPartException as error:
        # Starlette's own word on a body that can't be parsed.
        raise MalformedRequest(f"{error.message} {HINT}") from error
    finally:
        # Not those of `parts`: one that breaks off is not among them.
        for file in form._files_to_close_on_error:
            file.close()


async def _image(part: UploadFile | str) -> bytes:
    if isinstance(part, str):
        raise MalformedRequest(f"The part {PART!r} is text: it has no file name. {HINT}")
    return await part.read()


def _refuse(parts: FormData) -> NoReturn:
    named = ", ".join(sorted({repr(name) for name in parts})) or "no part at all"
    raise MalformedRequest(f"{HINT} Received: {named}")
