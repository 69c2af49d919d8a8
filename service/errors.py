"""Every error that a client may see, and the HTTP status that stands for it.

ServiceError                500
+-- MalformedRequest        400  the body is not what its headers say
+-- ModelNotFound           404
+-- UploadTimeout           408  the body took too long to arrive
+-- TooLarge                413
|   +-- PayloadTooLarge          more bytes than the service takes
|   +-- ImageTooLarge            more pixels than the service takes, from the header
+-- UnsupportedMedia        415  not a picture format that is served
+-- Unprocessable           422
|   +-- InvalidParameter
|   +-- InvalidImage             a picture format, and can't be decoded
+-- Unavailable             503  try again, here or at another replica
|   +-- ModelNotReady            still loading
|   +-- QueueFull
|   +-- ShuttingDown
+-- DeadlineExceeded        504
+-- InferenceFailed         500  the cause is in the log, not in the answer
+-- DecoderFailed           500  no process that decodes could be started
"""

from __future__ import annotations

from typing import ClassVar


class ServiceError(Exception):
    """`code` names the error to programs; the message is for people and goes to the client."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    retry_after_seconds: ClassVar[int | None] = None


class MalformedRequest(ServiceError):
    status = 400
    code = "malformed_request"


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


class Unavailable(ServiceError):
    status = 503
    code = "unavailable"
    retry_after_seconds = 1


class ModelNotReady(Unavailable):
    code = "model_not_ready"
    retry_after_seconds = 5


class QueueFull(Unavailable):
    code = "queue_full"


class ShuttingDown(Unavailable):
    code = "shutting_down"


class DeadlineExceeded(ServiceError):
    status = 504
    code = "deadline_exceeded"


class InferenceFailed(ServiceError):
    code = "inference_failed"


class DecoderFailed(ServiceError):
    code = "decoder_failed"
