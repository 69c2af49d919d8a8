"""The images in the body of POST /predict: a form, JSON, or one image."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from starlette.requests import Request

from service.errors import MalformedRequest, UnsupportedMedia
from service.http.request.body import Body
from service.http.request.inflater import inflater_of
from service.http.request.media.form import PART, PARTS, Form
from service.http.request.media.json_images import decode_images
from service.http.request.multipart import MultipartParser
from service.http.request.parameters import check_form
from service.http.request.payload import read_payload
from service.http.request.stream import announced_length, receive
from service.settings import Settings

HINT = (
    f"Send multipart/form-data with a part named {PART!r} for each image, "
    "or one image as the body with a Content-Type such as image/jpeg."
)


async def read_images(
    request: Request,
    body: Body,
    document: Body,
    settings: Settings,
    parameters: Collection[str],
    members: Collection[str] = (),
) -> dict[str, Any]:
    """Puts into the body's images one for each part of a form or of JSON, or the raw body.

    document: keeps JSON while it is read. parameters: names of the route's query parameters, for
    the message that refuses a form field. members: what JSON may have beside images; returns what
    it has of them.
    Raises InvalidParameter, MalformedRequest, MemoryFull, PayloadTooLarge, UnsupportedEncoding,
    UnsupportedMedia, UploadTimeout, and starlette's ClientDisconnect.
    """
    content_type = request.headers.get("Content-Type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "application/json":
        text = await read_payload(request, document, settings)
        body.expect(len(text), 0)
        return await decode_images(text, body, settings.limits.max_files, members)
    max_bytes = settings.limits.max_body_bytes
    length = announced_length(request, max_bytes)
    inflater = inflater_of(request, max_bytes)
    body.expect(max_bytes if length is None or inflater is not None else length, length or 0)
    if media_type == "multipart/form-data":
        form = Form(body, settings.limits.max_files)
        try:
            parser = MultipartParser(content_type, form)
            await receive(request, body, settings, parser.feed, inflater)
            form.check(ended=parser.ended)
        except MalformedRequest as error:
            raise MalformedRequest(f"{error} {HINT}") from error
        check_form(form.names, PARTS, PART, parameters)
    elif media_type.startswith("image/") or media_type == "application/octet-stream":
        await receive(request, body, settings, body.append, inflater)
        if not len(body):
            raise MalformedRequest(f"The body is empty. {HINT}")
        body.add_image()
    else:
        received = f"Content-Type {media_type!r}" if media_type else "no Content-Type"
        raise UnsupportedMedia(f"{HINT} Received: {received}")
    return {}
