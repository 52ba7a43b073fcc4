"""The session of a link, without its socket: it takes octets, handles requests in order, and returns frames to send.

The consumer passes octets to `receive`. The writer sends what `outgoing` returns. Requests take effect in the order in
which they arrive. Posts do not wait for each other's commit; all other requests wait for their own.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from ..conf import conf
from ..engine.dispatcher import Lane
from ..engine.engine import Engine
from ..engine.presence import ONLINE
from ..protocol import errors, messages
from ..protocol.connection import NEED_DATA, Connection
from ..protocol.errors import Quit
from ..protocol.requests import Op, Request
from ..services.errors import CodedError, Refused
from ..services.messages.posts import Post, cost_of
from ..services.people.users import LoggedIn
from ..services.queue.batch import Parcel, Service
from ..services.storage.object_storage import StorageUnavailable
from ..services.storage.spool import INLINE_OCTETS
from ..store.transactions import Unavailable
from .uploads import SLOW_AFTER, Incoming, Whole

log = logging.getLogger("tmtp")
T = TypeVar("T")
PENDING_POSTS = 64
PENDING_OCTETS = 256 * 1024
OUTBOX_OCTETS = 256 * 1024
OUTBOX_FRAMES = 20_000
PING_OCTETS = 420
PAUSE, PAUSE_MAX = 0.1, 5.0  # seconds without reading after a request over a limit, and after many at once
Outbox = list[bytes | Parcel]
Handler = Callable[["Session", Request], Awaitable[None] | None]


class Session:
    """The state of one link. `sender` is set once it has logged in.

    `accepted` is the time.monotonic() at which the link began, and `counted` whether the server has counted it.
    """

    def __init__(self, engine: Engine, address: str, accepted: float | None = None, *, counted: bool = False) -> None:
        self.engine = engine
        self.address = address
        self.counted = counted
        self.connection = Connection()
        self.sender: LoggedIn | None = None
        self.lease = 0  # the lease of this server under which the link logged in
        self.lane: Lane | None = None
        self.heard = time.monotonic()
        self.moved = 0.0  # when the client took some of what is sent to it
        self._receiving = False  # whether what has arrived is being handled
        self.opened = self.heard if accepted is None else accepted
        self.asked_to_log_in = False
        self.closing = False
        self.request: Request | None = None  # the request that is being received
        self.incoming: Whole | Incoming | None = None  # its data
        self.wake: Callable[[], None] = nobody  # called when there is something to send; set by the writer
        self._outbox: Outbox = []
        self.unsent_octets = 0  # in the outbox, or being sent
        self._pending = 0  # posts in the store
        self._pending_octets = 0
        self._uploading = 0  # octets of the large body that is being received
        self._over_limit = 0  # requests that were refused since the last pause
        self._header_since: float | None = None  # when an incomplete header began, or was first waited for
        self._eased: asyncio.Future[None] | None = None  # done when fewer posts or octets are pending

    # receiving

    async def receive(self, data: bytes, handlers: Mapping[int, Handler]) -> None:
        """Handle the requests that these octets complete. Raise Quit to end the link."""
        self.heard = time.monotonic()
        self._receiving = True
        connection = self.connection
        connection.receive_data(data)
        events = False
        while not self.closing and (event := connection.next_event()) is not NEED_DATA:
            events = True
            if isinstance(event, Request):
                self._begin(event)
                if event.data is None:
                    continue
                if isinstance(self.incoming, Incoming):
                    await self.incoming.add(event.data)
            elif isinstance(event, bytes):
                assert isinstance(self.incoming, Incoming)
                await self.incoming.add(event)
                continue
            await self._complete(handlers)
        if self._over_limit:
            pause, self._over_limit = min(PAUSE_MAX, self._over_limit * PAUSE), 0
            if isinstance(self.incoming, Incoming):
                self.incoming.excuse(pause)
            await asyncio.sleep(pause)  # read less from a client that asks for more than it may
        if not connection.header_octets:
            self._header_since = None
        elif events or self._header_since is None:
            self._header_since = time.monotonic()
        self._receiving = False

    @property
    def is_idle(self) -> bool:
        """Return whether no request, answer or message is in flight, in either direction."""
        if self._receiving or self._pending or self.unsent_octets or not self.connection.is_between_requests:
            return False
        return self.lane is None or self.lane.is_idle

    def _begin(self, request: Request) -> None:
        self.request = request
        self.incoming = self._data_of(request) if request.datalen else None
        if self.sender is None and request.op in (Op.LOGIN, Op.REGISTER):
            self.asked_to_log_in = True

    def _data_of(self, request: Request) -> Whole | Incoming:
        parts = lengths(request, self.engine.max_body)
        incoming: Whole | Incoming
        if request.data is not None and max(parts) <= INLINE_OCTETS:
            incoming = Whole(request.raw, request.data, parts)
        else:
            incoming = Incoming(request.raw, parts)
        if request.op in (Op.POST, Op.POSTNOTIFY):
            incoming.refused = self._begin_post(request, incoming.spooled_octets)
        return incoming

    def _begin_post(self, request: Request, spooled: int) -> Refused | None:
        """Count a post. Return why it is refused, if that is too much. Nothing of its data is kept then."""
        assert self.sender is not None
        count = len(request.recipients) + len(request.notefor or ())
        cost = cost_of(request.recipients, request.notefor)
        try:
            self.engine.limits.spend_post(self.sender.uid, count, cost, request.datalen)
        except Refused as refused:
            return refused
        return self._begin_upload(spooled, self.sender.uid) if spooled else None

    def _begin_upload(self, octets: int, uid: str) -> Refused | None:
        """Count the upload of a large body. Return why it is refused, if the user has too many."""
        limits = self.engine.limits
        if not limits.hold("uploads_per_user", uid):
            return Refused("too_many_uploads", most=conf.limit("uploads_per_user") or 0)
        if not limits.hold("upload_octets_per_user", uid, octets):
            limits.release("uploads_per_user", uid)
            return Refused("too_many_upload_octets")
        self._uploading = octets
        return None

    def _end_upload(self) -> None:
        if self._uploading and self.sender:
            self.engine.limits.release("uploads_per_user", self.sender.uid)
            self.engine.limits.release("upload_octets_per_user", self.sender.uid, self._uploading)
            self._uploading = 0

    async def _complete(self, handlers: Mapping[int, Handler]) -> None:
        request, self.request = self.request, None
        assert request is not None
        if self.incoming is None or not self._is_refused(request, self.incoming):
            waits = handlers[request.op](self, request)
            if waits is not None:
                await waits
        self.incoming = None
        self._end_upload()
        while self._crowded() and not self.closing:
            await self._ease()

    def _is_refused(self, request: Request, incoming: Whole | Incoming) -> bool:
        """Answer and discard a request whose data was not received. Return whether it is one."""
        if incoming.refused:
            self.refuse_over_limit(request, incoming.refused)
        elif isinstance(incoming.error, StorageUnavailable):
            self.refuse(request.id, Unavailable("storage_unavailable"))
        elif incoming.error:
            self.refuse(request.id, Unavailable("spool_unavailable"))
        else:
            return False
        incoming.abandon()
        return True

    # sending

    def greet(self, contacts: list[str]) -> None:
        """Tell the client that it has logged in, and which of its contacts are online.

        Contacts that do not fit into the answer follow one by one, as if they came online now.
        """
        self.connection.logged_in()
        self.write(messages.login_ok(contacts[: messages.CONTACTS_MAX]))
        for uid in contacts[messages.CONTACTS_MAX :]:
            self.write(messages.ohi(uid, ONLINE))

    def write(self, frame: bytes) -> None:
        """Send a frame. All frames of one turn of the event loop are sent together."""
        self._outbox.append(frame)
        self.unsent_octets += len(frame)
        self.wake()

    def send(self, parcel: Parcel) -> None:
        """Send a message from the queue."""
        self._outbox.append(parcel)
        self.unsent_octets += len(parcel.frame)
        self.wake()

    def probe(self) -> None:
        """Send a `login` message that is in no queue. A client acknowledges it, and the ack is ignored (op 10)."""
        if self.sender and not self.unsent_octets:
            self.write(messages.queued_message("login", time.time_ns(), self.sender.uid, 0, {"node": "tbd"}))

    def tell(self, frame: bytes) -> None:
        """Send a frame that another user has caused. Close the link if too many frames are unsent."""
        if len(self._outbox) < OUTBOX_FRAMES:
            self.write(frame)
        else:
            self.close()

    def refuse(self, request_id: str, error: CodedError) -> None:
        """Answer a request with an error."""
        self.engine.counters.refusals[error.code] += 1
        self.write(messages.ack_error(request_id, str(error)))

    def refuse_over_limit(self, request: Request, refused: CodedError) -> None:
        """Answer that the user has asked for too much, and read from the link more slowly."""
        self._over_limit += 1
        self.refuse(request.id, refused)

    def outgoing(self) -> Outbox:
        """Return all that is to be sent now. If that is nothing and the session is closing, the link can be closed."""
        outbox, self._outbox = self._outbox, []
        return outbox

    def give_up(self, parcel: Parcel) -> None:
        """Acknowledge a message for its node because its spool file is gone, unless the node has just done so."""
        if self.lane and parcel.msgid in self.lane.flight:
            log.error("message %s cannot be delivered: its file in the spool is gone or damaged", parcel.msgid)
            self.engine.dispatcher.acknowledge(self.lane, parcel.msgid)

    def postpone(self, parcel: Parcel) -> None:
        """Send a message again later instead of now, since its body cannot be read."""
        self.unsent_octets -= len(parcel.frame)
        if self.lane:
            self.engine.dispatcher.postpone(self.lane, parcel, time.monotonic())

    def was_sent(self, outbox: Outbox) -> None:
        """Note that these frames and messages have been sent."""
        now = time.monotonic()
        for item in outbox:
            if type(item) is Parcel:
                self.unsent_octets -= len(item.frame)
                if self.lane:
                    self.engine.dispatcher.sent(self.lane, item, now)
            else:
                self.unsent_octets -= len(item)  # type: ignore[arg-type]
        self._relieve()

    def close(self, reason: str | None = None) -> None:
        """End the link. Send a `quit` first if there is a reason and the protocol allows it."""
        if self.closing:
            return
        if reason and reason != errors.LOGOUT_OK:
            self.engine.counters.refusals[reason] += 1
        if reason and self.connection.may_say_quit:
            self.write(messages.quit_message(reason))
        self.closing = True
        self.wake()
        self._relieve()

    def end(self) -> None:
        """Close the session after the link has ended, and drop a request that is incomplete."""
        if self.incoming:
            self.incoming.abandon()
        self._end_upload()
        self.close()

    # the store

    def submit(self, post: Post, octets: int, done: Callable[[int | Exception], None]) -> None:
        """Pass a post to the store. `done` is called with its number, or with the error."""
        self._pending += 1
        self._pending_octets += octets

        def finished(result: int | Exception) -> None:
            self._pending -= 1
            self._pending_octets -= octets
            done(result)
            self._relieve()

        self.engine.store.post(self, post, finished)

    async def run(self, service: Service[T], *, savepoint: bool = True) -> T:
        """Run a service in the store, after the link's earlier requests. Return its result, or raise its error."""
        return await self.engine.store.run(self, service, savepoint=savepoint)

    async def settle(self) -> None:
        """Wait until the store has finished all posts of this link."""
        while self._pending:
            await self._ease()

    def _crowded(self) -> bool:
        return (
            self._pending >= PENDING_POSTS
            or self._pending_octets >= PENDING_OCTETS
            or self.unsent_octets >= OUTBOX_OCTETS
        )

    async def _ease(self) -> None:
        """Backpressure: wait until fewer posts or octets are pending. Nothing is read from the link meanwhile."""
        self._eased = asyncio.get_running_loop().create_future()
        await self._eased

    def _relieve(self) -> None:
        if self._eased and not self._eased.done():
            self._eased.set_result(None)

    # time

    def is_overdue(self, now: float) -> bool:
        """Return whether the client has been silent for too long, or sends a request too slowly. Refuse it then."""
        if self.sender is None:
            return not self.asked_to_log_in and now - self.opened > float(conf.LOGIN_TIMEOUT)
        if isinstance(self.incoming, Incoming) and self.incoming.is_busy:
            return False  # nothing is read meanwhile
        return self._is_slow(now) or now - self.heard > float(conf.IDLE_TIMEOUT)

    def _is_slow(self, now: float) -> bool:
        least = conf.limit("upload_octets_per_second")
        if least is None:
            return False
        if not isinstance(self.incoming, Incoming):
            return self._is_slow_header(now, least)
        if not self.incoming.is_slow(now, least):
            return False
        if self.request and not self.closing:
            self.refuse(self.request.id, Refused("data_too_slow", least=least))
        return True

    def _is_slow_header(self, now: float, least: int) -> bool:
        """Return whether a header is incomplete after SLOW_AFTER seconds, with less than `least` octets per second."""
        if self._header_since is None or self._receiving:
            return False
        seconds = now - self._header_since
        return seconds > SLOW_AFTER and self.connection.header_octets < least * seconds


def nobody() -> None:
    """Do nothing: there is no writer yet."""


def lengths(request: Request, max_body: int) -> list[int]:
    """Return the octets of each part of a request's data. Raise Quit if they are too many or too few for its op."""
    if request.op == Op.POSTNOTIFY:
        if request.datalen <= request.notelen:
            raise Quit(errors.DATA_TOO_SHORT)
        if request.fornotself and not request.recipients:
            raise Quit(errors.RECIPIENTS_EMPTY)
        if request.datahead > request.datalen - request.notelen:
            raise Quit(errors.INVALID_HEADER)
    most = max_body if request.op in (Op.POST, Op.POSTNOTIFY) else PING_OCTETS
    if request.datalen > most:
        raise Quit(errors.DATA_TOO_LONG)
    if request.op == Op.POSTNOTIFY:
        return [request.notelen, request.datalen - request.notelen]
    return [request.datalen]
