"""A network between a server and PostgreSQL that can be cut."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path
from urllib.parse import quote, unquote


class Relay:
    """Stands between a server and PostgreSQL, and can let everything vanish that goes either way."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self._path = folder / ".s.PGSQL.5432"
        real = unquote(database_url.rpartition("host=")[2])
        self._real = f"{real}/.s.PGSQL.5432"
        self.database_url = database_url.replace(quote(real), quote(str(folder)))
        self._flows = asyncio.Event()
        self._flows.set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, listener: socket.socket | None = None) -> None:
        """Listen on a Unix socket, or where a test says."""
        if listener:
            self._server = await asyncio.start_server(self._join, sock=listener)
        else:
            self._server = await asyncio.start_unix_server(self._join, self._path)

    def swallow(self) -> None:
        """Let nothing through, and do not say so."""
        self._flows.clear()

    def pass_on(self) -> None:
        """Let everything through that comes from now on over new connections."""
        self._flows.set()

    def drop(self) -> None:
        """End all connections on the side of PostgreSQL, as it does itself when it notices that a client is gone."""
        for task in self._tasks:
            task.cancel()

    async def stop(self) -> None:
        """End all connections."""
        self._server.close()
        self._flows.set()
        self.drop()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await self._flows.wait()
        if not self._flows.is_set():
            return  # the test has ended
        there, back = await asyncio.open_unix_connection(self._real)
        for source, target in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._copy(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                await self._flows.wait()
                target.write(data)
        except OSError:
            pass
        finally:
            target.close()
