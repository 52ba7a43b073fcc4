"""TLS between a plain transport and a protocol, with OpenSSL on memory buffers (ssl.SSLObject).

asyncio's TLS layer holds a buffer of 256 KiB for each link, and uvloop's allocates as much for each read. A service
has thousands of links that are mostly idle. Here, all links share their buffers, and a link holds only the part of a
record that has arrived (docs/decisions/0009-tls.md).
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

log = logging.getLogger("tmtp.server")
RECORD = 16 * 1024  # the most octets in a TLS record
EXPANSION = 2048  # the most octets that encryption adds to it, up to TLS 1.2
HEAD = 5  # octets of a record's header: type, version, length
TYPES = range(20, 25)  # the valid types of records
CHUNK = 64 * 1024

# They are filled and emptied within one callback of the loop, so all links of a thread can share them.
_received = memoryview(bytearray(CHUNK))
_plain = memoryview(bytearray(RECORD))
_incoming, _outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()


class TlsTransport(asyncio.BufferedProtocol):
    """One link: the protocol of the socket, and the transport of `protocol` once the handshake is done.

    The handshake must end within `handshake_timeout` seconds."""

    ended: Callable[[], None] | None = None  # called when the socket is closed

    def __init__(self, context: ssl.SSLContext, protocol: asyncio.Protocol, handshake_timeout: float) -> None:
        self._protocol = protocol
        self._handshake_timeout = handshake_timeout
        self._tls = context.wrap_bio(_incoming, _outgoing, server_side=True)
        self._partial = b""  # the part of a record that has arrived
        self._established = False
        self._closing = False
        self._timer: asyncio.TimerHandle | None = None

    # the protocol of the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._timer = asyncio.get_running_loop().call_later(self._handshake_timeout, self._transport.abort)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the loop stores what it reads: after the part of a record that arrived before."""
        _received[: len(self._partial)] = self._partial
        return _received[len(self._partial) :]

    def buffer_updated(self, nbytes: int) -> None:
        """Decrypt the complete records."""
        octets = len(self._partial) + nbytes
        whole = _whole_records(octets)
        self._partial = bytes(_received[whole:octets])
        if not whole:
            return
        _incoming.write(_received[:whole])
        try:
            if not self._established:
                self._handshake()
            if self._established:
                self._read()
        except ssl.SSLError as error:
            log.debug("TLS failed: %s", error)
            self._flush()  # send the alert with the reason
            self._transport.abort()
        finally:
            _incoming.read()  # after an error or the end, discard the rest: the next link uses this buffer

    def eof_received(self) -> bool:
        return False  # close the transport

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        if self._timer:
            self._timer.cancel()
        if self._established:
            self._protocol.connection_lost(exc)
        if self.ended:
            self.ended()

    def _handshake(self) -> None:
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
        pieces = []
        with suppress(ssl.SSLWantReadError):  # there was no data, only messages of TLS itself
            while _incoming.pending or self._tls.pending():
                length = cast(int, self._tls.read(RECORD, _plain))  # with a buffer it returns a length
                if not length:  # close_notify
                    self._transport.close()
                    break
                pieces.append(bytes(_plain[:length]))
        self._flush()  # messages of TLS itself
        if pieces and not self._closing:
            self._protocol.data_received(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def _flush(self) -> None:
        if _outgoing.pending:
            octets = _outgoing.read()
            if not self._transport.is_closing():
                self._transport.write(octets)

    # the transport of the protocol

    def write(self, data: bytes | memoryview) -> None:
        if self._closing:
            return
        try:
            written = self._tls.write(data) if data else 0
            while written < len(data):  # it takes no more than a record at once
                written += self._tls.write(memoryview(data)[written:])
        finally:
            self._flush()  # empty the buffer, which the next link uses

    def close(self) -> None:
        """Send close_notify, and close once everything is sent."""
        if self._closing:
            return
        self._closing = True
        with suppress(ssl.SSLError):  # do not wait for the peer's close_notify
            self._tls.unwrap()
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        self._closing = True
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._closing or self._transport.is_closing()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self.is_closing():
            self._transport.resume_reading()

    def get_write_buffer_size(self) -> int:
        return self._transport.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._transport.set_write_buffer_limits(high, low)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return `cipher` of TLS, and anything else of the socket."""
        return self._tls.cipher() if name == "cipher" else self._transport.get_extra_info(name, default)


def _whole_records(octets: int) -> int:
    """Return how many of the received octets are complete records (RFC 8446, section 5.1).

    Return `octets` if a record is invalid, so that OpenSSL reports the error.
    """
    at = 0
    while octets - at >= HEAD:
        length = int.from_bytes(_received[at + 3 : at + HEAD], "big")
        if _received[at] not in TYPES or length > RECORD + EXPANSION:
            return octets
        if at + HEAD + length > octets:
            break
        at += HEAD + length
    return at
