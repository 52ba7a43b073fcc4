"""Carries short notices to servers, each known by the number of its lease.

With a channel layer that processes share, over a group for each server. Without one, on PostgreSQL over LISTEN and
NOTIFY, and on SQLite over a Unix socket beside the database for each server. Nothing here is reliable: what is lost is
found in another way.

The first letter of a notice says what it is: POSTED, with the numbers of new messages, which are in the database
(`engine.polling`); MARKED, when a node of the server may be marked; or SAID, what another server says
(`engine.peers`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from asgiref.sync import async_to_sync
from django.db import connection

from .dialect import fetch
from .hints import PAUSE, listen_to, shared_layer
from .locks import path_of
from .outages import Outage

log = logging.getLogger("tmtp")
_listening = Outage(
    "the database hands over no messages of other processes: %s", "the database hands over messages again"
)
_notifying = Outage(
    "the database did not take what was handed over: %s", "the database takes what is handed over again"
)
_sending = Outage(
    "the channel layer did not take what was handed over: %s", "the channel layer takes what is handed over again"
)
POSTED, MARKED, SAID = "p", "m", "s"
Routes = dict[int, list[int]]  # numbers of messages, by the server's lease
Notice = tuple[int, str]  # the lease of the server that it is for, and the notice
Take = Callable[[str], object]
OCTETS = 7000  # of a notice, in ASCII: PostgreSQL takes less than 8,000
AT_ONCE = 400  # numbers of 16 digits in a notice
TRIES, PAUSE_OF_SOCKET = 50, 0.005  # a receiver's queue may have room for ten notices only
_NOTIFY = {
    "postgresql": "SELECT pg_notify(channel, payload) FROM unnest(%s::text[], %s::text[]) AS handed (channel, payload)"
}


def posted(routes: Routes) -> list[Notice]:
    """Return the notices of new messages."""
    return [(server, POSTED + _pack(some)) for server, some in _chunks(routes)]


def numbers_of(notice: str) -> list[int]:
    """Return the numbers of a notice of new messages. Log a notice that is not understood."""
    try:
        return [int(number, 16) for number in notice[1:].split(",")]
    except ValueError:
        log.warning("what was handed over is not understood: %.100r", notice)
        return []


def send_now(notices: Sequence[Notice]) -> None:
    """Send notices, from a thread, with its connection to the database and outside of a transaction.

    A failure of the channel layer or of a socket is only logged. Raise what the database raises.
    """
    layer = shared_layer()
    if not notices:
        return
    if layer is not None:
        async_to_sync(_send_over_layer)(layer, notices)
    elif connection.vendor == "postgresql":
        # A transaction that only notifies writes nothing that PostgreSQL would wait for the disk with.
        fetch(_NOTIFY, _columns(notices))
    else:
        for server, notice in notices:
            _send_to_socket(server, notice)


class Sender:
    """Sends notices from the event loop. A failure is only logged, the first of several in a row."""

    def __init__(self) -> None:
        self._connection: Any = None  # to PostgreSQL

    async def send(self, notices: Sequence[Notice]) -> None:
        """Send notices, in order."""
        layer = shared_layer()
        if layer is not None:
            await _send_over_layer(layer, notices)
        elif connection.vendor == "postgresql":
            await self._notify(notices)
        else:
            for server, notice in notices:
                for _ in range(TRIES):
                    if _send_to_socket(server, notice):
                        break
                    await asyncio.sleep(PAUSE_OF_SOCKET)

    async def _notify(self, notices: Sequence[Notice]) -> None:
        from psycopg import Error

        try:
            if self._connection is None or self._connection.closed:
                self._connection = await _connect_to_postgresql()
            await self._connection.execute(_NOTIFY["postgresql"], _columns(notices))
            _notifying.over()
        except (Error, OSError) as error:
            _notifying.met(error)
            await self.close()

    async def close(self) -> None:
        """Close the connection that was used, if any."""
        used, self._connection = self._connection, None
        if used is not None:
            await used.close()


async def _send_over_layer(layer: Any, notices: Iterable[Notice]) -> None:
    """Send notices. A failure is only logged."""
    try:
        for server, notice in notices:
            await layer.group_send(_name(server), {"type": "tmtp.notice", "notice": notice})
        _sending.over()
    except Exception as error:
        _sending.met(error)


def _send_to_socket(server: int, notice: str) -> bool:
    """Send a notice to a server's socket. Return False if the server has more to read than fits."""
    path = _socket_path(server)
    if path is None:
        return True
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        try:
            sender.sendto(notice.encode(), str(path))
        except BlockingIOError:
            return False
        except OSError:  # the server is gone
            pass
    return True


