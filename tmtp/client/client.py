"""The client: handlers for what arrives, and a method for each request."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NoReturn, TypeVar

from ..protocol.requests import TO_GROUP, TO_GROUP_WITHOUT_ME, TO_USER
from ..protocol.values import PING_MAX_UNITS, utf16_units
from ..services.errors import Refused
from ..services.messages.attachments import attachments_of
from ..services.messages.post_format import Letter, Person, checked, compose
from .connection import Connection, log_out
from .device_file import Device, DeviceFile
from .errors import ClientError
from .events import Event, Presence, event_of
from .link import Head, Link
from .server_address import ServerAddress

SMALL = 64 * 1024  # octets of data that are sent at once
REMEMBERED = 2000  # messages: more than a server sends before it gets an acknowledgement (TMTP["WINDOW"])
Kind = TypeVar("Kind", bound="Event | Presence")
Handler = Callable[[Kind], Awaitable[object] | object]


@dataclass(frozen=True)
class Group:
    """A group as a recipient."""

    gid: str
    without_me: bool = False


@dataclass(frozen=True)
class Sent:
    """The id and the time that the server has given to a message."""

    id: str
    posted: str


Recipient = str | Person | Group


class Client:
    """A device, and its link to a server. See docs/how-to/client.md.

    `server` is HOST:PORT, or =HOST:PORT if the certificate is self-signed. `device` is the path of the device's file,
    or a Device. The device is registered at its first start, with this alias and label. `cafile` has the certificates
    to trust. `oidc` is an OpenID provider's answer, for servers that want one to register.

    Raise ClientError for an address that is none, or a file that cannot be read.
    """

    def __init__(
        self,
        server: str,
        device: str | os.PathLike[str] | Device,
        *,
        alias: str = "",
        label: str = "",
        cafile: str | Path | None = None,
        oidc: Mapping[str, Any] | None = None,
    ) -> None:
        self._connection = Connection(
            ServerAddress.parse(server),
            DeviceFile(device),
            self._receive,
            self._online,
            alias=alias,
            label=label,
            cafile=cafile,
            oidc=oidc,
        )
        self._handlers: dict[type, Handler[Any]] = {}
        self._arrived: asyncio.Queue[tuple[Link, Head, IO[bytes]] | Presence] = asyncio.Queue()
        self._handled: deque[str] = deque(maxlen=REMEMBERED)
        self._running: asyncio.Task[None] | None = None

    # who and where

    @property
    def uid(self) -> str:
        """The user's uid, or an empty string before the device is registered."""
        return self._connection.device.uid

    @property
    def alias(self) -> str:
        """The alias that the client sends under, or an empty string."""
        return self._connection.device.alias

    @property
    def site(self) -> str:
        """The name of the site, once the client has connected."""
        return self._connection.site

    # running

    def on(self, kind: type[Kind]) -> Callable[[Handler[Kind]], Handler[Kind]]:
        """Make the decorated function, async or not, the handler of this kind of event.

        A message is acknowledged when its handler has returned, and at once if its kind has none.
        """

        def decorate(handler: Handler[Kind]) -> Handler[Kind]:
            self._handlers[kind] = handler
            return handler

        return decorate

    async def run(self) -> None:
        """Stay connected, and handle what arrives, one after the other, until this task is cancelled.

        Raise what a handler raises: its message is not acknowledged, and arrives again next time. Raise ClientError if
        the server does not accept the device, its alias or its certificate.
        """
        self._connection.begin()
        self._arrived = asyncio.Queue()
        tasks = [asyncio.ensure_future(self._connection.keep()), asyncio.ensure_future(self._handle_all())]
        failure: BaseException = ClientError("the client has ended")
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except ClientError as error:
            failure = error
            raise
        finally:
            link = self._connection.end(failure)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if link:
                await log_out(link)

    async def __aenter__(self) -> Client:
        """Run, and wait until the client is logged in. Raise as `run` does."""
        self._running = asyncio.ensure_future(self.run())
        await asyncio.sleep(0)
        try:
            await self._connection.link()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Log out. Raise what a handler has raised meanwhile."""
        await self._stop()

    async def _stop(self) -> None:
        assert self._running
        self._running.cancel()
        await asyncio.wait((self._running,))
        if not self._running.cancelled():
            self._running.result()

    def _receive(self, link: Link, head: Head, data: IO[bytes]) -> None:
        if head.op == "ohi":
            self._arrived.put_nowait(Presence(self, head.from_, head.status == 1))
        elif head.from_ and head.id:
            self._arrived.put_nowait((link, head, data))

    def _online(self, uids: list[str]) -> None:
        for uid in uids:
            self._arrived.put_nowait(Presence(self, uid, online=True))

    async def _handle_all(self) -> NoReturn:
        while True:
            arrived = await self._arrived.get()
            if isinstance(arrived, Presence):
                await self._handle(arrived)
                continue
            link, head, data = arrived
            with data:
                if link.ended.done():
                    continue  # it arrives again
                if head.id not in self._handled:
                    await self._handle(event_of(self, head, data))
                    self._handled.append(head.id)
                self._connection.acknowledge(head.id)

    async def _handle(self, event: Event | Presence) -> None:
        handler = self._handlers.get(type(event))
        if handler:
            result = handler(event)
            if inspect.isawaitable(result):
                await result

    # requests: all wait for a link, and raise RequestRefused if the server refuses them

    async def request(self, members: Mapping[str, Any], data: bytes = b"") -> Head:
        """Send any operation that is acknowledged (docs/reference/protocol.md). The `id` is added."""
        return await self._connection.ask(members, data)

    async def send(
        self,
        to: Recipient | Iterable[Recipient],
        subject: str,
        text: str,
        *,
        thread: str = "",
        attachments: Sequence[Any] = (),
    ) -> Sent:
        """Send a message: the text is CommonMark. Return when the server has it on disk for all who get it.

        `to` are uids, Persons or Groups. `thread` is that of the message that is answered. Attachments are paths, or
        tuples (name, bytes or str). Raise ClientError if a file cannot be read.
        """
        recipients = [to] if isinstance(to, Recipient) else list(to)
        try:
            letter = self._letter(recipients, subject, text, thread, attachments)
        except Refused as error:
            raise ClientError(str(error)) from error
        members = {"op": 7, "for": [_recipient(one) for one in recipients], "datahead": letter.datahead}
        try:
            if letter.size <= SMALL:
                return _sent(await self.request(members, b"".join(letter.pieces())))
            members["datalen"] = letter.size
            return _sent(await self._connection.ask(members, pieces=letter.pieces))
        except Refused as error:  # a file has changed
            raise ClientError(str(error)) from error

    def _letter(
        self, to: Sequence[Recipient], subject: str, text: str, thread: str, attachments: Sequence[Any]
    ) -> Letter:
        me = Person(self.alias, self.uid)
        readers = [me, *(_reader(one) for one in to)]
        files = attachments_of(attachments)
        subject, text, thread = checked(subject, text, thread)
        return compose(me, subject, text, thread=thread, readers=readers, attachments=files)

    async def ping(self, to: str, text: str, *, alias: str = "") -> Sent:
        """Send a line of text, at most 140 UTF-16 units, to an alias, from `alias` or the client's own one."""
        members = {"op": 9, "from": alias or self.alias, "to": to}
        return _sent(await self.request(members, _line(text)))

    async def invite(self, group: str, to: str, text: str = "", *, alias: str = "") -> Sent:
        """Invite an alias to a group, which is created if there is none."""
        members = {"op": 5, "gid": group, "from": alias or self.alias, "to": to}
        return _sent(await self.request(members, _line(text)))

    async def join(self, group: str, *, alias: str = "") -> None:
        """Join a group, under `alias` or the one that was invited."""
        await self.request({"op": 6, "act": "join", "gid": group, **({"newalias": alias} if alias else {})})

    async def leave(self, group: str, *, alias: str = "") -> None:
        """Leave a group in which one is a member under `alias` or the client's own one."""
        await self.remove(group, alias or self.alias)

    async def remove(self, group: str, member: str) -> None:
        """Remove a member, by alias, from a group."""
        await self.request({"op": 6, "act": "drop", "gid": group, "to": member})

    async def announce(self, uids: Iterable[str]) -> None:
        """Tell these users, and no others, that this user is online: now, and after each reconnection."""
        self._connection.announced = list(uids)
        await self.request(self._connection.presence)

    async def add_alias(self, alias: str) -> None:
        """Add an alias to the user."""
        await self.request({"op": 3, "newalias": alias})

    async def add_device(self, label: str) -> None:
        """Add a device to the user. Its `nodeid` arrives as an event of the kind Other, whose `op` is user."""
        await self.request({"op": 3, "newnode": label})


def _recipient(to: Recipient) -> dict[str, Any]:
    if isinstance(to, Group):
        return {"id": to.gid, "type": TO_GROUP_WITHOUT_ME if to.without_me else TO_GROUP}
    return {"id": to.uid if isinstance(to, Person) else to, "type": TO_USER}


def _reader(to: Recipient) -> Person:
    if isinstance(to, Group):
        return Person(to.gid, to.gid)
    return to if isinstance(to, Person) else Person(to, to)


def _sent(head: Head) -> Sent:
    return Sent(head.msgid, head.posted)


def _line(text: str) -> bytes:
    """Encode the text of a ping or an invitation. Raise ClientError if it is too long, or not Unicode."""
    try:
        units, octets = utf16_units(text), text.encode()
    except UnicodeEncodeError as error:
        raise ClientError(f"the text is not Unicode: {error.reason}") from error
    if units > PING_MAX_UNITS:
        raise ClientError(f"the text has {units} UTF-16 units, and may have {PING_MAX_UNITS}")
    return octets
