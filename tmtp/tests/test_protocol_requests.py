"""Headers of requests: the members that each op needs, keys in any case, types and ranges of values."""

from __future__ import annotations

import bisect
import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tmtp.protocol import messages
from tmtp.protocol.errors import Quit
from tmtp.protocol.requests import Op, Recipient, Request, parse_header

from .test_protocol_stream import LEAST

pytestmark = pytest.mark.once


def parse(header: Any) -> Any:
    return parse_header(header if isinstance(header, bytes) else json.dumps(header).encode())


def refused(header: Any) -> bool:
    try:
        parse(header)
    except Quit as quit_:
        assert quit_.reason == "invalid header"
        return True
    return False


@pytest.mark.parametrize("op", Op)
def test_each_op_has_what_it_needs_and_no_less(op: Op) -> None:
    header = {"op": op, **LEAST[op]}
    assert parse(header).op == op
    for field in header:
        without = {key: value for key, value in header.items() if key != field}
        assert refused(without), field
        assert refused(without | {field: None}), field
        if isinstance(header[field], str):
            assert refused(header | {field: ""}), field


@pytest.mark.parametrize("change", [str.upper, str.title, str.swapcase, lambda key: key[:1].upper() + key[1:]])
@pytest.mark.parametrize("op", Op)
def test_keys_are_matched_without_regard_to_case(op: Op, change: Any) -> None:
    def changed(value: Any) -> Any:
        if isinstance(value, dict):
            return {change(key): changed(item) for key, item in value.items()}
        return [changed(item) for item in value] if isinstance(value, list) else value

    recipients = {"for": [{"id": "u", "type": 1}]} if "for" in LEAST[op] else {}
    header = {"op": op, **LEAST[op], **recipients, "oidc": {"id_token": "t", "expires_in": 3}}
    plain, folded = parse(header), parse(changed(header))
    assert plain.oidc.id_token == "t"
    plain.raw = folded.raw = b""
    assert folded == plain


def test_what_clients_in_the_field_send() -> None:
    request = parse(b'{"Op":7,"Id":"\\u0000\\u0000a","DataLen":5,"DataHead":2,"For":[{"Id":"u","Type":1}]}')
    assert (request.id, request.datalen, request.datahead) == ("\0\0a", 5, 2)
    assert request.for_ == [Recipient("u", 1)]
    assert parse(b'{"op":4,"id":"1","type":"init","for":[{"Id":"u","Type":0}]}').for_ == [Recipient("u", 0)]


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=8), st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3)))
def test_unknown_keys_and_nulls_are_ignored(more: dict[str, Any]) -> None:
    known = {field.encode_name for field in msgspec.structs.fields(Request)} - {"raw"}
    more = {key: value for key, value in more.items() if key.casefold() not in known}
    nulls = {"uid": None, "For": None, "DATALEN": None, "oidc": None, "notefor": None}
    request = parse({"op": 10, "id": "1", "type": "ok", **more, **nulls, "\u017ftrange": [{"a": {}}]})
    assert (request.op, request.id, request.type, request.datalen, request.recipients) == (10, "1", "ok", 0, [])


@pytest.mark.parametrize("number", ["7.0", '"7"', "7e0", "true", "[7]", "07", "+7", "7.5", "NaN", "{}"])
def test_integers_are_json_integers(number: str) -> None:
    for header in ('{"op":%s,"id":"1","for":[],"datalen":1}', '{"op":7,"id":"1","for":[],"datalen":%s}'):
        assert refused((header % number).encode())
        assert refused((header % number).replace("op", "Op").encode())
    assert refused(b'{"op":7,"id":"1","datalen":1,"for":[{"id":"u","type":' + number.encode() + b"}]}")


@pytest.mark.parametrize(
    "header",
    [
        b"not JSON at all",
        b"[7,8,9,10]",
        b'"a string"',
        b"12345678",
        b"nullnull",
        b'{"op":11}}',
        b'{"op":11}{"op":11}',
        b'{"op":11',
        b'{"op":11,"x":"\xff"}',
        b'\xef\xbb\xbf{"op":11}',
        b'{"op":10,"id":"\\ud800","type":"x"}',
        b'{"op":10,"id":"a\x00b","type":"x"}',
        b'{"op":13}',
        b'{"op":-1}',
        b'{"op":99999999999999999999999}',
        b'{"op":9223372036854775808}',
        b'{"op":11,"fornotself":1}',
        b'{"op":11,"for":{}}',
        b'{"op":11,"for":[[]]}',
        b'{"op":11,"for":[null]}',
        b'{"op":11,"oidc":[]}',
        b'{"op":11,"id":7}',
        b'{"op":1,"newnode":["n"],"newalias":"_"}',
    ],
)
def test_what_is_no_header(header: bytes) -> None:
    assert refused(header)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'{"op":11,"for":[', b'{"op":11,"x":['])
def test_however_deep_it_is_only_an_invalid_header(opening: bytes) -> None:
    start = time.thread_time()
    assert refused((opening * 65535)[:65535])
    assert refused(b'{"op":11,"x":' + b"[" * 30_000 + b"]" * 30_000 + b"}")
    assert time.thread_time() - start < 1


