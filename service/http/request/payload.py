"""A request's whole body, inflated where it is compressed, its bytes counted as they stream."""

from __future__ import annotations

from starlette.requests import Request

from service.errors import MalformedRequest
from service.http.request.body import Body
from service.http.request.inflater import inflater_of
from service.http.request.stream import announced_length, receive
from service.settings import Settings


async def read_payload(request: Request, body: Body, settings: Settings) -> memoryview:
    """The bytes, at most RESNET_MAX_BODY_BYTES as sent and as many inflated. They are the body's.

    Raises MalformedRequest, MemoryFull, PayloadTooLarge, UnsupportedEncoding, UploadTimeout, and
    starlette's ClientDisconnect.
    """
    max_bytes = settings.limits.max_body_bytes
    length = announced_length(request, max_bytes)
    inflater = inflater_of(request, max_bytes)
    expected = max_bytes if length is None or inflater is not None else length
    body.expect(expected, length or 0)
    await receive(request, body, settings, body.append, inflater)
    if not len(body):
        raise MalformedRequest("The body is empty.")
    body.add_image()
    return body.images[0]
