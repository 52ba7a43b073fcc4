"""The service of one process: made of its parts, started and stopped.

The parts: `store` writes; `dispatcher` sends to connected nodes what waits for them; `links` are the open links,
`online` the users behind them; `lease` tells other processes that this one lives; `identity` checks id_tokens; and
`background` has the tasks that go on all the time.
"""

from __future__ import annotations

import asyncio
import atexit

from django.db.models import Max

from ..conf import conf
from ..models import Message, QueueEntry
from ..openid.providers import parse_settings
from ..protocol import messages
from ..services.queue.batch import without_batch
from ..services.storage.numbers import numbers
from ..store.store import Store
from .background import Background
from .dispatcher import Dispatcher
from .identity import IdentityCheck
from .lease import Lease
from .limits import Limits
from .links import Links
from .online import Online


class Engine:
    """Everything that links of this process share. `start` before the first link, `stop` after the last.

    `address` is where the server listens, empty when it does not know.
    """

    _current: Engine | None = None

    def __init__(self, address: str = "") -> None:
        self.store = Store(asyncio.get_running_loop(), lambda parcels: self.dispatcher.deliver(parcels))
        self.online = Online()
        self.dispatcher = Dispatcher(self.store, self.online.protect)
        self.limits = Limits()
        self.links = Links(self.store, self.dispatcher, self.online, self.limits)
        self.lease = Lease(self.store, self.dispatcher, self.links, address)
        openid = parse_settings(conf.OPENID)
        self.identity = IdentityCheck(openid)
        self.background = Background(self.store, self.dispatcher, self.links, self.lease, self.limits)
        self.greeting = messages.tmtprev(conf.SITE_NAME, openid.announce())
        self.max_body: int = conf.MAX_BODY
        self._starting: asyncio.Future[None] | None = None
        Engine._current = self

    @classmethod
    async def current(cls) -> Engine:
        """Return the engine of this process. The first link starts it when nobody has yet (as under daphne).

        Such an engine ends with the process: ASGI servers do not say that they stop, daphne at least.
        Raise what keeps it from starting; the next link tries again, with another one.
        """
        engine = cls._current
        if engine is None:
            engine = cls()
            engine._starting = asyncio.ensure_future(engine._start_or_end())
            atexit.register(engine._end_with_process)
        if engine._starting:
            await asyncio.shield(engine._starting)
        return engine

    async def start(self) -> None:
        """Take a lease and begin. Raise Unavailable when the database is."""
        self.store.start()
        await self.store.run(None, without_batch(_prepare))
        await self.lease.take()
        self.background.start()

    async def stop(self) -> None:
        """Close all links, commit what was handed in, give up the lease."""
        self.background.stop()
        self.links.close_all()
        await self.links.closed()
        self.lease.release()
        await self.store.stop()
        atexit.unregister(self._end_with_process)
        if Engine._current is self:
            Engine._current = None

    async def _start_or_end(self) -> None:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise

    def _end_with_process(self) -> None:
        """Commit what was handed in and give up the lease, when the loop has ended."""
        self.lease.release()
        self.store.end()


def _prepare() -> None:
    """Number new messages after all that are in the database, whatever the clock says."""
    message = Message.objects.aggregate(last=Max("pk"))["last"]
    entry = QueueEntry.objects.aggregate(last=Max("message_id"))["last"]  # of a post that came to nothing, perhaps
    numbers.start_after(max(message or 0, entry or 0))
