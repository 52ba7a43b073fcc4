"""One link of a client: an asyncio Protocol that parses as little as possible, since a program may hold thousands.

Answers go to the caller of the request, all other messages to `on_message`. Queued messages (those with `from` and
`id`) are acknowledged when it returns, unless `acknowledge` is off. Data above `spool_above` octets, if that is set,
goes to a temporary file and to `on_large`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import tempfile
from collections.abc import AsyncIterable, Callable
from typing import IO, Any, cast

import msgspec

from ..protocol.messages import frame
from ..services.text import visible

Address = tuple[str, int]
TIMEOUT = 60.0  # seconds


class LinkEnded(Exception):
    """The server has ended the link. The text is the reason it gave, if any."""

    def __str__(self) -> str:
        return super().__str__() or "it was cut"


class NotTmtp(Exception):
    """What has arrived is not a message of TMTP."""


class Head(msgspec.Struct):
    """The members of a header that clients need."""

    op: str
    id: str = ""
    from_: str = msgspec.field(default="", name="from")
    posted: str = ""
    datalen: int = 0
    datahead: int = 0
    msgid: str = ""
    error: str = ""
    uid: str = ""
    nodeid: str = ""
    newnode: str = ""
    newalias: str = ""
    alias: str = ""
    to: str = ""
    gid: str = ""
    act: str = ""
    status: int = 0
    name: str = ""
    auth: int = 0
    ohi: list[str] = []


_head = msgspec.json.Decoder(Head).decode
OnMessage = Callable[["Link", Head, bytes], None]
OnLarge = Callable[["Link", Head, IO[bytes]], None]
_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": 60_000}
_ANSWERS = {"tmtprev", "registered", "info"}


def request(members: dict[str, Any], data: bytes = b"") -> bytes:
    """Encode a request as octets. Raise ValueError if its header is longer than 65,535 octets."""
    return frame(msgspec.json.encode({**members, "datalen": len(data)} if data else members)) + data


class Link(asyncio.Protocol):
    """One link. The future `ended` is done when the link has ended, whoever ended it."""

    spool_above: int | None = None  # octets

    def __init__(self, on_message: OnMessage, on_large: OnLarge | None = None, *, acknowledge: bool = True) -> None:
        self._on_message, self._on_large = on_message, on_large
        self._acknowledge = acknowledge
        self._received = bytearray()
        self._file: IO[bytes] | None = None  # for the data of a large message, which is arriving
        self._needed = 4  # octets until the next step of parsing
        self._head: Head | None = None  # of the message whose data has not arrived yet
        self._outbox: list[bytes] | None = None  # output during data_received, which sends it in one write
        self._asked: dict[str, Callable[[Head], None]] = {}
        self._transport: asyncio.Transport | None = None
        self._leaving = False
        self._uploading = asyncio.Lock()
        self._held: list[bytes] = []  # what is to be sent after the upload
        self._room = asyncio.Event()  # whether the transport takes more
        self._room.set()
        self.reason = ""  # of the server's quit
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @classmethod
    async def open(cls, address: Address, tls: ssl.SSLContext | None, on_message: OnMessage, **more: Any) -> Link:
        """Connect and send op 0. Raise OSError, TimeoutError or LinkEnded. `more` is for the constructor."""
        link = await cls.connect(address, tls, lambda: cls(on_message, **more))
        await link.greet()
        return link

    @classmethod
    async def connect(cls, address: Address, tls: ssl.SSLContext | None, make: Callable[[], Link]) -> Link:
        """Connect, and send nothing yet. Raise OSError or TimeoutError."""
        host, port = address
        async with asyncio.timeout(TIMEOUT):
            options: dict[str, Any] = {"ssl": tls, "server_hostname": host} if tls else {}
            _, link = await asyncio.get_running_loop().create_connection(make, host, port, **options)
        return link

    async def greet(self) -> Head:
        """Send op 0 and return `tmtprev`. Raise LinkEnded or TimeoutError."""
        return await self.answer("tmtprev", {"op": 0, "id": "1"})

    # requests

    def send(self, octets: bytes) -> None:
        """Send octets, unless the link has ended. While `upload` sends a request, they wait for its end."""
        if self._uploading.locked():
            self._held.append(octets)
        elif self._outbox is not None:
            self._outbox.append(octets)
        else:
            self._write(octets)

    def call(self, request_id: str, octets: bytes, done: Callable[[Head], None]) -> None:
        """Send a request, and call `done` with its ack when it arrives."""
        self._asked[request_id] = done
        self.send(octets)

    async def ask(self, members: dict[str, Any], data: bytes = b"") -> Head:
        """Send a request and return its ack. Raise LinkEnded, or TimeoutError after a minute."""
        return await self._wait(members["id"], request(members, data))

    async def upload(self, members: dict[str, Any], pieces: AsyncIterable[bytes]) -> Head:
        """Send a request with data in pieces, `datalen` octets in all, as fast as the server takes them.

        Return its ack. Raise LinkEnded, or TimeoutError if the ack does not arrive within a minute after the data.
        What `pieces` raises is passed on, and the link is aborted, since the request cannot be completed.
        """
        future = self._future(members["id"])
        async with self._uploading:
            try:
                self._write(request(members))
                async for piece in pieces:
                    await self._room.wait()
                    if future.done() or self.ended.done():
                        self.abort()  # the server has refused it, or is gone
                        break
                    self._write(piece)
            except BaseException:
                self.abort()
                raise
        held, self._held = self._held, []
        self.send(b"".join(held))
        return await self._result(future)

    def _write(self, octets: bytes) -> None:
        if self._transport and not self._transport.is_closing():  # asyncio logs what is written after the end
            self._transport.write(octets)

    async def answer(self, op: str, members: dict[str, Any]) -> Head:
        """Send op 0, 1 or 2 and return the answer, whose op is `op`."""
        return await self._wait(f"\0{op}", request(members))

    async def _wait(self, key: str, octets: bytes) -> Head:
        future = self._future(key)
        self.send(octets)
        return await self._result(future)

    def _future(self, key: str) -> asyncio.Future[Head]:
        """Return a future for the answer to a request. Raise LinkEnded if the link has ended."""
        if self.ended.done():
            raise LinkEnded(self.reason)
        future: asyncio.Future[Head] = self.ended.get_loop().create_future()

        def done(head: Head) -> None:
            if not future.done():
                future.set_result(head)

        self._asked[key] = done
        return future

    async def _result(self, future: asyncio.Future[Head]) -> Head:
        async with asyncio.timeout(TIMEOUT):
            await asyncio.wait((future, self.ended), return_when=asyncio.FIRST_COMPLETED)
        if not future.done():
            raise LinkEnded(self.reason)
        return future.result()

    async def log_in(self, uid: str, nodeid: str) -> Head:
        """Send op 2 and return `info`. Raise LinkEnded with the server's reason if it fails."""
        return await self.answer("info", {"op": 2, "uid": uid, "node": nodeid})

    async def register(self, label: str, alias: str, **more: Any) -> Head:
        """Send op 1 and return `registered`. Raise LinkEnded with the server's reason if it fails."""
        return await self.answer("registered", {"op": 1, "newnode": label, "newalias": alias, **more})

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

    def notice_silence(self) -> None:
        """Have the system end the link if the other side is gone: within two minutes, or one while sending."""
        there = self._transport and self._transport.get_extra_info("socket")
        if there:
            there.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _KEEPALIVE.items():
                if hasattr(socket, name):
                    there.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def acknowledge(self, msgid: str) -> None:
        """Send op 10."""
        self.send(_acknowledgement(msgid))

    @property
    def certificate(self) -> bytes:
        """The server's certificate (DER), or nothing without TLS."""
        secured = self._transport and self._transport.get_extra_info("ssl_object")
        return (secured and secured.getpeercert(binary_form=True)) or b""

    @property
    def acknowledges(self) -> bool:
        """Return whether queued messages are acknowledged."""
        return self._acknowledge and not self._leaving

    # called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    def data_received(self, data: bytes) -> None:
        """Handle the messages that are now complete, and send all output in one write."""
        if self._file:
            data = self._keep(data)
        self._received += data
        if len(self._received) < self._needed:
            return
        self._outbox = []
        at = 0
        try:
            at = self._messages()
        except NotTmtp as error:
            self.reason = str(error)
            self.abort()
        finally:
            outbox, self._outbox = self._outbox, None
        del self._received[:at]
        if outbox:
            self._write(b"".join(outbox))

    def connection_lost(self, error: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)
        self._asked.clear()
        self._room.set()
        if self._file:
            self._file.close()

    def _messages(self) -> int:
        """Handle all complete messages. Return the number of their octets."""
        buffer, at = self._received, 0
        have = len(buffer)
        while have - at >= self._needed:
            if self._head is None:
                start = at + 4
                length = _length(buffer[at:start])
                if have < start + length:
                    self._needed = 4 + length
                    break
                at = start + length
                self._head = _parsed(memoryview(buffer)[start:at])
                self._needed = self._head.datalen
                if self.spool_above is not None and self._needed > self.spool_above:
                    at = self._begin_file(at)
                    if self._file:
                        break
                    continue
            if have - at < self._needed:
                break
            end = at + self._needed
            head, self._head, self._needed = self._head, None, 4
            self._handle(head, bytes(buffer[at:end]))
            at = end
        return at

    def _begin_file(self, at: int) -> int:
        """Put the data that follows into a file. Return where the octets begin that remain in the buffer."""
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - `on_large` closes it
        rest = self._keep(bytes(self._received[at:]))
        return len(self._received) - len(rest)

    def _keep(self, data: bytes) -> bytes:
        """Write what belongs to the file, pass it on when it is complete, and return the octets after it."""
        assert self._file and self._head
        mine, rest = data[: self._needed], data[self._needed :]
        self._file.write(mine)
        self._needed -= len(mine)
        if not self._needed:
            head, file, self._head, self._file, self._needed = self._head, self._file, None, None, 4
            file.seek(0)
            if self._on_large:
                self._on_large(self, head, file)
        return rest

    def _handle(self, head: Head, data: bytes) -> None:
        if head.op == "ack" or head.op in _ANSWERS:
            done = self._asked.pop(head.id if head.op == "ack" else f"\0{head.op}", None)
            if done:
                done(head)
        elif head.op == "quit":
            self.reason = visible(head.error)
        else:
            self._on_message(self, head, data)
            if head.from_ and head.id and self.acknowledges:
                self.acknowledge(head.id)


def _length(digits: bytearray) -> int:
    try:
        return int(digits, 16)
    except ValueError:
        raise NotTmtp("the server does not speak TMTP") from None


def _parsed(octets: memoryview) -> Head:
    try:
        head = _head(octets)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        raise NotTmtp("the server has sent an invalid header") from None
    if not 0 <= head.datahead <= head.datalen:  # a negative length would lead back in what has arrived
        raise NotTmtp("the server has sent an invalid header")
    return head


def _acknowledgement(msgid: str) -> bytes:
    header = b'{"id":"%b","op":10,"type":"ok"}' % msgid.encode()
    return b"%04x%b" % (len(header), header)
