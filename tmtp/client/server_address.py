"""The address of a server as members know it, `HOST:PORT` or `=HOST:PORT`, and TLS with it.

Without `=`, the certificate must be valid for the host, by the authorities that the system trusts or by a file of
one's own. With `=`, it is self-signed: the client trusts the one it meets first, and later only that one.
"""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from pathlib import Path

from ..conf import parse_address
from .errors import CertificateRefused, ClientError

SELF_SIGNED = "="


def fingerprint(certificate: bytes) -> str:
    """Return the SHA-256 of a certificate (DER), in hex."""
    return hashlib.sha256(certificate).hexdigest()


@dataclass(frozen=True)
class ServerAddress:
    """A host, a port, and whether the certificate is self-signed."""

    host: str
    port: int
    self_signed: bool = False

    @classmethod
    def parse(cls, text: str) -> ServerAddress:
        """Parse HOST:PORT, or =HOST:PORT. Raise ClientError for other text."""
        try:
            host, port = parse_address(text.strip().removeprefix(SELF_SIGNED))
        except ValueError as error:
            raise ClientError(str(error)) from None
        return cls(host, port, text.strip().startswith(SELF_SIGNED))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{SELF_SIGNED if self.self_signed else ''}{host}:{self.port}"

    def tls(self, cafile: str | Path | None) -> ssl.SSLContext:
        """Return a context for links to this server. Raise ClientError if `cafile` is not a file of certificates."""
        try:
            context = ssl.create_default_context(cafile=cafile)
        except OSError as error:
            raise ClientError(f"{cafile} is not a file of certificates: {error.strerror or error}") from error
        if self.self_signed and not cafile:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # `checked_pin` checks it
        return context

    def checked_pin(self, certificate: bytes, pin: str) -> str:
        """Return the SHA-256 of a certificate (DER). Raise CertificateRefused if there is another `pin`."""
        found = fingerprint(certificate)
        if pin and found != pin.replace(":", "").lower():
            raise CertificateRefused(
                f"{self} has another certificate than before, or somebody else answers in its place. Nothing was sent"
                f" to it. Its SHA-256 is {found}. If the site's owner confirms that, remove “pin” from the device's"
                " file."
            )
        return found
