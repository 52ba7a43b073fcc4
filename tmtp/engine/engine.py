"""The engine: the TMTP service of one process, made of these parts.

`store` writes to the database, or has another process do so. `dispatcher` sends waiting messages to connected nodes.
`handover` hands new messages over to other servers. `links` are the open links, and `online` are their users. `lease`
tells other processes that this one is alive. `identity` checks id_tokens. `background` runs the recurring tasks of the
links, and `housekeeping` those of the database, if the process has a store of its own.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
from collections.abc import Callable

from ..conf import conf
from ..openid.providers import parse_settings
from ..protocol import messages
from ..server.limited_log import LimitedLog
from ..services.queue.batch import Parcel
from ..store.interface import AnyStore, Deliver
from ..store.store import Store
from .background import Background
from .counters import Counters
from .dispatcher import Dispatcher
from .figures import Figures
from .handover import HandOver
from .housekeeping import Housekeeping
from .identity import IdentityCheck
from .lease import Lease
from .limits import Limits
from .links import Links
from .old_secrets import OldSecrets
from .online import Online
from .replacement import Replacement
from .servers import Servers
from .shared_limits import SharedLimits

log = logging.getLogger("tmtp")


class Engine:
    """The parts that all links of this process share. Call `start` before the first link, and `stop` after the last.

    `address` is the address that the server listens at, or empty if it is not known. `remote_store` makes the store
    of a process that has none of its own.
    """

    _current: Engine | None = None

    def __init__(self, address: str = "", remote_store: Callable[[Deliver], AnyStore] | None = None) -> None:
        self.address = address
        self.handover = HandOver(lambda: self.dispatcher.lanes, lambda: (self.lease.id,))
        self.housekeeping: Housekeeping | None = None
        self.store: AnyStore
        if remote_store:
            self.store = remote_store(self._deliver)
        else:
            self.store = store = Store(asyncio.get_running_loop(), self._deliver, self.handover.send)
            self.housekeeping = Housekeeping(store)
        self.servers = Servers(self.store)
        self.online = Online(self.servers, lambda: self.lease.id, self.handover.tell)
        self.dispatcher = Dispatcher(self.store, self.online.protect, lambda node: self.replacement.answer(node))
        self.limits = Limits()
        self.failed_logins = LimitedLog(log, "login failed from %s")
        self.refused_registrations = LimitedLog(log, "registration refused from %s")
        self.counters = Counters()
        self.links = Links(self.store, self.dispatcher, self.online, self.limits)
        self.replacement = Replacement(self.store, self.links)
        self.old_secrets = OldSecrets(self.store, self.limits)
        self.figures = Figures(self.store, self.dispatcher, self.links, self.counters)
        self.lease = Lease(self.store, self.dispatcher, self.links, address)
        openid = parse_settings(conf.OPENID)
        self.identity = IdentityCheck(openid)
        self.shared_limits = SharedLimits(self.store, self.limits, self.servers)
        self.background = Background(self)
        self.greeting = messages.tmtprev(conf.SITE_NAME, openid.announce())
        self.max_body: int = conf.MAX_BODY
        self._starting: asyncio.Future[None] | None = None
        Engine._current = self

    @classmethod
    async def current(cls) -> Engine:
        """Return the engine of this process. If it has not been started, as under daphne, start it.

        Such an engine runs until the process ends, since ASGI servers such as daphne do not say when they stop. Raise
        the error if it does not start. The next link then tries again, with a new engine.
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
        """Start the store, take a lease and start the tasks. Raise Unavailable if the database is."""
        self.counters.errors.attach()
        if self.housekeeping:
            await self.housekeeping.start()
        await self.lease.take()
        self.handover.start()
        self.background.start()

    async def drain(self, stop: asyncio.Event) -> None:
        """Close links as their clients go idle, for at most TMTP["DRAIN"] seconds or until `stop` is set."""
        self.figures.draining = True
        await self.links.drain(conf.DRAIN, stop)

    async def stop(self) -> None:
        """End all links, release the lease, and commit all that the store has been given.

        A link ends when nothing is in flight on it, or, after a moment, whatever is.
        """
        self.figures.draining = True
        self.dispatcher.stop_sending()
        await self.links.settle()
        self.background.stop()
        if self.housekeeping:
            self.housekeeping.stop()
        self.links.close_all()
        await self.links.closed()
        await self.handover.stop()
        self.lease.release()
        await self.store.stop()
        self.counters.errors.detach()
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
        """Release the lease and commit all that the store has been given. The loop has ended already."""
        self.lease.release()
        self.store.end()

    def _deliver(self, parcels: list[Parcel]) -> None:
        self.dispatcher.deliver(parcels)
