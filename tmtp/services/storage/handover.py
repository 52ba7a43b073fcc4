"""Carries the numbers of new messages to other servers, each known by the number of its lease.

With a channel layer that processes share, over a group for each server. Without one, on PostgreSQL over LISTEN and
NOTIFY, and on SQLite over a Unix socket beside the database for each server. Nothing here is reliable: a server also
finds the messages in the database (`engine.polling`).
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from asgiref.sync import async_to_sync
from django.db import connection

from .dialect import fetch
from .hints import PAUSE, listen_to, shared_layer
from .locks import path_of

log = logging.getLogger("tmtp")
Routes = dict[int, list[int]]  # numbers of messages, by the server's lease
Notice = Callable[[list[int]], object]
AT_ONCE = 400  # numbers of 16 digits in one notification: PostgreSQL takes less than 8,000 octets
_NOTIFY = {
    "postgresql": "SELECT pg_notify(channel, payload) FROM unnest(%s::text[], %s::text[]) AS handed (channel, payload)"
}


def send_now(routes: Routes) -> None:
    """Hand numbers over to servers, from a thread, with its connection to the database and outside of a transaction.

    A failure of the channel layer or of a socket is only logged. Raise what the database raises.
    """
    layer = shared_layer()
    if not routes:
        return
    if layer is not None:
        async_to_sync(send_over_layer)(layer, routes)
    elif connection.vendor == "postgresql":
        # A transaction that only notifies writes nothing that PostgreSQL would wait for the disk with.
        channels, payloads = zip(*((_name(server), _pack(some)) for server, some in _chunks(routes)), strict=True)
        fetch(_NOTIFY, (list(channels), list(payloads)))
    else:
        _send_to_sockets(routes)


async def send_over_layer(layer: Any, routes: Routes) -> None:
    """Hand numbers over to servers, over the channel layer. A failure is only logged."""
    try:
        for server, some in _chunks(routes):
            await layer.group_send(_name(server), {"type": "tmtp.posted", "numbers": _pack(some)})
    except Exception as error:
        log.warning("the channel layer did not take what was handed over: %s", error)


def _send_to_sockets(routes: Routes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        for server, some in _chunks(routes):
            path = _socket_path(server)
            if path is None:
                return
            with suppress(OSError):  # the server is gone, or has more to read than fits
                sender.sendto(_pack(some).encode(), str(path))


async def listen(server: int, notice: Notice) -> None:
    """Call `notice` with numbers that are handed over to a server, until the task is cancelled.

    Return at once when nothing can be handed over.
    """
    if shared_layer() is not None:
        await listen_to(_name(server), lambda message: _receive(message.get("numbers"), notice))
    elif connection.vendor == "postgresql":
        await _listen_to_postgresql(server, notice)
    else:
        await _listen_to_socket(server, notice)


async def _listen_to_postgresql(server: int, notice: Notice) -> None:
    """Listen over a connection of its own, and connect again when it is lost."""
    from psycopg import AsyncConnection, Error

    parameters: Any = {"keepalives_idle": 30, **connection.get_connection_params()}
    for name in ("context", "cursor_factory", "server_side_binding"):  # of Django's own connections
        parameters.pop(name, None)
    while True:
        try:
            async with await AsyncConnection.connect(**parameters, autocommit=True) as listener:
                ((process,),) = await (await listener.execute("SELECT pg_backend_pid()")).fetchall()
                if process != listener.info.backend_pid:
                    log.info("nothing is handed over through a pool: messages of other processes come a little later")
                    return
                await listener.execute(f"LISTEN {_name(server)}")
                async for notification in listener.notifies():
                    _receive(notification.payload, notice)
        except (Error, OSError) as error:
            log.warning("the database hands over no messages of other processes: %s", error)
            await asyncio.sleep(PAUSE)


async def _listen_to_socket(server: int, notice: Notice) -> None:
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
                    _receive(receiver.recv(65536).decode(errors="replace"), notice)

        loop.add_reader(receiver, read)
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


def _receive(payload: object, notice: Notice) -> None:
    try:
        numbers = [int(number, 16) for number in str(payload).split(",")]
    except ValueError:
        log.warning("what was handed over is not understood: %.100r", payload)
        return
    notice(numbers)


def _pack(numbers: Sequence[int]) -> str:
    return ",".join([f"{number:x}" for number in numbers])


def _chunks(routes: Routes) -> Iterator[tuple[int, list[int]]]:
    for server, numbers in routes.items():
        for start in range(0, len(numbers), AT_ONCE):
            yield server, numbers[start : start + AT_ONCE]


def _name(server: int) -> str:
    return f"tmtp_server_{server}"


def _socket_path(server: int) -> Path | None:
    path = path_of(server)
    return path and path.with_suffix(".socket")
