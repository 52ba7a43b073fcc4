"""TLS between a plain transport and a protocol, with OpenSSL on memory (ssl.SSLObject).

asyncio's own layer keeps 256 KiB of buffer for each link, and uvloop's asks for as much at each read. A service holds
thousands of links that rarely have something to say: here all of them share one buffer, and what OpenSSL holds of a
link is about a record (docs/decisions/0009-tls.md).
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from contextlib import suppress
from typing import Any, cast

log = logging.getLogger("tmtp.server")
RECORD = 16 * 1024  # the most that one TLS record carries
CHUNK = 64 * 1024
SLICE = 4 * 1024  # what OpenSSL is given at once: its buffers stay as large as what they once held

# Filled and emptied within one callback of the loop, so one is enough for all links of a thread.
_received = memoryview(bytearray(CHUNK))
_plain = memoryview(bytearray(RECORD))


class TlsTransport(asyncio.BufferedProtocol):
    """One link: to the socket a protocol, to `protocol` its transport, once the handshake is done."""

    def __init__(self, context: ssl.SSLContext, protocol: asyncio.Protocol, handshake_timeout: float) -> None:
        self._protocol = protocol
        self._handshake_timeout = handshake_timeout
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._established = False
        self._closing = False
        self._timer: asyncio.TimerHandle | None = None

    # as the protocol of the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The client has so many seconds to finish its handshake."""
        self._transport = cast(asyncio.Transport, transport)
        self._timer = asyncio.get_running_loop().call_later(self._handshake_timeout, self._transport.abort)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the loop puts what it reads."""
        return _received

    def buffer_updated(self, nbytes: int) -> None:
        """Decrypt what has come, record by record, so that OpenSSL need not hold much of it."""
        try:
            for at in range(0, nbytes, SLICE):
                self._incoming.write(_received[at : min(at + SLICE, nbytes)])
                if not self._established:
                    self._shake_hands()
                if self._established:
                    self._read()
        except ssl.SSLError as error:
            log.debug("TLS failed: %s", error)
            self._flush()  # the alert that says why
            self._transport.abort()

    def eof_received(self) -> bool:
        """The client is gone; close."""
        return False

    def pause_writing(self) -> None:
        """Passed on."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Passed on."""
        self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Passed on, if the protocol has heard of the connection."""
        self._closing = True
        if self._timer:
            self._timer.cancel()
        if self._established:
            self._protocol.connection_lost(exc)

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        self._flush()
        if self._timer:
            self._timer.cancel()
            self._timer = None
        self._established = True
        self._protocol.connection_made(cast(asyncio.BaseTransport, self))

    def _read(self) -> None:
        """Give the protocol what can be decrypted."""
        pieces = []
        try:
            while self._incoming.pending or self._tls.pending():
                length = self._tls.read(RECORD, _plain)  # type: ignore[arg-type]
                pieces.append(bytes(_plain[:length]))  # type: ignore[index]
        except ssl.SSLWantReadError:
            pass  # the rest of a record is still to come
        except ssl.SSLZeroReturnError:
            self._transport.close()  # the client has said good-bye
        if self._outgoing.pending:
            self._flush()  # of TLS itself, such as new keys
        if pieces and not self._closing:
            self._protocol.data_received(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def _flush(self) -> None:
        if self._outgoing.pending and not self._transport.is_closing():
            self._transport.write(self._outgoing.read())

    # as the transport of the protocol

    def write(self, data: bytes | memoryview) -> None:
        """Encrypt and send, a record at a time."""
        if self._closing:
            return
        view = memoryview(data)
        while view:
            view = view[self._tls.write(view[:RECORD]) :]
            self._flush()

    def close(self) -> None:
        """Say good-bye, and close once all that was written has left."""
        if self._closing:
            return
        self._closing = True
        with suppress(ssl.SSLError):  # we do not wait for the other side to say it, too
            self._tls.unwrap()
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        """Cut the link."""
        self._closing = True
        self._transport.abort()

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._closing or self._transport.is_closing()

    def pause_reading(self) -> None:
        """Read no more for now."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if not self.is_closing():
            self._transport.resume_reading()

    def get_write_buffer_size(self) -> int:
        """Octets that the socket has not taken yet."""
        return self._transport.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """From how many octets on the protocol is told to pause."""
        self._transport.set_write_buffer_limits(high, low)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`cipher` is TLS's, all else the socket's."""
        return self._tls.cipher() if name == "cipher" else self._transport.get_extra_info(name, default)
