"""The link as a state machine: octets cut anywhere give the same events, and each op is allowed where it should be."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tmtp.protocol import errors
from tmtp.protocol.connection import END_OF_MESSAGE, NEED_DATA, Connection, State
from tmtp.protocol.errors import Quit
from tmtp.protocol.requests import Op, Request

pytestmark = pytest.mark.once

# The smallest header of each op.
LEAST: dict[int, dict[str, Any]] = {
    Op.TMTPREV: {"id": "1"},
    Op.REGISTER: {"newnode": "laptop", "newalias": "_"},
    Op.LOGIN: {"uid": "u", "node": "n"},
    Op.USEREDIT: {"id": "1", "newalias": "ann of rome"},
    Op.OHIEDIT: {"id": "1", "for": [{"id": "u"}], "type": "add"},
    Op.GROUPINVITE: {"id": "1", "gid": "g", "from": "f", "to": "t"},
    Op.GROUPEDIT: {"id": "1", "gid": "g", "act": "join"},
    Op.POST: {"id": "1", "datalen": 3, "for": []},
    Op.POSTNOTIFY: {"id": "1", "datalen": 3, "for": [], "notelen": 1},
    Op.PING: {"id": "1", "from": "f", "to": "t"},
    Op.ACK: {"id": "1", "type": "ok"},
    Op.PULSE: {},
    Op.QUIT: {},
}


def framed(header: Any, data: bytes = b"") -> bytes:
    octets = header if isinstance(header, bytes) else json.dumps(header).encode()
    return b"%04x%b%b" % (len(octets), octets, data)


def request(op: int, **members: Any) -> bytes:
    header = {"op": op, **LEAST[op], **members}
    return framed(header, b"d" * header.get("datalen", 0))


def seen(pieces: Iterable[bytes]) -> tuple[list[Request | bytes | str], str | None, bool]:
    """Feed a link these pieces. Return its events (adjacent data joined), its error, and whether it may quit."""
    connection, events = Connection(), []
    op = -1
    for piece in pieces:
        connection.receive_data(piece)
        try:
            while (event := connection.next_event()) is not NEED_DATA:
                whole: list[Any] = [event]
                if isinstance(event, Request):
                    op = event.op
                    if event.data is not None:
                        whole += [event.data, END_OF_MESSAGE] if event.data else [END_OF_MESSAGE]
                        event.data = None
                if whole[-1] is END_OF_MESSAGE and op in (Op.REGISTER, Op.LOGIN):
                    connection.logged_in()
                for each in whole:
                    if isinstance(each, bytes) and isinstance(events[-1], bytes):
                        events[-1] += each
                    else:
                        events.append(each if isinstance(each, Request | bytes) else "end")
        except Quit as quit_:
            return events, quit_.reason, connection.may_say_quit
    return events, None, connection.may_say_quit


def cut(stream: bytes, places: Iterable[int]) -> list[bytes]:
    bounds = [0, *sorted({place % (len(stream) + 1) for place in places}), len(stream)]
    return [stream[a:b] for a, b in pairwise(bounds)]


valid = st.sampled_from([op for op in Op if op > Op.LOGIN]).map(request) | st.binary(min_size=1, max_size=300).map(
    lambda data: request(Op.POST, datalen=len(data))[: -len(data)] + data
)
login = st.sampled_from([request(Op.TMTPREV) + request(Op.LOGIN), request(Op.TMTPREV) + request(Op.REGISTER)])
wrong = (
    st.sampled_from([request(op) for op in Op])
    | st.dictionaries(
        st.sampled_from(["op", "Op", "id", "datalen", "for", "DATALEN", "type", "x"]),
        st.none() | st.integers(-2, 13) | st.text(max_size=3) | st.just([{"Id": "u", "Type": 1}]) | st.floats(),
    ).map(framed)
    | st.binary(max_size=30)
    | st.sampled_from([b'0008{"op":1', b"0007{}", b"00 8", b"+008", b"0x08", b"FFFF", b"000b" + b'{"op": 11 }'])
)
streams = st.tuples(
    login | st.just(b""), st.lists(valid, max_size=6), st.lists(wrong, max_size=3), st.lists(valid)
).map(lambda parts: parts[0] + b"".join([*parts[1], *parts[2], *parts[3]]))


@settings(max_examples=150, deadline=None)
@given(streams, st.lists(st.integers(0, 10**6), max_size=12))
def test_however_a_stream_is_cut_it_gives_the_same_events(stream: bytes, places: list[int]) -> None:
    whole = seen([stream])
    assert seen(cut(stream, places)) == whole
    assert seen(stream[at : at + 1] for at in range(len(stream))) == whole


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=2000), max_size=8), st.lists(st.integers(0, 10**6), max_size=12))
def test_data_comes_out_as_it_went_in(bodies: list[bytes], places: list[int]) -> None:
    stream = request(Op.TMTPREV) + request(Op.LOGIN)
    for body in bodies:
        stream += framed({"op": Op.PING, **LEAST[Op.PING], "datalen": len(body)}, body)
    events, reason, _ = seen(cut(stream, places))
    assert reason is None
    assert [event for event in events if isinstance(event, bytes)] == [body for body in bodies if body]
    assert events.count("end") == 2 + len(bodies)


NEW, GREETED, IN = State.NEW, State.GREETED, State.LOGGED_IN
BEFORE = {NEW: b"", GREETED: request(Op.TMTPREV), IN: request(Op.TMTPREV) + request(Op.LOGIN)}
VERDICTS = {
    (NEW, Op.TMTPREV): None,
    (NEW, Op.REGISTER): errors.TMTPREV_OMITTED,
    (NEW, Op.LOGIN): errors.TMTPREV_OMITTED,
    (GREETED, Op.TMTPREV): "disallowed op repetition",
    (GREETED, Op.REGISTER): None,
    (GREETED, Op.LOGIN): None,
    (IN, Op.TMTPREV): "disallowed op repetition",
    (IN, Op.REGISTER): "disallowed op on connected link",
    (IN, Op.LOGIN): "disallowed op on connected link",
    **{(state, op): "disallowed op on unauthenticated link" for state in (NEW, GREETED) for op in Op if op > Op.LOGIN},
    **{(IN, op): None for op in Op if op > Op.LOGIN},
}


@pytest.mark.parametrize(("state", "op"), VERDICTS)
def test_each_op_is_legal_in_its_states_only(state: State, op: Op) -> None:
    events, reason, told = seen([BEFORE[state] + request(op)])
    assert reason == VERDICTS[state, op]
    assert told == (state != NEW or op == Op.TMTPREV)
    if reason is None:
        assert events[-1] == "end"


def test_a_header_is_checked_before_its_place() -> None:
    assert seen([framed({"op": 3})])[1] == "invalid header"
    assert seen([BEFORE[GREETED] + framed({"op": 0})])[1] == "invalid header"


@pytest.mark.parametrize(
    "digits", [b"0000", b"0007", b"zzzz", b"-001", b" 008", b"0x0f", b"00\xff\xff", b"\xd9\xa1\xd9\xa1"]
)
def test_a_header_length_is_four_hex_digits_from_8_on(digits: bytes) -> None:
    assert seen([BEFORE[GREETED] + digits])[1] == "invalid header length"


def test_hex_digits_may_be_of_either_case() -> None:
    for digits in (b"000A", b"000a"):
        assert seen([BEFORE[IN] + digits + b'{"op":11 }'])[1] is None


def test_the_longest_header_is_taken() -> None:
    header = b'{"op":11,"x":"' + b"x" * (65535 - 16) + b'"}'
    assert len(header) == 65535
    events, reason, _ = seen([BEFORE[IN] + b"ffff" + header])
    assert (reason, events[-1]) == (None, "end")


def test_nothing_is_to_be_had_after_a_failure() -> None:
    connection = Connection()
    connection.receive_data(b"zzzz" + request(Op.TMTPREV))
    with pytest.raises(Quit):
        connection.next_event()
    assert not connection.may_say_quit
    with pytest.raises(RuntimeError):
        connection.next_event()


def test_what_was_handled_is_not_kept() -> None:
    connection = Connection()
    connection.receive_data(BEFORE[GREETED])
    assert isinstance(connection.next_event(), Request)
    assert connection.next_event() is NEED_DATA
    connection.logged_in()
    connection.receive_data(framed({"op": 7, "id": "1", "for": [], "datalen": 10**9}))
    assert isinstance(connection.next_event(), Request)
    for _ in range(50):
        connection.receive_data(b"x" * 10_000)
        assert connection.next_event() == b"x" * 10_000
    assert len(connection._buffer) <= 10_000
