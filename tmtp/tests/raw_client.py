"""A client that sends exactly what a test asks for, over TLS."""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import Any

PATIENCE = 25.0  # seconds for a message: less than RESEND_AFTER, when one that got lost would be sent again
Frame = tuple[dict[str, Any], bytes]


class LoginRefused(Exception):
    """The server has refused a login."""


def _client_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


TLS = _client_context()


def frame(data: bytes = b"", **members: Any) -> bytes:
    """Return a request. `for_` and `from_` stand for the members `for` and `from`, which are Python keywords."""
    header = {key.rstrip("_"): value for key, value in members.items()}
    if data:
        header.setdefault("datalen", len(data))
    octets = json.dumps(header).encode()
    return b"%04x%b%b" % (len(octets), octets, data)


class Client:
    """One link. It sends requests exactly as given, and returns frames one after another."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.uid = self.nodeid = ""
        self.pending: list[Frame] = []  # frames received while waiting for another one

    def send(self, data: bytes = b"", **members: Any) -> None:
        """Send a request."""
        self.writer.write(frame(data, **members))

    async def register(self, alias: str = "_") -> None:
        """Op 1."""
        self.send(op=1, newnode="test", newalias=alias)
        header, _ = await self.receive()
        assert header["op"] == "registered", header
        assert "error" not in header, header
        self.uid, self.nodeid = header["uid"], header["nodeid"]
        header, _ = await self.receive()
        assert header == {"op": "info", "info": "login ok"}, header

    def post(self, request_id: str, to: list[str], body: bytes, **members: Any) -> None:
        """Op 7, to uids."""
        self.send(body, op=7, id=request_id, for_=[{"id": uid, "type": 1} for uid in to], **members)

    def acknowledge(self, msgid: str) -> None:
        """Op 10."""
        self.send(op=10, id=msgid, type="ok")

    async def head(self) -> dict[str, Any]:
        """Return the next frame's header, without reading its data. Raise IncompleteReadError at the end."""
        length = int(await self.reader.readexactly(4), 16)
        header: dict[str, Any] = json.loads(await self.reader.readexactly(length))
        return header

    async def receive(self, timeout: float = PATIENCE) -> Frame:
        """Return the next frame."""
        if self.pending:
            return self.pending.pop(0)
        async with asyncio.timeout(timeout):
            header = await self.head()
            return header, await self.reader.readexactly(header.get("datalen") or header.get("notelen") or 0)

    async def expect(self, timeout: float = PATIENCE, **members: Any) -> Frame:
        """Return the next frame that has these members. Keep frames before it for later."""
        async with asyncio.timeout(timeout):
            passed: list[Frame] = []
            while True:
                header, data = await self.receive(timeout)
                if header.items() >= members.items():
                    self.pending = passed + self.pending
                    return header, data
                passed.append((header, data))

    async def leave(self) -> None:
        """Op 12. The node is free then."""
        self.send(op=12)
        assert await self.ended() == "logout ok"

    async def ended(self, timeout: float = PATIENCE) -> str | None:
        """Wait for the end of the link, and return the reason of the `quit`, if there was one."""
        reason = None
        try:
            while True:
                header, _ = await self.receive(timeout)
                if header.get("op") == "quit":
                    reason = header["error"]
        except (OSError, asyncio.IncompleteReadError):
            return reason
        finally:
            self.close()

    def close(self) -> None:
        """Cut the link."""
        self.writer.transport.abort()
