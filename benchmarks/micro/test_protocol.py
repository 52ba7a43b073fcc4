"""Parsing of requests and encoding of messages."""

import msgspec

from tmtp.client.link import request
from tmtp.protocol.connection import NEED_DATA, Connection, State
from tmtp.protocol.messages import ack, queued_message
from tmtp.protocol.requests import parse_header
from tmtp.protocol.values import make_uid

UIDS = [make_uid(), make_uid()]
POST = request({"op": 7, "id": "12345", "for": [{"id": uid, "type": 1} for uid in UIDS]}, b"x" * 400)
ACK = request({"id": "16f3a0b1c2d3e4f5", "op": 10, "type": "ok"})
HEADER = POST[4 : 4 + int(POST[:4], 16)]
AS_IN_THE_FIELD = msgspec.json.encode(
    {"Op": 7, "Id": "12345", "DataLen": 400, "For": [{"Id": uid, "Type": 1} for uid in UIDS], "More": None}
)
AT_ONCE = 100


def test_parse_header(benchmark):
    assert benchmark(parse_header, HEADER).datalen == 400


def test_parse_header_with_keys_in_capitals(benchmark):
    assert benchmark(parse_header, AS_IN_THE_FIELD).datalen == 400


def events(octets):
    connection = Connection()
    connection.state = State.LOGGED_IN
    connection.receive_data(octets)
    count = 0
    while connection.next_event() is not NEED_DATA:
        count += 1
    return count


def test_frame_100_posts(benchmark):
    assert benchmark(events, POST * AT_ONCE) == AT_ONCE


def test_frame_100_acks(benchmark):
    assert benchmark(events, ACK * AT_ONCE) == AT_ONCE


def test_queued_message(benchmark):
    benchmark(queued_message, "delivery", 1_700_000_000_000_000_000, UIDS[0], 400, {"datahead": 100, "datasum": 0})


def test_ack(benchmark):
    benchmark(ack, "12345", 1_700_000_000_000_000_000)
