"""Every error that a client may see, and the HTTP status that stands for it.

ServiceError                500
+-- MalformedRequest        400  the body is not what its headers say
+-- Unauthorized            401  no API key, or an unknown one
+-- Forbidden               403  a known key that is turned off
+-- ModelNotFound           404
+-- UploadTimeout           408  the body took too long to arrive
+-- TooLarge                413
|   +-- PayloadTooLarge          more bytes than the service takes
|   +-- ImageTooLarge            more pixels or frames than it takes, from the header
|   +-- TooManyImages          more than may wait, however empty the queue is
+-- UnsupportedMedia        415  not an image format that is served
+-- Unprocessable           422
|   +-- InvalidParameter
|   +-- InvalidImage             an image format, and can't be decoded
+-- RateLimited             429  this client has asked too often
+-- Unavailable             503  try again, here or at another replica
|   +-- ModelNotReady            still loading
|   +-- QueueFull                as many images wait as may
|   +-- Overloaded               it would wait for longer than it may, or than it has time for
|   +-- ShuttingDown
|   +-- WorkerLost               the device's worker died or is stuck
+-- DeadlineExceeded        504
+-- InferenceFailed         500  the cause is in the log, not in the answer
+-- DecoderFailed           500  no process that decodes could be started
"""

from __future__ import annotations

import math
from typing import ClassVar


class ServiceError(Exception):
    """`code` names the error to programs; the message is for people and goes to the client."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    retry_after_seconds: int | None = None


class MalformedRequest(ServiceError):
    status = 400
    code = "malformed_request"


class Unauthorized(ServiceError):
    status = 401
    code = "unauthorized"


class Forbidden(ServiceError):
    status = 403
    code = "forbidden"


class ModelNotFound(ServiceError):
    status = 404
    code = "model_not_found"


class UploadTimeout(ServiceError):
    status = 408
    code = "upload_timeout"


class TooLarge(ServiceError):
    status = 413
    code = "too_large"


class PayloadTooLarge(TooLarge):
    code = "payload_too_large"


class ImageTooLarge(TooLarge):
    code = "image_too_large"


class TooManyImages(TooLarge):
    code = "too_many_images"


class UnsupportedMedia(ServiceError):
    status = 415
    code = "unsupported_media_type"


class Unprocessable(ServiceError):
    status = 422
    code = "unprocessable"


class InvalidParameter(Unprocessable):
    code = "invalid_parameter"


class InvalidImage(Unprocessable):
    code = "invalid_image"


class RateLimited(ServiceError):
    status = 429
    code = "rate_limited"

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Unavailable(ServiceError):
    """retry_after_seconds: when it may go better; at least a second, whole ones in the header."""

    status = 503
    code = "unavailable"
    retry_after_seconds = 1

    def __init__(self, message: str, *, retry_after_seconds: float = 0) -> None:
        super().__init__(message)
        if retry_after_seconds > 0:
            self.retry_after_seconds = math.ceil(retry_after_seconds)


class ModelNotReady(Unavailable):
    code = "model_not_ready"
    retry_after_seconds = 5


class QueueFull(Unavailable):
    code = "queue_full"


class Overloaded(Unavailable):
    code = "overloaded"


class ShuttingDown(Unavailable):
    code = "shutting_down"


class WorkerLost(Unavailable):
    code = "worker_lost"


class DeadlineExceeded(ServiceError):
    status = 504
    code = "deadline_exceeded"


class InferenceFailed(ServiceError):
    code = "inference_failed"


class DecoderFailed(ServiceError):
    code = "decoder_failed"
