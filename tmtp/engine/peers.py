"""What servers say to each other about presence (docs/decisions/0019-presence-and-limits-across-servers.md).

A server tells all others which users come and go at it, and what changes in their presence lists. When a user comes,
each server answers with the users it has who announce themselves to that one, so that `login ok` can name them.

What servers say is numbered for each receiver, and a number goes out every other second. So a server soon notices that
it has missed something, and then asks for everything again. It forgets what a server has said when that server dies.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import count

import msgspec

from ..services.storage.handover import OCTETS, SAID, Notice
from .presence import Change, Listed, Presence
from .servers import Servers

log = logging.getLogger("tmtp")
PATIENCE = 0.5  # seconds that a login waits for the answers of other servers
QUIET = 2.0  # seconds after which a server says at least its number, and asks again for everything
PAUSE_MAX = 60.0


class Came(msgspec.Struct, tag="came", array_like=True):
    """These users have come online. To be answered with lists for them, and the number."""

    uids: list[str]
    number: int


class Left(msgspec.Struct, tag="left", array_like=True):
    """These users are no longer online here."""

    uids: list[str]


class List(msgspec.Struct, tag="list", array_like=True):
    """A user here announces to these as well, or has another privacy."""

    listed: Listed


class Drop(msgspec.Struct, tag="drop", array_like=True):
    """A user here no longer announces to these."""

    uid: str
    others: list[str]


class Users(msgspec.Struct, tag="users", array_like=True):
    """These are all the users who are online here. To be answered with lists for them, and perhaps with Users."""

    uids: list[str]
    answer: bool


class Lists(msgspec.Struct, tag="lists", array_like=True):
    """Answers Came, with its number; or Users, with 0: then these are all lists for them."""

    lists: list[Listed]
    number: int


Saying = Came | Left | List | Drop | Users | Lists


class Message(msgspec.Struct, array_like=True):
    """What one server says to another at once."""

    sender: int
    number: int
    sayings: list[Saying]


_decode = msgspec.json.Decoder(Message).decode
_encode = msgspec.json.Encoder().encode


class Stream:
    """What this server and another one say to each other."""

    def __init__(self) -> None:
        self.due: list[Saying] = []
        self.flushes = False  # whether what is due is about to be sent
        self.said = 0  # the number of the last message to it
        self.said_at = 0.0
        self.heard = 0  # the number of its last message
        self.parts: list[str] = []  # of its message that is not complete
        self.users: set[str] = set()  # who is online there
        self.wanted = False  # whether everything has to be asked for again
        self.ask_at = 0.0  # not earlier than this
        self.pause = QUIET
        self.silent = False  # whether it has not answered in time


class Peers:
    """The other servers, as far as presence is concerned.

    `send` sends notices. `tell` is called with changes that users here are told.
    """

    def __init__(
        self,
        presence: Presence,
        servers: Servers,
        own: Callable[[], int],
        send: Callable[[Sequence[Notice]], None],
        tell: Callable[[Iterable[Change]], None],
    ) -> None:
        self._presence = presence
        self._servers = servers
        self._own = own
        self._send = send
        self._tell = tell
        self._as = 0  # the lease under which the streams have begun
        self._streams: dict[int, Stream] = {}
        self._numbers = count(1)
        self._asked: dict[int, tuple[set[int], asyncio.Future[None]]] = {}  # who has not answered, by number
        self._coming: dict[str, asyncio.Future[None]] = {}
        servers.changed.append(self._servers_changed)

    # what this server says

    async def come(self, uid: str) -> None:
        """Say that a user has come, and wait for the answers of the other servers, PATIENCE at most."""
        others = set(self._servers.others)
        if not others:
            return
        if uid in self._coming:
            await asyncio.shield(self._coming[uid])
            return
        waited_for = {server for server in others if not self._stream(server).silent}
        number, answered = next(self._numbers), asyncio.get_running_loop().create_future()
        self._asked[number] = waited_for, answered
        self._coming[uid] = answered
        self._say_to(others, Came([uid], number))
        try:
            if waited_for:
                async with asyncio.timeout(PATIENCE):
                    await asyncio.shield(answered)
        except TimeoutError:
            for server in waited_for:
                self._stream(server).silent = True
                self._ask_for_all(server)
        finally:
            del self._asked[number], self._coming[uid]
            if not answered.done():
                answered.set_result(None)

    def is_coming(self, uid: str) -> bool:
        """Return whether the other servers have not answered yet that a user has come."""
        return uid in self._coming

    def say(self, *sayings: Saying) -> None:
        """Say something to all other servers."""
        for saying in sayings:
            self._say_to(self._servers.others, saying)

    def start_over(self) -> None:
        """Ask all servers for everything: this one begins to listen, or may have missed something."""
        for server in self._servers.others:
            self._ask_for_all(server)

    def keep_alive(self) -> None:
        """Say the number to servers that have heard nothing for a while, and ask again. Call it every second."""
        now = time.monotonic()
        for server in self._servers.others:
            stream = self._stream(server)
            if stream.wanted:
                self._ask_for_all(server)
            if now - stream.said_at >= QUIET:
                self._say_to([server])

    def _say_to(self, servers: Iterable[int], *sayings: Saying) -> None:
        """Say something to servers, together with all else that is said in this turn of the loop."""
        for server in servers:
            stream = self._stream(server)
            if not stream.flushes:
                stream.flushes = True
                asyncio.get_running_loop().call_soon(self._flush, server)
            stream.due += sayings
            stream.said_at = time.monotonic()

    def _flush(self, server: int) -> None:
        stream = self._streams.get(server)
        own = self._own()
        if stream is None or not own or self._as != own:
            return
        due, stream.due, stream.flushes = stream.due, [], False
        stream.said += 1
        text = _encode(Message(own, stream.said, due)).decode("ascii", "replace")
        parts = [text[start : start + OCTETS] for start in range(0, len(text), OCTETS)]
        self._send([(server, f"{SAID}{own:x} {len(parts) - 1 - at:x} {part}") for at, part in enumerate(parts)])

    def _ask_for_all(self, server: int) -> None:
        """Ask a server for everything, less and less often until it has answered."""
        stream, now = self._stream(server), time.monotonic()
        stream.wanted = True
        if now >= stream.ask_at:
            stream.ask_at, stream.pause = now + stream.pause, min(2 * stream.pause, PAUSE_MAX)
            self._say_to([server], Users(self._presence.users_here, True))

    def _stream(self, server: int) -> Stream:
        if self._as != self._own():  # a new lease: the others know nothing of it yet
            self._as = self._own()
            self._streams.clear()
        return self._streams.setdefault(server, Stream())

    # what other servers say

    def hear(self, notice: str) -> None:
        """Take a notice of what another server says."""
        try:
            sender, left, part = notice[1:].split(" ", 2)
            stream = self._stream(int(sender, 16))
            stream.parts.append(part)
            if int(left, 16):
                return
            text, stream.parts = "".join(stream.parts), []
            message = _decode(text)
        except (ValueError, msgspec.DecodeError):
            log.warning("what another server said is not understood: %.100r", notice)
            return
        self._servers.heard(message.sender)
        self._take(message)

    def _take(self, message: Message) -> None:
        stream = self._stream(message.sender)
        missed = message.number != stream.heard + 1
        stream.heard, stream.silent = message.number, False
        for saying in message.sayings:
            self._hear(message.sender, saying)
        if missed:
            self._ask_for_all(message.sender)

    def _hear(self, server: int, saying: Saying) -> None:
        presence, stream = self._presence, self._stream(server)
        match saying:
            case Came(uids, number):
                stream.users.update(uids)
                presence.come(server, uids)
                self._say_to([server], Lists(presence.listed_for(uids), number))
            case Left(uids):
                stream.users.difference_update(uids)
                self._left(server, uids)
            case List(listed):
                self._learn(server, [listed])
            case Drop(uid, others):
                dropped = presence.announces(uid, others)
                self._tell(presence.drop(uid, others))
                if dropped and presence.is_here(uid):
                    self.say(Drop(uid, others))
            case Users(uids, answer):
                stream.users = set(uids)
                presence.come(server, uids)
                if answer:
                    self._say_to([server], Users(presence.users_here, False))
                self._say_to([server], Lists(presence.listed_for(uids), 0))
            case Lists(lists, number):
                self._learn(server, lists)
                if number:
                    self._answered(server, number)
                else:
                    self._tell(presence.keep_only(server, lists, stream.users))
                    stream.wanted, stream.pause = False, QUIET

    def _left(self, server: int, uids: Sequence[str]) -> None:
        """Take over that users are no longer online at a server. Those who are coming here begin a new list."""
        self._tell(self._presence.go(server, uids))
        for uid in filter(self.is_coming, uids):
            self._tell(self._presence.begin_anew(uid))

    def _learn(self, server: int, lists: Iterable[Listed]) -> None:
        """Take over lists. Tell others what is new of users here, who are at both servers."""
        for listed in lists:
            if self._presence.is_here(listed.uid):
                new = [other for other in listed.others if not self._presence.announces(listed.uid, [other])]
                self._tell(self._presence.learn(server, listed))
                if new:
                    self.say(List(self._presence.listed(listed.uid, new)))
            else:
                self._tell(self._presence.learn(server, listed))

    def _answered(self, server: int, number: int) -> None:
        waited_for, answered = self._asked.get(number, (set(), None))
        waited_for.discard(server)
        if answered and not waited_for and not answered.done():
            answered.set_result(None)

    def _servers_changed(self) -> None:
        gone = self._streams.keys() - self._servers.others
        for server in gone:
            del self._streams[server]
            self._tell(self._presence.go(server))
            for number in list(self._asked):
                self._answered(server, number)
        for server in self._servers.others - self._streams.keys():
            self._ask_for_all(server)
