"""Errors in gRPC: their status, their text, and when to try again."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from grpc import StatusCode

from service.errors import (
    FAULT,
    DeadlineExceeded,
    Forbidden,
    InferenceFailed,
    MalformedRequest,
    ModelNotFound,
    PayloadTooLarge,
    RateLimited,
    ServiceError,
    TooLarge,
    Unauthorized,
    Unavailable,
    Unprocessable,
    UnsupportedEncoding,
    UnsupportedMedia,
    UploadTimeout,
    entry_of,
)

logger = logging.getLogger(__name__)

# A subclass has its base's status unless it has its own. A client's retry policy repeats what is
# UNAVAILABLE, here or at another replica.
STATUS: Mapping[type[ServiceError], StatusCode] = {
    ServiceError: StatusCode.INTERNAL,
    MalformedRequest: StatusCode.INVALID_ARGUMENT,
    Unauthorized: StatusCode.UNAUTHENTICATED,
    Forbidden: StatusCode.PERMISSION_DENIED,
    ModelNotFound: StatusCode.NOT_FOUND,
    UploadTimeout: StatusCode.DEADLINE_EXCEEDED,
    TooLarge: StatusCode.INVALID_ARGUMENT,
    # gRPC's own for a message that is too large.
    PayloadTooLarge: StatusCode.RESOURCE_EXHAUSTED,
    UnsupportedMedia: StatusCode.INVALID_ARGUMENT,
    UnsupportedEncoding: StatusCode.UNIMPLEMENTED,
    Unprocessable: StatusCode.INVALID_ARGUMENT,
    RateLimited: StatusCode.RESOURCE_EXHAUSTED,
    InferenceFailed: StatusCode.INTERNAL,
    Unavailable: StatusCode.UNAVAILABLE,
    DeadlineExceeded: StatusCode.DEADLINE_EXCEEDED,
}
# gRFC A6: a client that retries waits for so long before it does.
PUSHBACK = "grpc-retry-pushback-ms"
# As the header of HTTP, in seconds, for programs that retry themselves.
RETRY_AFTER = "retry-after"
# The status message is a trailer, and trailers have a limit.
MAX_TEXT_LENGTH = 1024


def status_of(error: ServiceError) -> StatusCode:
    return entry_of(error, STATUS)


def text_of(error: ServiceError) -> str:
    """What the client is told. Where the service is at fault the message goes to the log alone."""
    if status_of(error) is not StatusCode.INTERNAL:
        return str(error)[:MAX_TEXT_LENGTH]
    logger.error("%s", error, exc_info=error.__cause__ or error)
    return str(error) if isinstance(error, InferenceFailed) else FAULT


def forget_frames(error: ServiceError) -> None:
    """Once it is answered: a frame in which it was raised has the message, and often the error
    itself, so that both would wait for Python's garbage collector.
    """
    error.__traceback__ = error.__context__ = error.__cause__ = None


def retry_metadata(error: ServiceError) -> tuple[tuple[str, str], ...]:
    """Trailing metadata that says when to try again; empty where that is not known."""
    seconds = error.retry_after_seconds
    if seconds is None:
        return ()
    return ((PUSHBACK, str(seconds * 1000)), (RETRY_AFTER, str(seconds)))
