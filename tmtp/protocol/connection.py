"""The server's side of one link as a state machine: octets in, events out (tmtp.md sections 1 and 4).

Pass octets to `receive_data` as they arrive, then call `next_event` until it returns NEED_DATA. Each request makes
these events:

- a `Request`: the header, whose fields are valid and whose op is legal in this state. If all of its data has arrived
  as well, it is in `data`, and the request is complete. Otherwise `data` is None, and these events follow:
- bytes: the next piece of the data, `datalen` octets in all;
- END_OF_MESSAGE: the request is complete.

`next_event` raises `Quit` if the client breaks the protocol, and must not be called again after that. It parses no
further than the event it returns, so the caller can finish a login before the request behind it is parsed.
"""

from __future__ import annotations

import binascii
from enum import Enum, IntEnum, auto

from . import errors
from .errors import Quit
from .requests import Op, Request, parse_header

HEADER_MIN = 8
HEADER_MAX_BEFORE_LOGIN = 8 * 1024  # octets; an id_token fits. Afterwards, four hex digits are the limit


class State(IntEnum):
    """The state of a link. The first three are indexes of _VERDICTS."""

    NEW = 0
    GREETED = 1
    LOGGED_IN = 2
    FAILED = 3


class Signal(Enum):
    """The events without content."""

    NEED_DATA = auto()
    END_OF_MESSAGE = auto()


NEED_DATA = Signal.NEED_DATA
END_OF_MESSAGE = Signal.END_OF_MESSAGE
Event = Request | bytes | Signal

LEGAL = ""
# For each state, whether each op (0 to 12) is legal or ends the link, and the reason to give.
_VERDICTS: tuple[tuple[str, ...], ...] = (
    (LEGAL, *2 * [errors.TMTPREV_OMITTED], *10 * [errors.OP_UNAUTHENTICATED]),
    (errors.OP_REPETITION, LEGAL, LEGAL, *10 * [errors.OP_UNAUTHENTICATED]),
    (errors.OP_REPETITION, *2 * [errors.OP_CONNECTED], *10 * [LEGAL]),
)


class Connection:
    """One link. It begins in state NEW; op 0 makes it GREETED; the caller reports a successful login."""

    __slots__ = ("_at", "_buffer", "_ending", "_greeted", "_left", "state")

    def __init__(self) -> None:
        self.state = State.NEW
        self._buffer = b""
        self._at = 0  # where in the buffer the next event begins
        self._left = 0  # octets of data that have not arrived
        self._ending = False  # whether END_OF_MESSAGE is the next event
        self._greeted = False

    @property
    def may_say_quit(self) -> bool:
        """Return whether the client may be sent a `quit` with the reason: only after it has completed op 0."""
        return self._greeted

    @property
    def expects_more(self) -> bool:
        """Return whether part of the data of a request has not arrived yet."""
        return len(self._buffer) - self._at < self._left

    @property
    def is_between_requests(self) -> bool:
        """Return whether no part of a request has arrived that is not complete yet."""
        return not (self._left or self._ending) and self._at >= len(self._buffer)

    @property
    def header_octets(self) -> int:
        """How many octets of a header have arrived that is not complete yet, its length included."""
        return 0 if self._left or self._ending else len(self._buffer) - self._at

    def logged_in(self) -> None:
        """Record that the server has accepted op 1 or 2."""
        self.state = State.LOGGED_IN

    def receive_data(self, data: bytes) -> None:
        """Buffer octets from the wire: any part of a frame, or many frames."""
        self._buffer = self._buffer[self._at :] + data if self._at < len(self._buffer) else data
        self._at = 0

    def next_event(self) -> Event:
        """Return the next event in the buffered octets. Raise Quit if the client broke the protocol."""
        if self._left:
            return self._data()
        if self._ending:
            self._ending = False
            return END_OF_MESSAGE
        if self.state is State.FAILED:
            raise RuntimeError("the connection has failed already")
        try:
            return self._header()
        except Quit:
            self.state = State.FAILED
            raise

    def _data(self) -> Event:
        piece = self._take(min(self._left, len(self._buffer) - self._at))
        self._left -= len(piece)
        return piece or NEED_DATA

    def _header(self) -> Event:
        start = self._at + 4
        if len(self._buffer) < start:
            return NEED_DATA
        length = _header_length(self._buffer[self._at : start])
        if length > HEADER_MAX_BEFORE_LOGIN and self.state is not State.LOGGED_IN:
            raise Quit(errors.INVALID_HEADER_LENGTH)
        end = start + length
        if len(self._buffer) < end:
            return NEED_DATA
        request = parse_header(self._buffer[start:end])
        self._check_order(request)
        self._at = end
        if len(self._buffer) - end >= request.datalen:
            request.data = self._take(request.datalen)
        else:
            self._left = request.datalen
            self._ending = True
        return request

    def _take(self, octets: int) -> bytes:
        """Return the next octets of the buffer, and free its memory at its end: it may be long until more arrive."""
        end = self._at + octets
        taken = self._buffer[self._at : end]
        if end == len(self._buffer):
            self._buffer, self._at = b"", 0
        else:
            self._at = end
        return taken

    def _check_order(self, request: Request) -> None:
        reason = _VERDICTS[self.state][request.op]
        if reason is not LEGAL:
            raise Quit(reason)
        if request.op == Op.TMTPREV:
            self.state = State.GREETED
            self._greeted = True


def _header_length(digits: bytes) -> int:
    try:
        length = int.from_bytes(binascii.unhexlify(digits), "big")
    except binascii.Error:
        length = 0
    if length < HEADER_MIN:
        raise Quit(errors.INVALID_HEADER_LENGTH)
    return length
