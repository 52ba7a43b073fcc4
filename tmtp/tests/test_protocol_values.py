"""Values (tmtp.md section 2) and messages of the server: base32, ids, times, names, checksums, headers."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import google_crc32c
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tmtp.protocol import errors, messages, values

pytestmark = pytest.mark.once

ALPHABET = "%+123456789BCDFGHJKLMNPQRSTVWXYZ"


@settings(deadline=None)
@given(st.binary(min_size=5, max_size=50).filter(lambda octets: len(octets) % 5 == 0))
def test_base32_goes_there_and_back(octets: bytes) -> None:
    text = values.encode_base32(octets)
    assert set(text) <= set(ALPHABET)
    assert values.decode_base32(text) == octets


def test_base32_counts_in_the_order_of_its_alphabet() -> None:
    assert values.encode_base32(bytes(5)) == "%" * 8
    assert values.encode_base32(b"\xff" * 5) == "Z" * 8
    assert values.encode_base32((0b00000_00001_00010_00011_00100_00101_00110_00111).to_bytes(5, "big")) == ALPHABET[:8]


@pytest.mark.parametrize(
    "text", ["", "1", "1234567", "123456789", "1234567a", "1234567A", "1234567=", "1234567é", "1234567\0"]
)
def test_what_is_no_base32(text: str) -> None:
    with pytest.raises(ValueError, match="base32"):
        values.decode_base32(text)


def test_uids_and_nodeids_have_their_lengths() -> None:
    assert len({values.make_uid() for _ in range(100)}) == 100
    assert (len(values.make_uid()), len(values.make_nodeid())) == (32, 40)
    assert len(values.decode_base32(values.make_nodeid())) == 25


@settings(deadline=None)
@given(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1))
def test_msgids_rise_as_their_numbers_do(one: int, other: int) -> None:
    assert re.fullmatch("[0-9a-f]{16}", values.format_msgid(one))
    assert (values.format_msgid(one) < values.format_msgid(other)) == (one < other)


@settings(deadline=None)
@given(st.integers(0, 2**63 - 1))
def test_posted_is_the_time_of_the_number(number: int) -> None:
    posted = values.format_posted(number)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", posted)
    when = datetime.fromisoformat(posted)
    assert when.tzinfo == UTC
    assert round(when.timestamp() * 1000) == number // 1_000_000


def test_posted_keeps_its_zeros() -> None:
    assert values.format_posted(1_795_372_082_000_000_000 + 7_999_999) == "2026-11-22T18:28:02.007Z"


def decoded(frame: bytes) -> dict[str, Any]:
    assert int(frame[:4], 16) == len(frame) - 4
    header: dict[str, Any] = json.loads(frame[4:])
    plain = json.dumps(header, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    assert plain.encode() == frame[4:], "compact, sorted, UTF-8"
    return header


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["alias", "to", "gid"]),
        st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1),
    ),
    st.integers(0, 2**40),
)
def test_headsum_is_over_the_framed_header_without_it(members: dict[str, str], datalen: int) -> None:
    frame = messages.queued_message("ping", 2**60, "u" * 32, datalen, dict(members))
    header = decoded(frame)
    headsum = header.pop("headsum")
    bare = json.dumps(header, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
    assert headsum == google_crc32c.value(b"%04x%b" % (len(bare), bare))
    assert header == {
        "op": "ping",
        "id": "1000000000000000",
        "posted": values.format_posted(2**60),
        "from": "u" * 32,
        "datalen": datalen,
        **members,
    }
    more = decoded(messages.with_members(frame, {"nodeid": "n", "absent": None}))
    assert more.keys() - header.keys() == {"nodeid", "headsum"}
    bare = messages.encode_header({key: value for key, value in more.items() if key != "headsum"})
    assert more["headsum"] == google_crc32c.value(bare)


def test_members_that_are_zero_are_left_out_but_not_datalen() -> None:
    header = decoded(messages.queued_message("delivery", 1, "u", 0, {"datahead": 0, "datasum": 0, "notify": 2}))
    assert {"datahead", "datasum"}.isdisjoint(header)
    assert (header["datalen"], header["notify"]) == (0, 2)


def test_what_the_server_says() -> None:
    assert messages.quit_message("login failed") == b'0024{"error":"login failed","op":"quit"}'
    assert decoded(messages.tmtprev("mnm", {})) == {"op": "tmtprev", "id": "1", "name": "mnm"}
    assert decoded(messages.registered("u", "n", None)) == {"op": "registered", "uid": "u", "nodeid": "n"}
    assert decoded(messages.registered("u", "n", "why"))["error"] == "why"
    assert decoded(messages.login_ok([])) == {"op": "info", "info": "login ok"}
    assert decoded(messages.login_ok(["u"]))["ohi"] == ["u"]
    assert decoded(messages.ack("7")) == {"op": "ack", "id": "7"}
    assert decoded(messages.ack_error("7", "why")) == {"op": "ack", "id": "7", "error": "why"}
    assert decoded(messages.ohi("u", 2)) == {"op": "ohi", "from": "u", "status": 2}
    msgid, posted = "0000000000000001", "1970-01-01T00:00:00.000Z"
    assert decoded(messages.ack("7", 1)) == {"op": "ack", "id": "7", "msgid": msgid, "posted": posted}


def test_a_header_too_long_is_not_framed() -> None:
    with pytest.raises(ValueError, match="too long"):
        messages.encode_header({"a": "x" * 65530})


def test_quit_reasons_to_the_letter() -> None:
    reasons = [value for name, value in vars(errors).items() if name.isupper()]
    assert sorted(reasons) == [
        "authentication required",
        "corrupt base32 value",
        "data not valid UTF8",
        "data too long for request type",
        "data too short for request type",
        "disallowed op on connected link",
        "disallowed op on unauthenticated link",
        "disallowed op repetition",
        "invalid header",
        "invalid header length",
        "login failed",
        "logout ok",
        "node already connected",
        "recipient list empty",
        "register failure",
        "tmtprev was omitted",
    ]


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("0012", 12), (str(values.NUMBER_MAX), values.NUMBER_MAX)])
def test_a_whole_number(text: str, number: int) -> None:
    assert values.whole_number(text) == number


NO_NUMBERS = ["", "-1", "+1", " 1", "1_0", "1.0", "0x1", "²", "٣", str(values.NUMBER_MAX + 1), "9" * 5000]


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_what_is_no_whole_number(text: str) -> None:
    assert values.whole_number(text) is None
