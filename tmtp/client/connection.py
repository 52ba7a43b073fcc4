"""Keep a device logged in: connect, register or log in, and connect again when the link has ended.

A request whose link ends before its ack is sent again over the next one, with the same id. The server carries it out
once (docs/decisions/0006-receipts.md).
"""

from __future__ import annotations

import asyncio
import io
import logging
import random
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NoReturn

from ..protocol import errors as reasons
from .device_file import DeviceFile
from .errors import AliasRefused, CertificateRefused, ClientError, LoginRefused, RequestRefused
from .link import Head, Link, LinkEnded, request
from .server_address import ServerAddress

log = logging.getLogger("tmtp.client")
PULSE_EVERY = 50.0  # seconds; the server ends a link that is silent for two minutes
FIRST_WAIT, LONGEST_WAIT = 1.0, 120.0  # seconds between two attempts to connect
LOGOUT_WAIT = 5.0  # seconds
SPOOL_ABOVE = 1024 * 1024  # octets of data that are kept in memory
NO_ALIAS = "_"
_rng = random.SystemRandom()
# With these reasons a server refuses a device. It would do so again.
_FINAL = {reasons.LOGIN_FAILED, reasons.CORRUPT_BASE32, reasons.AUTHENTICATION_REQUIRED, reasons.REGISTER_FAILURE}
# With these it refuses a request. The request is not sent again.
_INVALID = {
    reasons.INVALID_HEADER,
    reasons.INVALID_HEADER_LENGTH,
    reasons.DATA_TOO_LONG,
    reasons.DATA_TOO_SHORT,
    reasons.DATA_NOT_UTF8,
    reasons.RECIPIENTS_EMPTY,
}
Receive = Callable[[Link, Head, IO[bytes]], None]
Pieces = Callable[[], Iterator[bytes]]


