"""The TLS context with the service's certificate, which is reloaded while the service runs."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

log = logging.getLogger("tmtp.server")
RELOAD_EVERY = 30.0  # seconds


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return a context for TLS 1.2 and later with this certificate.

    Raise OSError (of which ssl.SSLError is a subclass) if a file is missing or invalid.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.load_cert_chain(certificate, key, password=_passphrase)
    return context


def _passphrase() -> str:
    """Raise SSLError. OpenSSL calls this for an encrypted key; without it, it would prompt on the terminal."""
    raise ssl.SSLError("the key has a passphrase, which it must not have")


class Certificate:
    """The files of a certificate and its key. `context` uses them for new links, also after they were replaced.

    Open links are not affected. The constructor raises OSError if a file is missing or invalid.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = certificate, key
        self._seen = self._stamp()
        self.context = tls_context(certificate, key)

    async def keep_renewed(self) -> None:
        """Reload the files for ever, every RELOAD_EVERY seconds."""
        while True:
            await asyncio.sleep(RELOAD_EVERY)
            self.reload()

    def reload(self) -> None:
        """Load the files if they were replaced. If they are invalid or do not match yet, keep the old certificate."""
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            tls_context(*self._files)  # first, since a failure would break the context in use
            self.context.load_cert_chain(*self._files, password=_passphrase)
        except (OSError, ValueError) as error:
            log.warning(
                "the renewed certificate %s cannot be used, the one before stays: %s", self._files[0], str(error)
            )
        else:
            log.info("new links get the renewed certificate %s", self._files[0])

    def _stamp(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(_stamp(file) for file in self._files)


def _stamp(file: Path) -> tuple[int, int, int] | None:
    """Return a value that changes when the file is written or replaced."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
