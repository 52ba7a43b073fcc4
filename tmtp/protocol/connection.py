"""The server's side of one link as a state machine: octets in, events out, no I/O (tmtp.md sections 1 and 4).

Feed octets with `receive_data` as they come, then call `next_event` until it says NEED_DATA:

- a `Request`: its header, all fields checked, its op legal in this state;
- bytes: the next piece of its data, in order, `datalen` octets in all;
- END_OF_MESSAGE: the request is complete (comes for each request, with data or without).

`next_event` raises `Quit` when the client broke the protocol; nothing is to be had after that. Events come only
when asked for, so the caller can finish a login before the octets behind it are looked at.
"""

from __future__ import annotations

import binascii
from enum import Enum, auto

from . import errors
from .errors import Quit
from .requests import Op, Request, parse_header

HEADER_MIN = 8


class State(Enum):
    """How far a link has come."""

    NEW = auto()
    GREETED = auto()
    LOGGED_IN = auto()
    FAILED = auto()


class Signal(Enum):
    """The events that carry nothing."""

    NEED_DATA = auto()
    END_OF_MESSAGE = auto()


NEED_DATA = Signal.NEED_DATA
END_OF_MESSAGE = Signal.END_OF_MESSAGE
Event = Request | bytes | Signal

_LOGIN_OPS = frozenset({Op.REGISTER, Op.LOGIN})
_WORK_OPS = frozenset(Op) - _LOGIN_OPS - {Op.TMTPREV}
_LEGAL: dict[State, frozenset[Op]] = {
    State.NEW: frozenset({Op.TMTPREV}),
    State.GREETED: _LOGIN_OPS,
    State.LOGGED_IN: _WORK_OPS,
}
_WHY_NOT: dict[tuple[State, frozenset[Op]], str] = {
    (State.NEW, _LOGIN_OPS): errors.TMTPREV_OMITTED,
    (State.NEW, _WORK_OPS): errors.OP_UNAUTHENTICATED,
    (State.GREETED, frozenset({Op.TMTPREV})): errors.OP_REPETITION,
    (State.GREETED, _WORK_OPS): errors.OP_UNAUTHENTICATED,
    (State.LOGGED_IN, frozenset({Op.TMTPREV})): errors.OP_REPETITION,
    (State.LOGGED_IN, _LOGIN_OPS): errors.OP_CONNECTED,
}


class Connection:
    """One link. Starts NEW; op 0 makes it GREETED; the caller says when a login has succeeded."""

    __slots__ = ("_at", "_buffer", "_ending", "_greeted", "_left", "state")

    def __init__(self) -> None:
        self.state = State.NEW
        self._buffer = bytearray()
        self._at = 0  # where in the buffer the next event begins
        self._left = 0  # octets of data still to come
        self._ending = False  # END_OF_MESSAGE is due
        self._greeted = False

    @property
    def may_say_quit(self) -> bool:
        """Whether the client is told why its link ends: only once it has completed op 0."""
        return self._greeted

    def logged_in(self) -> None:
        """The server has accepted the client's op 1 or 2."""
        self.state = State.LOGGED_IN

    def receive_data(self, data: bytes) -> None:
        """Take octets as they came from the wire: any part of a frame, or many frames."""
        if self._at:
            del self._buffer[: self._at]
            self._at = 0
        self._buffer += data

    def next_event(self) -> Event:
        """The next event in what was received; raises Quit when the client broke the protocol."""
        if self._left:
            return self._data()
        if self._ending:
            self._ending = False
            return END_OF_MESSAGE
        try:
            return self._header()
        except Quit:
            self.state = State.FAILED
            raise

    def _data(self) -> Event:
        end = min(self._at + self._left, len(self._buffer))
        if end == self._at:
            return NEED_DATA
        piece = bytes(self._buffer[self._at : end])
        self._at = end
        self._left -= len(piece)
        return piece

    def _header(self) -> Event:
        start = self._at + 4
        if len(self._buffer) < start:
            return NEED_DATA
        end = start + _header_length(bytes(self._buffer[self._at : start]))
        if len(self._buffer) < end:
            return NEED_DATA
        request = parse_header(bytes(self._buffer[start:end]))
        self._check_order(request)
        self._at = end
        self._left = request.datalen
        self._ending = True
        return request

    def _check_order(self, request: Request) -> None:
        if request.op in _LEGAL.get(self.state, ()):
            if request.op == Op.TMTPREV:
                self.state = State.GREETED
                self._greeted = True
            return
        for (state, ops), reason in _WHY_NOT.items():
            if state is self.state and request.op in ops:
                raise Quit(reason)
        raise RuntimeError("the connection has failed already")


def _header_length(digits: bytes) -> int:
    try:
        length = int.from_bytes(binascii.unhexlify(digits), "big")
    except binascii.Error:
        length = 0
    if length < HEADER_MIN:
        raise Quit(errors.INVALID_HEADER_LENGTH)
    return length