async def listen(server: int, take: Take, listening: Callable[[bool], object]) -> None:
    """Call `take` with the notices for a server, until the task is cancelled. Return when none can be received.

    `listening` is called with True before, and again when notices may have been lost; with False when none arrive.
    """
    if shared_layer() is not None:
        await listen_to(_name(server), lambda message: take(str(message.get("notice"))), listening)
    elif connection.vendor == "postgresql":
        await _listen_to_postgresql(server, take, listening)
    else:
        await _listen_to_socket(server, take, listening)


async def _connect_to_postgresql() -> Any:
    from psycopg import AsyncConnection

    parameters: Any = {"keepalives_idle": 30, **connection.get_connection_params()}
    for name in ("context", "cursor_factory", "server_side_binding"):  # of Django's own connections
        parameters.pop(name, None)
    return await AsyncConnection.connect(**parameters, autocommit=True)


async def _listen_to_postgresql(server: int, take: Take, listening: Callable[[bool], object]) -> None:
    """Listen over a connection of its own, and connect again when it is lost."""
    from psycopg import Error

    while True:
        try:
            async with await _connect_to_postgresql() as listener:
                ((process,),) = await (await listener.execute("SELECT pg_backend_pid()")).fetchall()
                if process != listener.info.backend_pid:
                    log.info("nothing is handed over through a pool: messages of other processes come a little later")
                    return
                await listener.execute(f"LISTEN {_name(server)}")
                _listening.over()
                listening(True)
                async for notification in listener.notifies():
                    take(notification.payload)
        except (Error, OSError) as error:
            listening(False)
            _listening.met(error)
            await asyncio.sleep(PAUSE)


async def _listen_to_socket(server: int, take: Take, listening: Callable[[bool], object]) -> None:
    path = _socket_path(server)
    if path is None:
        return
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.setblocking(False)
        try:
            path.unlink(missing_ok=True)
            receiver.bind(str(path))
            path.chmod(os.stat(connection.settings_dict["NAME"]).st_mode & 0o666)  # for whoever may write to both
        except OSError as error:  # the path may be too long, for example
            log.warning("messages of other processes come a little later: %s: %s", path, error)
            return

        def read() -> None:
            with suppress(BlockingIOError):
                while True:
                    take(receiver.recv(65536).decode(errors="replace"))

        loop.add_reader(receiver, read)
        listening(True)
        try:
            await loop.create_future()
        finally:
            loop.remove_reader(receiver)
            forget(server)


def forget(server: int) -> None:
    """Remove the socket of a server that has ended."""
    if connection.vendor == "sqlite":
        path = _socket_path(server)
        if path is not None:
            with suppress(OSError):
                path.unlink()


def _pack(numbers: Sequence[int]) -> str:
    return ",".join([f"{number:x}" for number in numbers])


def _chunks(routes: Routes) -> Iterator[tuple[int, list[int]]]:
    for server, numbers in routes.items():
        for start in range(0, len(numbers), AT_ONCE):
            yield server, numbers[start : start + AT_ONCE]


def _columns(notices: Iterable[Notice]) -> tuple[list[str], list[str]]:
    names, texts = zip(*((_name(server), notice) for server, notice in notices), strict=True)
    return list(names), list(texts)


def _name(server: int) -> str:
    return f"tmtp_server_{server}"


def _socket_path(server: int) -> Path | None:
    path = path_of(server)
    return path and path.with_suffix(".socket")
