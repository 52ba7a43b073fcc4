"""The service of one process: its store, dispatcher, presence and limits, and the links that are open."""

from __future__ import annotations

import asyncio
import atexit
import logging
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from django.db.models import Max

from ..conf import conf
from ..models import Message, QueueEntry
from ..openid.providers import parse_settings
from ..protocol import errors, messages
from ..protocol.errors import Quit
from ..protocol.requests import OidcToken
from ..services.messages import sweeping
from ..services.people import users
from ..services.people.identities import IdentityShown
from ..services.people.privacy import Privacy
from ..services.queue import leases, receipts
from ..services.queue.batch import Parcel, without_batch
from ..services.storage.hints import GROUP, shared_layer
from ..services.storage.numbers import numbers
from ..store.store import Store
from ..store.transactions import Unavailable
from .dispatcher import Dispatcher, Lane
from .limits import Limits
from .presence import Change, Presence
from .site_signal import Doorbell

if TYPE_CHECKING:
    from ..openid.tokens import Verifier

log = logging.getLogger("tmtp")
TICK = 1.0
HEARTBEAT = 5.0
SWEEP = 10.0
FAREWELL = 2.0  # what links get to send their last words, when the server stops


class Link(Protocol):
    """What the engine knows of an open link: `tmtp.links.session.Session`."""

    address: str
    sender: users.LoggedIn | None
    lease: int  # the server's, under which the link logged in
    lane: Lane | None

    def send(self, parcel: Parcel) -> None:
        """Send a message from the queue."""

    def tell(self, frame: bytes) -> None:
        """Send a frame that others cause."""

    def greet(self, contacts: list[str]) -> None:
        """Tell the client that it has logged in, and which of its contacts are online."""

    def close(self, reason: str | None = None) -> None:
        """End the link."""

    def is_overdue(self, now: float) -> bool:
        """Return whether the client has been silent for too long."""