class Connection:
    """The links of one device, one after another. `receive` is called with each message, `online` with uids."""

    def __init__(
        self,
        server: ServerAddress,
        file: DeviceFile,
        receive: Receive,
        online: Callable[[list[str]], None],
        *,
        alias: str = "",
        label: str = "",
        cafile: str | Path | None = None,
        oidc: Mapping[str, Any] | None = None,
    ) -> None:
        self.server, self._file, self.device = server, file, file.device
        self._receive, self._online = receive, online
        self._alias, self._label, self._oidc = alias, label, oidc
        self._pinned = server.self_signed and not cafile
        self._tls = server.tls(cafile)
        self._now: Link | None = None
        self._failure: BaseException | None = ClientError("the client does not run: use `async with` or `run()`")
        self.announced: list[str] = []
        self.site = ""  # the name of the site

    # links

    def begin(self) -> None:
        """Let requests wait for a link from now on."""
        self._failure, self._changed = None, asyncio.Event()

    async def keep(self) -> NoReturn:
        """Stay connected for ever, after `begin`. Raise ClientError if the server does not want this device."""
        wait = FIRST_WAIT
        while True:
            begun = time.monotonic()
            reason = await self._connect_once()
            if time.monotonic() - begun > wait:
                wait = FIRST_WAIT
            pause = wait * _rng.uniform(0.5, 1)
            log.warning("%s: no link (%s), connecting again in %.1f s", self.server, reason, pause)
            await asyncio.sleep(pause)
            wait = min(2 * wait, LONGEST_WAIT)

    async def _connect_once(self) -> str:
        """Connect, and stay connected until the link ends. Return the reason."""
        try:
            link = await self._open()
            self._now = link
            self._changed.set()
            await self._stay(link)
            return str(LinkEnded(link.reason))
        except ssl.SSLCertVerificationError as error:
            raise CertificateRefused(
                f"{self.server} has no certificate that is valid for it: {error.verify_message}. If it is self-signed,"
                " write “=” in front of the address."
            ) from error
        except TimeoutError as error:
            return str(error) or "it does not answer"
        except (OSError, LinkEnded) as error:
            return str(error) or type(error).__name__
        finally:
            self._now = None
            self._changed.clear()

    async def _open(self) -> Link:
        """Return a link that is logged in. Raise OSError, LinkEnded or ClientError."""

        def make() -> Link:
            link = Link(self._receive_small, self._receive, acknowledge=False)
            link.spool_above = SPOOL_ABOVE
            return link

        link = await Link.connect((self.server.host, self.server.port), self._tls, make)
        try:
            link.notice_silence()
            if self._pinned:
                self.device.pin = self.server.checked_pin(link.certificate, self.device.pin)
            self.site = (await link.greet()).name
            await self._identify(link)
            await self._take_alias(link)
            if self.announced:
                await link.ask(self._with_id(self.presence))
        except BaseException:
            link.abort()
            raise
        return link

    async def _identify(self, link: Link) -> None:
        """Log in, or register if the device is not registered yet."""
        try:
            if self.device.nodeid:
                self._online((await link.log_in(self.device.uid, self.device.nodeid)).ohi)
            else:
                await self._register(link)
        except LinkEnded as error:
            if str(error) in _FINAL:
                raise LoginRefused(self._explained(str(error))) from error
            raise

    async def _register(self, link: Link) -> None:
        self._file.save()  # if it cannot be written, nobody is registered
        more = {"oidc": dict(self._oidc)} if self._oidc else {}
        head = await link.register(self._label or "device", self._alias or NO_ALIAS, **more)
        if not head.uid or not head.nodeid:
            raise LinkEnded("the server has registered the device without a uid or a nodeid")
        self.device.uid, self.device.nodeid = head.uid, head.nodeid
        self.device.alias = "" if head.error else self._alias
        self._file.save()
        if head.error:
            raise AliasRefused(head.error)

    async def _take_alias(self, link: Link) -> None:
        if self._alias and self.device.alias != self._alias:
            head = await link.ask(self._with_id({"op": 3, "newalias": self._alias}))
            if head.error:
                raise AliasRefused(head.error)
            self.device.alias = self._alias
        self._file.save()

    def _explained(self, reason: str) -> str:
        advice = ""
        if reason == reasons.AUTHENTICATION_REQUIRED:
            advice = ". Create the device on the website, and put its uid and nodeid into the device's file."
        elif self.device.nodeid:
            advice = ". It does not know this device, or not any more. Without its file, the device registers again."
        return f"{self.server}: {reason}{advice}"

    async def _stay(self, link: Link) -> None:
        """Send pulses until the link ends."""
        while not link.ended.done():
            await asyncio.wait((link.ended,), timeout=PULSE_EVERY)
            link.send(request({"op": 11}))

    def _receive_small(self, link: Link, head: Head, data: bytes) -> None:
        self._receive(link, head, io.BytesIO(data))

    # requests

    @property
    def presence(self) -> dict[str, Any]:
        """The request that announces the user to all of `announced`, and to nobody else."""
        return {"op": 4, "type": "init", "for": [{"id": uid} for uid in self.announced]}

    async def link(self) -> Link:
        """Return the link, once there is one. Raise the error with which the client has ended."""
        while self._now is None or self._now.ended.done():
            if self._failure:
                raise self._failure
            self._changed.clear()
            await self._changed.wait()
        return self._now

    def acknowledge(self, msgid: str) -> None:
        """Acknowledge a message over the link of now. Without one, the server sends the message again."""
        if self._now:
            self._now.acknowledge(msgid)

    async def ask(self, members: Mapping[str, Any], data: bytes = b"", pieces: Pieces | None = None) -> Head:
        """Send a request and return its ack. The data is `data`, or `datalen` octets in `pieces`.

        Wait for a link, and send it again if the link ends before the ack. Raise RequestRefused.
        """
        numbered = self._with_id(members)
        try:
            request(numbered, data)
        except ValueError as error:  # too long, or not Unicode
            raise ClientError(f"this cannot be sent: {error}") from error
        while True:
            link = await self.link()
            try:
                head = await (link.upload(numbered, _read(pieces)) if pieces else link.ask(numbered, data))
            except LinkEnded as error:
                if link.reason in _INVALID:
                    raise RequestRefused(link.reason) from error
                continue
            except TimeoutError:
                link.abort()
                continue
            if head.error:
                raise RequestRefused(head.error)
            return head

    def _with_id(self, members: Mapping[str, Any]) -> dict[str, Any]:
        return {"id": secrets.token_hex(8), **members}

    def end(self, failure: BaseException) -> Link | None:
        """Let requests raise `failure` from now on. Return the link, if there is one."""
        self._failure = failure
        self._changed.set()
        return self._now


async def log_out(link: Link) -> None:
    """End a link in order, if the server is there."""
    try:
        async with asyncio.timeout(LOGOUT_WAIT):
            await link.log_out()
    except TimeoutError:
        link.abort()


async def _read(pieces: Pieces) -> AsyncIterator[bytes]:
    """Yield the pieces. A thread reads them, since they may come from a slow disk."""
    reading = pieces()
    while (piece := await asyncio.to_thread(next, reading, None)) is not None:
        yield piece
