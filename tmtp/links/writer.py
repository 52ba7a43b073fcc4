"""Send what a session has to send, all of one turn of the event loop in one write.

As long as the peer keeps up, no task is needed: `send` of this project's server writes when it is called, and returns
a finished future. A task is started for a peer that does not keep up, for a body from the spool, or if `send` of
another ASGI server has to be awaited.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, BinaryIO, cast

from ..services.queue.batch import Parcel
from ..services.storage import spool
from ..services.storage.object_storage import StorageUnavailable
from ..services.storage.spool import Spooled
from ..services.storage.unreadable import Unreadable, report
from .session import Outbox, Session, nobody
from .uploads import disk, transfers

log = logging.getLogger("tmtp")
READ_OCTETS = 128 * 1024
CACHED_NANOSECONDS = 60 * 10**9  # the age of a message up to which the system surely still knows where its file is
BROKEN_FOR = 600.0  # seconds for which a body is not tried that could not be read to its end
PIECE = 64 * 1024  # longer frames are sent in pieces of this size
_fetching: dict[str, asyncio.Future[None]] = {}  # bodies that links of this process wait for
_broken: dict[str, float] = {}  # when a link of this process could not read a body to its end
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Writer:
    """The writer of one session. `finished` is done when the link is closed."""

    def __init__(self, session: Session, send: Send) -> None:
        self._session = session
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._due = False  # whether a flush is scheduled
        self._task: asyncio.Task[None] | None = None  # sends what takes longer
        self.finished: asyncio.Future[None] = self._loop.create_future()
        session.wake = self.wake

    def wake(self) -> None:
        """Schedule a flush, so that all frames of this turn of the event loop are sent together."""
        if not self._due:
            self._due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._due = False
        if self._task is None and not self.finished.done():
            outbox = self._session.outgoing()
            frames = _frames(outbox) if outbox and self._session.unsent_octets <= PIECE else None
            if frames:
                self._write(outbox, frames)
            elif outbox or self._session.closing:
                self._task = self._loop.create_task(self._work(outbox))

    def _write(self, outbox: Outbox, frames: list[bytes]) -> None:
        """Send frames at once, or leave it to a task if `send` has to wait."""
        waiter = self._send({"type": "tcp.send", "data": b"".join(frames)})
        if isinstance(waiter, asyncio.Future) and waiter.done():
            self._session.was_sent(outbox)
            if self._session.closing:
                self.wake()
        else:
            self._task = self._loop.create_task(self._work(outbox, waiter))

    async def _work(self, outbox: Outbox, waiter: Awaitable[None] | None = None) -> None:
        """Send until the outbox is empty, then close the link if the session is closing."""
        try:
            if waiter is not None:
                await waiter
            else:
                await self._send_all(outbox)
            self._session.was_sent(outbox)
            while outbox := self._session.outgoing():
                await self._send_all(outbox)
                self._session.was_sent(outbox)
        except OSError:
            self._session.close()  # the client is gone
            self._session.outgoing()
        except Exception:
            log.exception("a link failed")
            self._session.close()
            self._session.outgoing()
        self._task = None
        if self._session.closing and not self.finished.done():
            self.finished.set_result(None)
            self._session.wake = nobody
            await self._send({"type": "tcp.close", "unread": self._session.connection.expects_more})

    async def _send_all(self, outbox: Outbox) -> None:
        for item in tuple(outbox):
            if not isinstance(item, Parcel):
                await self._send_frame(item)
            elif item.spooled:
                if not await self._send_spooled(item, item.spooled):
                    outbox.remove(item)
            else:
                await self._send_frame(item.frame)

    async def _send_frame(self, frame: bytes) -> None:
        """Send a frame, a large one in pieces, so that TLS buffers little and the peer sets the pace."""
        view = memoryview(frame)
        for at in range(0, len(view), PIECE):
            await self._send({"type": "tcp.send", "data": view[at : at + PIECE]})
            self._session.moved = time.monotonic()

    async def _send_spooled(self, parcel: Parcel, body: Spooled) -> bool:
        """Send a frame whose body is in the spool. Return whether it is done with; if not, it was postponed.

        The head goes together with the first piece of the body.
        """
        left = body.size
        try:
            _check(body)
            file = await self._open(parcel, body)
        except FileNotFoundError:
            self._session.give_up(parcel)
            return True
        except OSError as error:
            return self._postpone(parcel, error)
        with file:
            try:
                piece = await self._read(file)
            except OSError as error:
                return self._postpone(parcel, error)
            left -= len(piece)
            piece = parcel.frame + piece  # replaces the piece, so that only one copy stays in memory while it is sent
            await self._send_frame(piece)
            while left:
                piece = await self._read_rest(file, body)
                left -= len(piece)
                await self._send_frame(piece)
        return True

    def _postpone(self, parcel: Parcel, error: OSError) -> bool:
        log.debug("message %s is sent later: %s", parcel.msgid, error)
        self._session.postpone(parcel)
        return False

    async def _open(self, parcel: Parcel, body: Spooled) -> BinaryIO:
        """Open a body, which may have to be fetched. Raise FileNotFoundError if it is gone, and OSError."""
        try:
            if time.time_ns() - parcel.number < CACHED_NANOSECONDS:
                return spool.open_here(body.name, body.size)
            return await self._loop.run_in_executor(disk, spool.open_here, body.name, body.size)
        except FileNotFoundError:
            await _fetch(body)
        try:
            return await self._loop.run_in_executor(disk, spool.open_here, body.name, body.size)
        except FileNotFoundError:  # it has just been removed to make room, or with its message
            raise StorageUnavailable from None

    async def _read(self, file: BinaryIO) -> bytes:
        """Return the next piece of a file."""
        piece = spool.read_cached(file, READ_OCTETS)
        if piece is None:
            piece = cast(bytes, await self._loop.run_in_executor(disk, file.read, READ_OCTETS))
        return piece

    async def _read_rest(self, file: BinaryIO, body: Spooled) -> bytes:
        """Return the next piece of a body that is being sent. Raise Unreadable: then the link has to end.

        The body is not tried again for BROKEN_FOR seconds. What comes after it would never be sent otherwise.
        """
        try:
            piece = await self._read(file)
            if not piece:
                raise Unreadable(errno.EIO, "its file is shorter than it was", body.name)
        except Unreadable as error:
            report(body.name, error)
            _broken[body.name] = time.monotonic()
            raise
        return piece


def _check(body: Spooled) -> None:
    """Raise Unreadable if a link has just ended while it sent this body."""
    if _broken and time.monotonic() - _broken.get(body.name, -BROKEN_FOR) < BROKEN_FOR:
        raise Unreadable(errno.EIO, "it could not be read to its end", body.name)
    _broken.pop(body.name, None)


async def _fetch(body: Spooled) -> None:
    """Fetch a body, once for all links of this process that need it. Raise as `spool.fetch` does."""
    fetching = _fetching.get(body.name)
    if fetching is None:
        fetching = asyncio.get_running_loop().run_in_executor(transfers, spool.fetch, body.name, body.size)
        _fetching[body.name] = fetching
        fetching.add_done_callback(lambda _: _fetching.pop(body.name))
    await asyncio.shield(fetching)


def _frames(outbox: Outbox) -> list[bytes] | None:
    """Return the octets to send, or None if some are in the spool."""
    frames = []
    for item in outbox:
        if not isinstance(item, Parcel):
            frames.append(item)
        elif item.spooled is None:
            frames.append(item.frame)
        else:
            return None
    return frames