class Engine:
    """Everything that links of this process share. `start` before the first link, `stop` after the last."""

    _current: Engine | None = None

    def __init__(self) -> None:
        self.dispatcher = Dispatcher(self._protect)
        self.presence = Presence()
        self.limits = Limits()
        self.store = Store(asyncio.get_running_loop(), self.dispatcher.deliver)
        self.sessions: set[Link] = set()
        self._openid = parse_settings(conf.OPENID)
        self._verifier: Verifier | None = None  # made when the first token comes
        self.greeting = messages.tmtprev(conf.SITE_NAME, self._openid.announce())
        self.max_body: int = conf.MAX_BODY
        self.lease = 0
        self._address = ""
        self._tidy_at = 0.0
        self._failures = 0  # the store's that were looked into
        self._claimed: set[int] = set()  # nodes that the database has as connected here, and that are not
        self._tasks: list[asyncio.Future[None]] = []
        self._online: dict[str, set[Link]] = {}  # by uid
        self._starting: asyncio.Future[None] | None = None
        Engine._current = self

    @classmethod
    async def current(cls) -> Engine:
        """The engine of this process; started at the first link when nobody has yet (as under daphne).

        Such an engine ends with the process: ASGI servers do not say that they stop, daphne at least.
        Raises what keeps it from starting; the next link tries again, with another one.
        """
        engine = cls._current
        if engine is None:
            engine = cls()
            engine._starting = asyncio.ensure_future(engine._start_or_end())
            atexit.register(engine._end_with_process)
        if engine._starting:
            await asyncio.shield(engine._starting)
        return engine

    async def _start_or_end(self) -> None:
        try:
            await self.start("")
        except BaseException:
            await self.stop()
            raise

    def _end_with_process(self) -> None:
        """The loop has ended: commit what was handed in, give up the lease."""
        self._release()
        self.store.end()

    async def start(self, address: str) -> None:
        """Take a lease for `address` and begin. Raises Unavailable when the database is."""
        self._address = address
        self.store.start()
        await self.store.run(None, without_batch(_prepare))
        await self._take_lease()
        works = (self._tick, self._poll, self._listen, self._sweep, Doorbell().work)
        self._tasks = [asyncio.ensure_future(work()) for work in works]

    async def stop(self) -> None:
        """Close all links, commit what was handed in, give up the lease."""
        for task in self._tasks:
            task.cancel()
        for session in self.sessions:
            session.close()
        last = time.monotonic() + FAREWELL
        while self.sessions and time.monotonic() < last:
            await asyncio.sleep(0.02)
        self._release()
        await self.store.stop()
        atexit.unregister(self._end_with_process)
        if Engine._current is self:
            Engine._current = None

    def _release(self) -> None:
        if self.lease:
            self.store.do(None, without_batch(leases.release, self.lease))

    # links

    def open(self, link: Link) -> bool:
        """Take in a new link; return False when its address has too many."""
        if not self.limits.open(link.address):
            return False
        self.sessions.add(link)
        return True

    def welcome(self, session: Link, sender: users.LoggedIn, lease: int) -> None:
        """A link has logged in under a lease: greet it, and begin to deliver."""
        assert sender.node is not None
        session.sender = sender
        session.lease = lease
        session.greet(self.presence.arrive(sender.uid, sender.privacy))
        self._online.setdefault(sender.uid, set()).add(session)
        session.lane = self.dispatcher.attach(sender.node, session.send, session.close)

    def farewell(self, session: Link) -> None:
        """A link has ended."""
        self.sessions.discard(session)
        self.limits.close(session.address)
        if session.incoming:
            session.incoming.abandon()
        if session.lane is None or session.sender is None:
            return
        self.dispatcher.detach(session.lane)
        session.lane = None  # so that nothing holds on to the session
        sender = session.sender
        self._online[sender.uid].discard(session)
        if not self._online[sender.uid]:
            del self._online[sender.uid]
        self._tell(self.presence.leave(sender.uid))
        # By now this server may have another lease, under which the node may have come again.
        assert sender.node is not None
        gone = without_batch(users.disconnect, sender.node, session.lease)
        self.store.do(session, gone, savepoint=False)

    def announce(self, uid: str, others: Iterable[str], *, online: bool) -> None:
        """A user begins or ends to announce their presence to others (op 4)."""
        self._tell((self.presence.add if online else self.presence.drop)(uid, others))

    def _protect(self, chosen: dict[str, Privacy]) -> None:
        """What users have chosen on the website about who sees them online."""
        for uid, privacy in chosen.items():
            self._tell(self.presence.protect(uid, privacy))

    def _tell(self, changes: Iterable[Change]) -> None:
        frames: dict[tuple[str, int], bytes] = {}
        for uid, other, status in changes:
            for session in self._online.get(other, ()):
                frame = frames.get((uid, status)) or frames.setdefault((uid, status), messages.ohi(uid, status))
                session.tell(frame)

    # who may come in

    @property
    def identity_needed(self) -> bool:
        """Whether a login needs an identity shown lately (`auth` 2)."""
        return self._openid.auth == 2 and not self._openid.optional

    async def identity(self, oidc: OidcToken | None, *, to_register: bool) -> IdentityShown | None:
        """Who a token says it is, None without one. Raises Quit when it is not valid, or needed and not there."""
        if not self._openid.auth:
            return None
        if oidc is None:
            if to_register and not self._openid.optional:
                raise Quit(errors.AUTHENTICATION_REQUIRED)
            return None
        from ..openid.tokens import OpenIDError, Verifier  # 10 MB of cryptography, only for sites that need it

        self._verifier = self._verifier or Verifier(self._openid)
        try:
            claims = await asyncio.to_thread(self._verifier.verify, oidc.id_token)
        except OpenIDError as error:
            log.info("an id_token was refused: %s", error)
            raise Quit(errors.AUTHENTICATION_REQUIRED) from error
        return IdentityShown(claims.iss, claims.sub, claims.token_hash, datetime.fromtimestamp(claims.exp, UTC))

    def may_register(self, shown: IdentityShown | None) -> bool:
        """Whether registration is open, or to someone whom a provider vouches for."""
        return bool(conf.OPEN_REGISTRATION or shown)

    # what goes on all the time

    async def _tick(self) -> None:
        """Look after time: silent links, unacknowledged messages, the lease."""
        while True:
            await asyncio.sleep(TICK)
            try:
                now = time.monotonic()
                for session in [session for session in self.sessions if session.is_overdue(now)]:
                    session.close()
                self.dispatcher.resend(now)
                if self.store.lease_lost:
                    await self._start_over()
                if self._claimed or self._failures != self.store.failures:
                    await self._let_go()
                if now >= self._tidy_at:
                    self._tidy_at = now + HEARTBEAT
                    await self._tidy()
            except Unavailable as error:
                log.warning("%s", error)
            except Exception:
                log.exception("the service could not be looked after")

    async def _tidy(self) -> None:
        """Forget old receipts and rates; it commits, so the lease is renewed too."""
        self.limits.forget()
        while await self.store.run(None, without_batch(receipts.purge)) == receipts.PURGED_AT_ONCE:
            pass

    async def _let_go(self) -> None:
        """Free the nodes that seem connected since the database was away as they came or went.

        Twice in a row, as a node that has just logged in seems so too.
        """
        self._failures = self.store.failures
        found = await self.store.run(None, without_batch(leases.nodes, self.lease)) - self.dispatcher.lanes.keys()
        for node in found & self._claimed:
            self.store.do(None, without_batch(users.disconnect, node, self.lease))
        self._claimed = found

    async def _start_over(self) -> None:
        """Another server thought this one dead, so its nodes may be elsewhere: let all links come again."""
        log.error("this server's lease was ended by another; closing all links")
        for session in list(self.sessions):
            session.close()
        await self._take_lease()

    async def _take_lease(self) -> None:
        lease = await self.store.run(None, without_batch(leases.take, self._address))
        self.lease = self.store.lease = lease.pk
        self.dispatcher.start(self.store, lease.pk)

    async def _poll(self) -> None:
        """The database is the ground truth for what other processes send."""
        while True:
            await asyncio.sleep(conf.POLL)
            self.dispatcher.look()

    async def _sweep(self) -> None:
        """Remove, little by little, what races and crashes have left behind."""
        sweeper = sweeping.Sweeper()
        while True:
            await asyncio.sleep(SWEEP)
            try:
                found = await asyncio.to_thread(sweeper.look)
                if found:
                    await self.store.run(None, without_batch(sweeping.apply, found))
            except Unavailable as error:
                log.warning("%s", error)
            except Exception:
                log.exception("nothing could be swept")

    async def _listen(self) -> None:
        """Hints over a channel layer that processes share make the next look come at once."""
        layer: Any = shared_layer()
        while layer is not None:
            try:
                channel = await layer.new_channel()
                await layer.group_add(GROUP, channel)
                while True:
                    await layer.receive(channel)
                    self.dispatcher.look()
            except Exception as error:
                log.warning("the channel layer gives no hints: %s", error)
                await asyncio.sleep(HEARTBEAT)


def _prepare() -> None:
    """What a server does once, before its first link."""
    message = Message.objects.aggregate(last=Max("pk"))["last"]
    entry = QueueEntry.objects.aggregate(last=Max("message_id"))["last"]  # of a post that came to nothing, perhaps
    numbers.start_after(max(message or 0, entry or 0))
