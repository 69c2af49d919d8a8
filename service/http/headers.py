"""The names of the headers that the service reads and sends."""

from __future__ import annotations

from typing import Final

AUTHORIZATION: Final = "Authorization"
API_KEY: Final = "X-API-Key"
REQUEST_ID: Final = "X-Request-ID"
REQUEST_TIMEOUT_MS: Final = "X-Request-Timeout-Ms"
RETRY_AFTER: Final = "Retry-After"
SERVER_TIMING: Final = "Server-Timing"
# The bytes of JSON that are in front of the binary tensors.
TENSOR_HEADER_LENGTH: Final = "Inference-Header-Content-Length"

# nginx sends the first with each request; the other two carry a refusal that it need not repeat
# at another replica: deploy/nginx.conf.
ACCEL_REFUSAL: Final = "X-Accel-Refusal"
ACCEL_REDIRECT: Final = "X-Accel-Redirect"
REFUSAL: Final = "X-Refusal"
