"""The groups of what requests travel by, beside HTTP in plain text."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from service.settings.group import Group


class GrpcSettings(Group):
    """The listener of gRPC; its times, its address and its limits are those of HTTP."""

    grpc_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port of gRPC; 0 selects a free one. Default: gRPC is not served.",
    )


class ProtocolSettings(Group):
    """What the protocols of other servers say of a model."""

    v2_input: Literal["pixels", "image"] = Field(
        "pixels",
        description="The image input that v2's metadata and configuration have: pixels, UINT8, or "
        "image, BYTES of encoded images. Requests may have either.",
    )


class TlsSettings(Group):
    """The certificate of both listeners; without one they speak plain text."""

    tls_cert_file: Path | None = Field(
        None,
        description="Certificate chain in PEM, for HTTPS and gRPC; read again when it changes.",
    )
    tls_key_file: Path | None = Field(None, description="Its private key in PEM, not encrypted.")
