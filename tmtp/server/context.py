"""The service's certificate: the TLS context that shows it, and renewal while the service runs."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

log = logging.getLogger("tmtp.server")
LOOK = 30.0  # seconds between looks at the files


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 and later with this certificate. Raises OSError (ssl.SSLError is one) when a file is not right."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.load_cert_chain(certificate, key, password=_passphrase)
    return context


def _passphrase() -> str:
    """Asked for when the key is encrypted. Without this, OpenSSL would ask at the terminal, and wait."""
    raise ssl.SSLError("the key has a passphrase, which it must not have")


class Certificate:
    """A certificate and its key in files. `context` shows what they hold, also after they have been replaced.

    Links that are open stay as they are. Raises OSError (ssl.SSLError is one) when a file is not right at first.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = certificate, key
        self._seen = self._stamp()
        self.context = tls_context(certificate, key)

    async def keep_renewed(self) -> None:
        """Look again and again."""
        while True:
            await asyncio.sleep(LOOK)
            self.look()

    def look(self) -> None:
        """Take files that were replaced. If they are not right, or one of them is still to come, nothing changes."""
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            tls_context(*self._files)  # the one in use would be of no use after a failure
            self.context.load_cert_chain(*self._files, password=_passphrase)
        except (OSError, ValueError) as error:
            log.warning("the renewed certificate %s cannot be used, the one before stays: %s", self._files[0], error)
        else:
            log.info("new links get the renewed certificate %s", self._files[0])

    def _stamp(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_stamp(file) for file in self._files)


def _stamp(file: Path) -> tuple[int, int, int] | None:
    """What differs once a file has been written or replaced."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