def test_of_duplicate_keys_the_last_one_counts() -> None:
    assert parse(b'{"op":11,"op":12}').op == 12
    assert parse(b'{"op":11,"Op":12}').op == 12
    assert parse(b'{"Op":11,"op":12}').op == 12


@pytest.mark.parametrize(
    ("lengths", "fit"),
    [
        ({"datalen": 5, "datahead": 5}, True),
        ({"datalen": 5, "datahead": 6}, False),
        ({"datalen": 5, "datahead": -1}, False),
        ({"datalen": -1}, False),
        ({"datalen": 0}, False),
        ({"datalen": 2**63 - 1}, True),
        ({"datalen": 2**63}, False),
        ({"datalen": 2**64}, False),
        ({"datalen": 5, "datasum": 2**32 - 1}, True),
        ({"datalen": 5, "datasum": -1}, False),
    ],
)
def test_ranges_of_the_data(lengths: dict[str, int], fit: bool) -> None:
    assert refused({"op": 7, "id": "1", "for": [], **lengths}) != fit
    assert refused({"op": 8, "id": "1", "for": [], "notelen": 1, **lengths}) != fit


@pytest.mark.parametrize(
    ("lengths", "fit"),
    [
        ({"notelen": 3, "notehead": 3}, True),
        ({"notelen": 3, "notehead": 4}, False),
        ({"notelen": 3, "notehead": -1}, False),
        ({"notelen": 0}, False),
        ({"notelen": -3}, False),
        ({"notelen": 2**63}, False),
        ({"notelen": 9, "notesum": 2**32 - 1}, True),
        ({"notelen": 3, "notesum": -1}, False),
    ],
)
def test_ranges_of_a_notification(lengths: dict[str, int], fit: bool) -> None:
    assert refused({"op": 8, "id": "1", "for": [], "datalen": 9, **lengths}) != fit


@pytest.mark.parametrize("op", Op)
def test_which_ops_carry_data(op: Op) -> None:
    carries = op in (Op.GROUPINVITE, Op.POST, Op.POSTNOTIFY, Op.PING)
    assert refused({"op": op, **LEAST[op], "datalen": 3}) != carries


@pytest.mark.parametrize("type_", [0, 4, -1])
def test_types_of_recipients(type_: int) -> None:
    for field in ("for", "notefor"):
        assert refused({"op": 8, **LEAST[8], field: [{"id": "u", "type": type_}]})
        assert refused({"op": 8, **LEAST[8], field: [{"id": "", "type": 1}]})
        assert refused({"op": 8, **LEAST[8], field: [{"id": "u"}]})
    assert refused({"op": 4, **LEAST[4], "for": [{"id": "", "type": 1}]})
    assert parse({"op": 4, **LEAST[4], "for": [{"id": "u", "type": type_}]})  # op 4 has no types
    assert refused({"op": 4, **LEAST[4], "for": []})


@pytest.mark.parametrize(
    ("op", "members", "fit"),
    [
        (3, {"newnode": "n", "newalias": "a"}, False),
        (3, {"newnode": "n", "newalias": ""}, True),
        (4, {"type": "init"}, True),
        (4, {"type": "drop"}, True),
        (4, {"type": "ADD"}, False),
        (6, {"act": "alias"}, False),
        (6, {"act": "alias", "newalias": "a"}, True),
        (6, {"act": "drop"}, False),
        (6, {"act": "drop", "to": "a"}, True),
        (6, {"act": "rename", "to": "a", "newalias": "a"}, False),
    ],
)
def test_what_edits_need(op: int, members: dict[str, Any], fit: bool) -> None:
    assert refused({"op": op, **LEAST[op], **members}) != fit


def test_only_an_id_keeps_its_nul() -> None:
    """NUL must not reach a database. The id is only echoed."""
    request = parse(
        {"op": 8, **LEAST[8], "id": "\0", "for": [{"id": "a\0", "type": 1}], "notefor": [{"id": "\0", "type": 2}]}
    )
    assert (request.id, request.for_[0].id, request.notefor[0].id) == ("\0", "a\1", "\1")
    for op, fields in {1: ["newnode", "newalias"], 2: ["uid", "node"], 5: ["gid", "from", "to"]}.items():
        request = parse({"op": op, **LEAST[op], **dict.fromkeys(fields, "x\0")})
        assert all("\0" not in getattr(request, field.replace("from", "from_")) for field in fields)


@pytest.mark.parametrize("character", ["\0", "x", "\n", "é", "😀", '"', "\x7f"])
def test_any_id_that_is_taken_can_be_echoed(character: str) -> None:
    def header(length: int) -> bytes:
        length = max(length, 1)
        return json.dumps({"op": 7, "id": character * length, "for": [], "datalen": 1}, ensure_ascii=False).encode()

    longest = bisect.bisect(
        range(65535), False, key=lambda length: len(header(length)) > 65535 or refused(header(length))
    )
    longest -= 1
    assert len(json.dumps(character * longest, ensure_ascii=False).encode()) > 50_000
    request = parse(header(longest))
    for frame in (messages.ack(request.id, 2**63), messages.ack_error(request.id, "\1" * 60_000)):
        assert json.loads(frame[4:])["id"] == request.id
