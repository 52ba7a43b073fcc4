"""A client's link, for programs that hold thousands of them: an asyncio Protocol that parses as little as possible.

Answers go to the caller of the request, all other messages to `on_message`. Queued messages (those with `from` and
`id`) are acknowledged when it returns.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, cast

import msgspec

Address = tuple[str, int]
TIMEOUT = 60.0  # seconds


class LinkEnded(Exception):
    """The server has ended the link. The text is the reason it gave, if any."""


class Head(msgspec.Struct):
    """The members of a header that a simulated client needs."""

    op: str
    id: str = ""
    from_: str = msgspec.field(default="", name="from")
    datalen: int = 0
    msgid: str = ""
    error: str = ""
    uid: str = ""
    nodeid: str = ""
    newnode: str = ""


_head = msgspec.json.Decoder(Head).decode
OnMessage = Callable[["Link", Head, bytes], None]
_ANSWERS = {"tmtprev", "registered", "info"}


def request(members: dict[str, Any], data: bytes = b"") -> bytes:
    """Encode a request as octets."""
    header = msgspec.json.encode({**members, "datalen": len(data)} if data else members)
    return b"%04x%b%b" % (len(header), header, data)


class Link(asyncio.Protocol):
    """One link. The future `ended` is done when the link has ended, whoever ended it."""

    def __init__(self, on_message: OnMessage) -> None:
        self._on_message = on_message
        self._received = bytearray()
        self._needed = 4  # octets until the next step of parsing
        self._head: Head | None = None  # of the message whose data has not arrived yet
        self._outbox: list[bytes] | None = None  # output during data_received, which sends it in one write
        self._asked: dict[str, Callable[[Head], None]] = {}
        self._transport: asyncio.Transport | None = None
        self._leaving = False
        self.reason = ""  # of the server's quit
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def open(cls, address: Address, tls: ssl.SSLContext | None, on_message: OnMessage) -> Link:
        """Connect and send op 0. Raise OSError, TimeoutError or LinkEnded."""
        host, port = address
        async with asyncio.timeout(TIMEOUT):
            options: dict[str, Any] = {"ssl": tls, "server_hostname": host} if tls else {}
            loop = asyncio.get_running_loop()
            _, link = await loop.create_connection(lambda: cls(on_message), host, port, **options)
        await link.answer("tmtprev", {"op": 0, "id": "1"})
        return link

    # requests

    def send(self, octets: bytes) -> None:
        """Send octets, unless the link has ended."""
        if self._outbox is not None:
            self._outbox.append(octets)
        elif self._transport and not self.ended.done():
            self._transport.write(octets)

    def call(self, request_id: str, octets: bytes, done: Callable[[Head], None]) -> None:
        """Send a request, and call `done` with its ack when it arrives."""
        self._asked[request_id] = done
        self.send(octets)

    async def ask(self, members: dict[str, Any], data: bytes = b"") -> Head:
        """Send a request and return its ack. Raise LinkEnded, or TimeoutError after a minute."""
        return await self._wait(members["id"], request(members, data))

    async def answer(self, op: str, members: dict[str, Any]) -> Head:
        """Send op 0, 1 or 2 and return the answer, whose op is `op`."""
        return await self._wait(f"\0{op}", request(members))

    async def _wait(self, key: str, octets: bytes) -> Head:
        if self.ended.done():
            raise LinkEnded(self.reason)
        future: asyncio.Future[Head] = self.ended.get_loop().create_future()

        def done(head: Head) -> None:
            if not future.done():
                future.set_result(head)

        self.call(key, octets, done)
        async with asyncio.timeout(TIMEOUT):
            await asyncio.wait((future, self.ended), return_when=asyncio.FIRST_COMPLETED)
        if not future.done():
            raise LinkEnded(self.reason)
        return future.result()

    async def log_in(self, uid: str, nodeid: str) -> None:
        """Send op 2. Raise LinkEnded with the server's reason if it fails."""
        await self.answer("info", {"op": 2, "uid": uid, "node": nodeid})

    async def register(self, label: str, alias: str) -> Head:
        """Send op 1 and return `registered`. Raise LinkEnded with the server's reason if it fails."""
        return await self.answer("registered", {"op": 1, "newnode": label, "newalias": alias})

    async def log_out(self) -> None:
        """Send op 12 and wait for the end. From now on, nothing is acknowledged."""
        self._leaving = True
        self.send(request({"op": 12}))
        async with asyncio.timeout(TIMEOUT):
            await asyncio.wait((self.ended,))

    def abort(self) -> None:
        """End the link without op 12."""
        if self._transport:
            self._transport.abort()

    @property
    def acknowledges(self) -> bool:
        """Whether queued messages are acknowledged."""
        return not self._leaving

    # called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Handle the messages that are now complete, and send all output in one write."""
        self._received += data
        if len(self._received) < self._needed:
            return
        self._outbox = []
        at = 0
        try:
            at = self._messages()
        finally:
            outbox, self._outbox = self._outbox, None
        del self._received[:at]
        if outbox and self._transport:
            self._transport.write(b"".join(outbox))

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)
        self._asked.clear()

    def _messages(self) -> int:
        """Handle all complete messages. Return the number of their octets."""
        buffer, at = self._received, 0
        have = len(buffer)
        while have - at >= self._needed:
            if self._head is None:
                start = at + 4
                length = int(buffer[at:start], 16)
                if have < start + length:
                    self._needed = 4 + length
                    break
                at = start + length
                self._head = _head(memoryview(buffer)[start:at])
                self._needed = self._head.datalen
            if have - at < self._needed:
                break
            end = at + self._needed
            head, self._head, self._needed = self._head, None, 4
            self._handle(head, bytes(buffer[at:end]))
            at = end
        return at

    def _handle(self, head: Head, data: bytes) -> None:
        if head.op == "ack" or head.op in _ANSWERS:
            done = self._asked.pop(head.id if head.op == "ack" else f"\0{head.op}", None)
            if done:
                done(head)
        elif head.op == "quit":
            self.reason = head.error
        else:
            self._on_message(self, head, data)
            if head.from_ and head.id and not self._leaving:
                self.send(_acknowledgement(head.id))


def _acknowledgement(msgid: str) -> bytes:
    header = b'{"id":"%b","op":10,"type":"ok"}' % msgid.encode()
    return b"%04x%b" % (len(header), header)
