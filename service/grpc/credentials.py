"""TLS of gRPC, with the certificate of the time of each handshake."""

from __future__ import annotations

import grpc

from service.system.certificate import Certificate, Identity


def credentials_of(certificate: Certificate) -> grpc.ServerCredentials:
    """Clients need no certificate."""
    known = certificate.current()

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        """gRPC calls it in a thread of its own; None where nothing has changed."""
        nonlocal known
        now = certificate.current()
        if now is known:
            return None
        known = now
        return _configuration(now)

    return grpc.dynamic_ssl_server_credentials(_configuration(known), fetch)


def _configuration(identity: Identity) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(identity.key, identity.chain)])
