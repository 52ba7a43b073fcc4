"""TLS between a plain transport and a protocol, with OpenSSL on memory (ssl.SSLObject).

asyncio's own layer keeps 256 KiB of buffer for each link, and uvloop's asks for as much at each read. A service holds
thousands of links that rarely have something to say: here all of them share what octets pass through, and a link keeps
no more than the part of a record that has come (docs/decisions/0009-tls.md).
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from contextlib import suppress
from typing import Any, cast

log = logging.getLogger("tmtp.server")
RECORD = 16 * 1024  # the most that one TLS record carries
EXPANSION = 2048  # the most that its encryption adds, up to TLS 1.2
HEAD = 5  # octets in front of a record: its type, a version, its length
TYPES = range(20, 25)  # of records
CHUNK = 64 * 1024

# Filled and emptied within one callback of the loop, so one of each is enough for all links of a thread.
_received = memoryview(bytearray(CHUNK))
_plain = memoryview(bytearray(RECORD))
_incoming, _outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()


class TlsTransport(asyncio.BufferedProtocol):
    """One link: to the socket a protocol, to `protocol` its transport, once the handshake is done."""

    def __init__(self, context: ssl.SSLContext, protocol: asyncio.Protocol, handshake_timeout: float) -> None:
        self._protocol = protocol
        self._handshake_timeout = handshake_timeout
        self._tls = context.wrap_bio(_incoming, _outgoing, server_side=True)
        self._partial = b""  # of a record that has not come whole
        self._established = False
        self._closing = False
        self._timer: asyncio.TimerHandle | None = None

    # as the protocol of the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The client has so many seconds to finish its handshake."""
        self._transport = cast(asyncio.Transport, transport)
        self._timer = asyncio.get_running_loop().call_later(self._handshake_timeout, self._transport.abort)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the loop puts what it reads: behind the part of a record that came before."""
        _received[: len(self._partial)] = self._partial
        return _received[len(self._partial) :]

    def buffer_updated(self, nbytes: int) -> None:
        """Decrypt the records that are whole now."""
        octets = len(self._partial) + nbytes
        whole = _whole_records(octets)
        self._partial = bytes(_received[whole:octets])
        if not whole:
            return
        _incoming.write(_received[:whole])
        try:
            if not self._established:
                self._shake_hands()
            if self._established:
                self._read()
        except ssl.SSLError as error:
            log.debug("TLS failed: %s", error)
            self._flush()  # the alert that says why
            self._transport.abort()
        finally:
            _incoming.read()  # what comes after an error or a good-bye is not for the next link

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
        with suppress(ssl.SSLWantReadError):  # what came was TLS's own business, such as new keys
            while _incoming.pending or self._tls.pending():
                length = cast(int, self._tls.read(RECORD, _plain))  # with a buffer it returns a length
                if not length:  # the client has said good-bye
                    self._transport.close()
                    break
                pieces.append(bytes(_plain[:length]))
        self._flush()  # what TLS itself has to say
        if pieces and not self._closing:
            self._protocol.data_received(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def _flush(self) -> None:
        if _outgoing.pending:
            octets = _outgoing.read()
            if not self._transport.is_closing():
                self._transport.write(octets)

    # as the transport of the protocol

    def write(self, data: bytes | memoryview) -> None:
        """Encrypt and send."""
        if self._closing:
            return
        view = memoryview(data)
        try:
            while view:
                view = view[self._tls.write(view) :]
        finally:
            self._flush()  # all of it: the next link uses the same buffer

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


def _whole_records(octets: int) -> int:
    """How many of the octets received are whole records (RFC 8446, section 5.1); all, when OpenSSL will object."""
    at = 0
    while octets - at >= HEAD:
        length = int.from_bytes(_received[at + 3 : at + HEAD], "big")
        if _received[at] not in TYPES or length > RECORD + EXPANSION:
            return octets
        if at + HEAD + length > octets:
            break
        at += HEAD + length
    return at
