"""What goes between the process of the store and a process of links, over a Unix socket.

Each side collects what it has to say in one turn of its event loop, and sends it as one list: its length, then
MessagePack. A request that is answered has a number, `job`, which its answer repeats.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import msgspec

from ..engine.polling import News, Question
from ..services import errors
from ..services.messages.posts import Post
from ..services.people import identities, users
from ..services.queue.batch import Parcel
from ..services.queue.reports import Note
from ..store.transactions import LeaseLost, Unavailable, Uncertain

LENGTH = 4  # octets in front of each list
UNSENT_MAX = 256 * 2**20  # octets; a process that leaves so much unread does not work any more
ERRORS: dict[str, type[errors.CodedError]] = {
    error.__name__: error
    for error in (
        errors.Refused,
        errors.Unreachable,
        identities.AuthenticationRequired,
        users.LoginFailed,
        users.NodeConnected,
        LeaseLost,
        Unavailable,
        Uncertain,
    )
}


class Item(msgspec.Struct, array_like=True, tag=True, gc=False):
    """An element of a list."""


# from links


class TakeLease(Item, tag="take"):
    """`Store.take_lease`."""

    job: int
    address: str
    pid: int
    instead_of: int


class ShowFigures(Item, tag="show"):
    """This process shows the figures of the store among its own."""


class Settled(Item, tag="settled"):
    """The process has dealt with a batch, and has said what came of it."""

    batch: int


class EndLease(Item, tag="end"):
    """`Store.end_lease`."""

    lease: int


class Connected(Item, tag="on"):
    """`Store.connected`."""

    node: int


class Disconnected(Item, tag="off"):
    """`Store.disconnected`."""

    node: int


class NewPost(Item, tag="post"):
    """`Store.post`."""

    job: int
    link: int
    post: Post


class Run(Item, tag="run"):
    """`Store.run`, or `Store.do` if `job` is 0. With a receipt (node, digest), a request that may be repeated."""

    job: int
    link: int
    name: str
    arguments: msgspec.Raw
    savepoint: bool
    receipt: tuple[int | None, bytes] | None = None


class Read(Item, tag="read"):
    """`Store.read`."""

    job: int
    name: str
    arguments: msgspec.Raw


class Look(Item, tag="look"):
    """`Store.read` for a look of a `Poller`."""

    job: int
    lease: int
    question: Question


class ReadMessages(Item, tag="read_messages"):
    """`Store.read_soon` for messages that were handed over."""

    job: int
    numbers: list[int]


class Acknowledged(Item, tag="ack"):
    """`Store.acknowledge`."""

    node: int
    rank: int
    number: int


class Noted(Item, tag="note"):
    """`Store.note`."""

    note: Note


# from the store


class Number(Item, tag="number"):
    """The number of a post, or a lease that was taken."""

    job: int
    number: int


class Result(Item, tag="result"):
    """The result of a service or a query."""

    job: int
    value: msgspec.Raw


class Looked(Item, tag="looked"):
    """The result of a look."""

    job: int
    news: News


class Messages(Item, tag="messages"):
    """Messages that were handed over, for their nodes that are connected to the process."""

    job: int
    parcels: list[Parcel]


class Failed(Item, tag="failed"):
    """An error: the name of its class, its code and parameters, and further attributes (`__reduce__`)."""

    job: int
    kind: str
    code: str
    parameters: dict[str, str | int]
    state: dict[str, Any]


class Deliver(Item, tag="deliver"):
    """A message that was committed, some of whose nodes are connected to this process."""

    parcel: Parcel


class State(Item, tag="state"):
    """`Store.failures` and `Store.lost`."""

    failures: int
    lost: list[int]


class EndOfBatch(Item, tag="batch"):
    """All of a batch has been said."""

    batch: int


class StoreFigures(Item, tag="figures"):
    """`Store.figures`."""

    values: dict[str, Any]


FromLinks = (
    TakeLease
    | EndLease
    | ShowFigures
    | Settled
    | Connected
    | Disconnected
    | NewPost
    | Run
    | Read
    | Look
    | ReadMessages
    | Acknowledged
    | Noted
)
FromStore = Number | Result | Looked | Messages | Failed | Deliver | State | StoreFigures | EndOfBatch


def failed(job: int, error: errors.CodedError) -> Failed:
    """Return an error, whose class is in ERRORS, as an item."""
    _make, _arguments, *state = error.__reduce__()
    return Failed(job, type(error).__name__, error.code, error.parameters, state[0] if state else {})


def error_of(item: Failed) -> errors.CodedError:
    """Return the error of an item."""
    error = ERRORS[item.kind](item.code, **item.parameters)
    vars(error).update(item.state)
    return error


class Connection(asyncio.Protocol):
    """One end of the socket. `received` is called with each item, and `ended` once, when the other end sends no more.

    `items` is the type of the items that the other end sends.
    """

    def __init__(self, items: Any, received: Callable[[Any], None], ended: Callable[[], None]) -> None:
        self._received = received
        self._ended = ended
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(list[items])
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._unread = b""
        self._unsent: list[Item] = []

    def put(self, item: Item) -> None:
        """Send an item together with all others of this turn of the event loop."""
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(item)

    @property
    def has_unsent(self) -> bool:
        """Return whether something was put in this turn of the event loop."""
        return bool(self._unsent)

    def finish(self) -> None:
        """Send what was put, and no more."""
        self._flush()
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.write_eof()

    def close(self) -> None:
        """Send what was put, and close."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def _flush(self) -> None:
        items, self._unsent = self._unsent, []
        if not items or self._transport is None:
            return
        octets = self._encoder.encode(items)
        self._transport.write(len(octets).to_bytes(LENGTH, "big") + octets)
        if self._transport.get_write_buffer_size() > UNSENT_MAX:
            self._transport.abort()

    # called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Pass on the items of the lists that are complete."""
        octets = self._unread + data if self._unread else data
        at = 0
        while (start := at + LENGTH) <= len(octets):
            end = start + int.from_bytes(octets[at:start], "big")
            if end > len(octets):
                break
            for item in self._decoder.decode(memoryview(octets)[start:end]):
                self._received(item)
            at = end
        self._unread = octets[at:]

    def eof_received(self) -> bool:
        self._end()
        return True  # what this end still has to say is sent

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._end()

    def _end(self) -> None:
        ended, self._ended = self._ended, _nothing
        ended()


def _nothing() -> None:
    """Do nothing: the end was noticed before."""
