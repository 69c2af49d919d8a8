"""Every error that a client may see. Each protocol maps these classes to its own statuses.

ServiceError
+-- MalformedRequest        the body is not what its headers say
+-- HeaderTooLarge          more or longer header fields than HTTP's adapter accepts
+-- TargetTooLong           a longer path or query than it accepts
+-- Unauthorized            no API key, or an unknown one
+-- Forbidden               a known key that is turned off
+-- ModelNotFound
+-- UploadTimeout           the body took too long to arrive
+-- TooLarge
|   +-- PayloadTooLarge     more bytes than the service accepts
|   +-- ImageTooLarge       more pixels or frames than it accepts, by the image's header
|   +-- TooManyImages       more than one client may have waiting, however empty the queue is
|   +-- TooManyPixels       more in one request than it accepts, all its images together
+-- UnsupportedMedia        not an image format that is served
|   +-- UnsupportedEncoding a compression of the body that is not supported
+-- Unprocessable
|   +-- InvalidParameter
|   +-- InvalidImage        an image format, but the image can't be decoded
+-- RateLimited             this client has sent too many requests
+-- Unavailable             try again, here or at another replica
|   +-- ModelNotReady       the model is loading, or failed to load
|   +-- QueueFull           as many images wait as may, of all clients or of this one
|   +-- MemoryFull          requests hold as many bytes as they may
|   +-- Overloaded          the expected wait exceeds the limit or the request's deadline
|   +-- ShuttingDown
|   +-- WorkerLost          the device's worker died or is stuck
|   +-- DecoderFailed       no decoding process can be started
+-- DeadlineExceeded
+-- InferenceFailed         the cause is in the log, not in the response
|   +-- NonFiniteOutput     of one image: the other images of the request have results
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, TypeVar

T = TypeVar("T")
# What a client is told where the service is at fault.
FAULT = "The service failed; the log has the cause, under the id of this request."


class ServiceError(Exception):
    """`code` names the error to programs; the message is for people and goes to the client."""

    code: ClassVar[str] = "internal_error"
    retry_after_seconds: int | None = None

    @property
    def reason(self) -> str:
        """What metrics count it by, of a closed set: the code, or "client_share"."""
        return self.code


class MalformedRequest(ServiceError):
    code = "malformed_request"


class HeaderTooLarge(ServiceError):
    code = "header_too_large"


class TargetTooLong(ServiceError):
    code = "target_too_long"


class Unauthorized(ServiceError):
    code = "unauthorized"


class Forbidden(ServiceError):
    code = "forbidden"


class ModelNotFound(ServiceError):
    code = "model_not_found"


class UploadTimeout(ServiceError):
    code = "upload_timeout"


class TooLarge(ServiceError):
    code = "too_large"


class PayloadTooLarge(TooLarge):
    code = "payload_too_large"


class ImageTooLarge(TooLarge):
    code = "image_too_large"


class TooManyImages(TooLarge):
    code = "too_many_images"


class TooManyPixels(TooLarge):
    code = "too_many_pixels"


class UnsupportedMedia(ServiceError):
    code = "unsupported_media_type"


class UnsupportedEncoding(UnsupportedMedia):
    code = "unsupported_encoding"


class Unprocessable(ServiceError):
    code = "unprocessable"


class InvalidParameter(Unprocessable):
    code = "invalid_parameter"


class InvalidImage(Unprocessable):
    code = "invalid_image"


class RateLimited(ServiceError):
    code = "rate_limited"

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(ServiceError):
    """retry_after_seconds: when it may go better; at least a second, whole ones in the header.

    client_share: whether the client's own share alone is used up: another would be admitted.
    """

    code = "unavailable"
    retry_after_seconds = 1
    client_share = False

    def __init__(self, message: str, *, retry_after_seconds: float = 0) -> None:
        super().__init__(message)
        if retry_after_seconds > 0:
            self.retry_after_seconds = math.ceil(retry_after_seconds)

    @property
    def reason(self) -> str:
        return "client_share" if self.client_share else self.code


class ModelNotReady(Unavailable):
    code = "model_not_ready"
    retry_after_seconds = 5


class QueueFull(Unavailable):
    code = "queue_full"


class MemoryFull(Unavailable):
    code = "memory_full"


class Overloaded(Unavailable):
    code = "overloaded"


class ShuttingDown(Unavailable):
    code = "shutting_down"


class WorkerLost(Unavailable):
    code = "worker_lost"


class DecoderFailed(Unavailable):
    code = "decoder_failed"


class DeadlineExceeded(ServiceError):
    code = "deadline_exceeded"


class InferenceFailed(ServiceError):
    code = "inference_failed"


class NonFiniteOutput(InferenceFailed):
    """An output of one image is infinite or not a number."""


def entry_of(error: ServiceError | type[ServiceError], table: Mapping[type[ServiceError], T]) -> T:
    """A protocol's entry for an error: that of its class, or of the nearest base in the table.

    table: from classes of errors to a protocol's statuses; has an entry for ServiceError.
    """
    kind = error if isinstance(error, type) else type(error)
    return next(table[base] for base in kind.__mro__ if base in table)
