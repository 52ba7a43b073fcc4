"""Attacks and broken clients end at most their own link, and nobody else notices (design.md section 8)."""

import asyncio
import contextlib
import json
import random
import ssl
import time

import pytest

from tmtp.links.session import Session
from tmtp.protocol import errors, messages

from .processes import PATIENCE, in_time, until
from .raw_client import LoginRefused, frame
from .servers import installation

pytestmark = pytest.mark.once

MEMORY = 30 * 2**20  # octets by which a server may grow, for buffers of some links and the interpreter
REASONS = {value for value in vars(errors).values() if isinstance(value, str)}
INT_MAX = 2**63 - 1
NODE = "1" * 40


@pytest.fixture(scope="module")
def server():
    with installation(WRITE_TIMEOUT=2) as site, site.serve() as server:
        yield server


@pytest.fixture(scope="module")
def impatient():
    with installation(LOGIN_TIMEOUT=2) as site, site.serve() as server:
        yield server


@pytest.fixture
async def bystander(server):
    """Check that another client can send and receive all the time, and that no traceback is logged."""
    before = len(server.log)
    client = await server.register()
    yield client
    await notices_nothing(client)
    client.close()
    assert "Traceback" not in server.log[before:], server.log[before:]


async def notices_nothing(client):
    question = f"well? {time.monotonic()}"
    client.post(question, [client.uid], b"well")
    async with asyncio.timeout(PATIENCE):
        header, _ = await client.expect(op="ack", id=question)
        assert "error" not in header
        header, data = await client.expect(op="delivery", id=header["msgid"])
    assert data == b"well"
    client.acknowledge(header["id"])


def raw(text, data=b""):
    octets = text.encode()
    return b"%04x%b%b" % (len(octets), octets, data)


# -- before the login


@pytest.mark.parametrize(
    "octets",
    [b"GET / HTTP/1.1\r\nHost: here\r\n\r\n", b"\x16\x03\x01\x02\x00" + b"\xff" * 600, bytes(2000), b"0010{}"],
    ids=["http", "broken hello", "zeros", "no tls"],
)
async def test_what_is_not_tls_is_closed(server, bystander, octets):
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(octets)
    async with asyncio.timeout(PATIENCE):
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(100_000)
    writer.close()


async def test_half_open_handshakes_do_not_hold_up_others_and_are_closed(impatient):
    bystander = await impatient.register()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="here").do_handshake()
    hello = outgoing.read()
    links = [await asyncio.open_connection("127.0.0.1", impatient.port) for _ in range(200)]
    for index, (_, writer) in enumerate(links):
        writer.write(hello[: len(hello) * (index % 3) // 2])  # nothing, a half, or all of it
    await notices_nothing(bystander)
    async with asyncio.timeout(PATIENCE):
        for reader, writer in links:
            with contextlib.suppress(ConnectionError):
                await reader.read()
            writer.close()
    await notices_nothing(bystander)
    bystander.close()
    assert "Traceback" not in impatient.log


async def test_a_link_that_does_not_log_in_is_closed(impatient):
    async def wait_for_the_end():
        silent, greeted, slow = await impatient.connect(), await impatient.greet(), await impatient.connect()
        slow.writer.write(b"00")
        assert [await link.ended() for link in (silent, greeted, slow)] == [None, None, None]

    await in_time(4, wait_for_the_end)
    assert "Traceback" not in impatient.log


async def test_garbage_before_the_first_word_is_closed_without_a_word(server, bystander):
    for octets in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 9, b"ffff" + b"[" * 65535, frame(op=7, id="1", datalen=INT_MAX)):
        link = await server.connect()
        link.writer.write(octets)
        assert await link.ended() is None


STRANGE = {
    "a body of 2^63-1 octets": (frame(op=7, id="1", for_=[], datalen=INT_MAX), errors.OP_UNAUTHENTICATED),
    "a body of 2^63 octets": (frame(op=7, id="1", for_=[], datalen=2**63), errors.INVALID_HEADER),
    "a body of less than nothing": (frame(op=7, id="1", for_=[], datalen=-1), errors.INVALID_HEADER),
    "a uid of 300 characters": (frame(op=2, uid="../" * 100, node=NODE), errors.LOGIN_FAILED),
    "a uid of 8,000": (frame(op=2, uid="é" * 1_300, node=NODE), errors.LOGIN_FAILED),
    "a uid of 65,000": (frame(op=2, uid="é" * 10_000, node=NODE), errors.INVALID_HEADER_LENGTH),
    "a long nodeid": (frame(op=2, uid="1" * 32, node="1" * 8_000), errors.LOGIN_FAILED),
    "a longer nodeid": (frame(op=2, uid="1" * 32, node="1" * 65_000), errors.INVALID_HEADER_LENGTH),
    "a nodeid that is none": (frame(op=2, uid="1" * 32, node="A" * 40), errors.CORRUPT_BASE32),
    "8,191 octets": (raw('{"op":2,"uid":"u","node":"' + "1" * 8_163 + '"}'), errors.CORRUPT_BASE32),
    "8,192 octets of nothing": (raw('{"op":2' + " " * 8_184 + "}"), errors.INVALID_HEADER),
    "65,535 octets of nothing": (raw('{"op":2' + " " * 65_527 + "}"), errors.INVALID_HEADER_LENGTH),
    "not JSON": (raw("x" * 8_192), errors.INVALID_HEADER),
    "deep lists": (raw('{"op":1,"x":' + "[" * 4_000 + "]" * 4_000 + "}"), errors.INVALID_HEADER),
    "deep lists, open": (raw('{"op":1,"x":' + "[" * 8_000), errors.INVALID_HEADER),
    "deep objects": (raw('{"OP":' * 1_000 + "1" + "}" * 1_000), errors.INVALID_HEADER),
    "a number of 8,000 digits": (raw('{"op":' + "9" * 8_000 + "}"), errors.INVALID_HEADER),
    "not UTF-8": (b'000f{"op":1,"x":"\xff"}', errors.INVALID_HEADER),
    "length 7": (b"0007{} {} {", errors.INVALID_HEADER_LENGTH),
    "length +123": (b"+123" + b"x" * 300, errors.INVALID_HEADER_LENGTH),
}


@pytest.mark.parametrize("octets, reason", STRANGE.values(), ids=STRANGE)
async def test_one_packet_before_login(server, bystander, octets, reason):
    link = await server.greet()
    link.writer.write(octets)
    assert await link.ended() == reason


# -- after the login


async def test_alias_of_30_cjk_characters(server, bystander):
    alias = "".join(random.choices([chr(code) for code in range(0x4E00, 0x9000)], k=30))
    link = await server.register(alias)
    link.send(b"hello", op=9, id="1", from_=alias, to=alias)
    header, data = await link.expect(op="ping")
    assert header["alias"] == header["to"] == alias
    assert data == b"hello"
    link.close()


@pytest.mark.parametrize(
    "request_",
    [
        {"op": 9, "from": "a", "to": "x" * 65_000},
        {"op": 9, "from": "x" * 65_000, "to": "a"},
        {"op": 9, "from": "x" * 32_000, "to": "名" * 5_000},
        {"op": 5, "gid": "g" * 65_000, "from": "a", "to": "b"},
        {"op": 6, "gid": "g" * 65_000, "act": "join"},
        {"op": 6, "gid": "g" * 30_000, "act": "drop", "to": "t" * 30_000},
        {"op": 6, "gid": "g" * 30_000, "act": "alias", "newalias": "t" * 30_000},
        {"op": 3, "newalias": "a" * 65_000},
        {"op": 3, "newalias": "\u0300" * 5_000},
        {"op": 3, "newnode": "n" * 65_000},
        {"op": 4, "for": [{"id": "u" * 65_000}], "type": "add"},
        {"op": 4, "for": [{"id": "u"}] * 5_000, "type": "add"},
        {"op": 7, "for": [{"id": "u" * 65_000, "type": 1}], "datalen": 1},
        {"op": 7, "for": [{"id": "g" * 65_000, "type": 2}], "datalen": 1},
    ],
    ids=str,
)
async def test_long_names_are_refused(server, bystander, request_):
    link = await server.register("owner " + str(random.random()))
    for request_id in ("short", "i" * (65_500 - len(json.dumps(request_)))):
        text = json.dumps({"id": request_id, **request_}, ensure_ascii=False)
        link.writer.write(raw(text, b"x" * request_.get("datalen", 0)))
        header, _ = await link.expect(op="ack", id=request_id)
        assert "error" in header
    link.close()


async def test_long_id(server, bystander):
    link = await server.register()
    link.post("i" * 59_000, [link.uid], b"x")
    header, _ = await link.expect(op="ack", id="i" * 59_000)
    assert header["msgid"]
    link.post("i" * 65_000, [link.uid], b"x")
    assert await link.ended() == errors.INVALID_HEADER


async def test_a_body_too_long_for_anyone(server, bystander):
    link = await server.register()
    link.send(op=7, id="1", for_=[], datalen=INT_MAX)
    assert await link.ended() == errors.DATA_TOO_LONG
    link = await server.register()
    link.send(op=8, id="1", for_=[], datalen=INT_MAX, notelen=INT_MAX - 1)
    assert await link.ended() == errors.DATA_TOO_LONG


@pytest.mark.parametrize("members", [{"op": 7}, {"op": 8, "notelen": 300_000}, {"op": 8, "notelen": 700_000}], ids=str)
async def test_an_upload_that_is_cut_leaves_no_file(server, bystander, members):
    link = await server.register()
    before = set(server.site.spool_files)  # files of other tests, for devices that never come back
    link.send(b"x" * 500_000, id="1", for_=[], datalen=1_000_000, **members)
    await link.writer.drain()
    await until(lambda: set(server.site.spool_files) - before)
    link.close()
    await until(lambda: not set(server.site.spool_files) - before)
    again = await comes_back(server, link)
    again.close()


async def test_an_upload_that_breaks_the_protocol_afterwards_counts(server, bystander):
    link = await server.register()
    before = set(server.site.spool_files)
    link.send(b"x" * 100_000, op=7, id="1", for_=[{"id": bystander.uid, "type": 1}])
    link.writer.write(b"zzzz")
    assert await link.ended() == errors.INVALID_HEADER_LENGTH
    header, data = await bystander.expect(op="delivery", datalen=100_000)
    assert data == b"x" * 100_000
    bystander.acknowledge(header["id"])
    await until(lambda: not set(server.site.spool_files) - before)


async def test_one_octet_at_a_time(server, bystander):
    link = await server.connect()
    for octet in frame(op=0, id="1") + frame(op=1, newnode="n", newalias="_"):
        link.writer.write(bytes([octet]))
        await asyncio.sleep(0)
    assert (await link.receive())[0]["op"] == "tmtprev"
    link.uid = (await link.expect(op="registered"))[0]["uid"]
    body = random.randbytes(70_000)
    for octet in frame(body, op=7, id="1", for_=[{"id": link.uid, "type": 1}]):
        link.writer.write(bytes([octet]))
    assert (await link.expect(op="delivery"))[1] == body
    link.close()


FIELDS = {
    1: {"newnode": "n", "newalias": "some alias"},
    2: {"uid": "u", "node": NODE},
    3: {"id": "1", "newalias": "some alias"},
    4: {"id": "1", "for": [{"id": "u"}], "type": "add"},
    5: {"id": "1", "gid": "some group", "from": "some alias", "to": "other alias"},
    6: {"id": "1", "gid": "some group", "act": "join", "newalias": "some alias", "to": "other alias"},
    7: {"id": "1", "for": [{"id": "u", "type": 1}], "datalen": 1, "datasum": 1},
    8: {"id": "1", "for": [{"id": "u", "type": 2}], "notefor": [], "datalen": 2, "notelen": 1, "notesum": 1},
    9: {"id": "1", "from": "some alias", "to": "other alias", "datalen": 1},
    10: {"id": "1", "type": "ok"},
}
VALUES = [
    '"a\\u0000name or so"', '"\\u0000"', '"\\ud800 and more"', '"\\udfff"', '"\\ud83d\\ude00 a face"',
    '"\\uffff and more"', '"\u202e backwards"', '"\'; DROP TABLE tmtp_user; --"', '"%s %(x)s {0} $1"', '""', "null",
    "0", "-1", str(INT_MAX), "1e3", "7.0", "true", "[]", "{}", "[null]", "[[]]", "[{}]",
    '[{"id":"\\u0000","type":1}]', '[{"id":"\\ud800","type":2}]',
]  # fmt: skip


@pytest.mark.parametrize("op", FIELDS)
async def test_every_field_with_every_odd_value(server, bystander, op):
    link = None
    for text in [odd(op, field, value) for field in FIELDS[op] for value in VALUES]:
        link = link or await (server.greet() if op < 3 else server.register())
        datalen = json.loads(text).get("datalen")
        link.writer.write(raw(text, b"\xff" * datalen if datalen in (1, 2) else b""))
        if op < 3:
            link.send(op=12)
            assert await link.ended() in REASONS, text
            link = None
        elif not await goes_on(link, text):
            link.close()
            link = None
    if link:
        await link.leave()


async def goes_on(link, text):
    """Return whether the server answers the next request. If it ends the link instead, it says why."""
    link.send(b"x", op=7, id="the next", for_=[])
    while True:
        header, _ = await link.receive()
        if header["op"] == "quit":
            assert header["error"] in REASONS, text
            return False
        if header.get("id") == "the next":
            assert "error" not in header, text
            return True


def odd(op, field, value):
    members = [f'"{name}":{value if name == field else json.dumps(given)}' for name, given in FIELDS[op].items()]
    return f'{{"op":{op},{",".join(members)}}}'


async def test_mutated_requests(server, bystander):
    randomly = random.Random(1)
    valid = [frame(b"x" * members.get("datalen", 0), op=op, **members) for op, members in FIELDS.items()]

    async def one():
        octets = bytearray(b"".join(randomly.sample(valid, 3)))
        for _ in range(randomly.randint(1, 6)):
            at = randomly.randrange(len(octets))
            octets[at : at + randomly.randint(0, 2)] = randomly.randbytes(randomly.randint(0, 2))
        link = await (server.register() if randomly.random() < 0.7 else server.greet())
        link.writer.write(octets)
        link.writer.write_eof() if link.writer.can_write_eof() else link.close()
        reason = await link.ended()
        assert reason is None or reason in REASONS

    for _ in range(4):
        await asyncio.gather(*[one() for _ in range(50)])


# -- clients that do not read


async def comes_back(server, link):
    """Log in as soon as the server has noticed the end of the old link."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await server.login(link.uid, link.nodeid)
            except LoginRefused as refused:
                assert str(refused) == "node already connected"
                await asyncio.sleep(0.05)


async def test_a_reader_that_stops_costs_no_memory_and_is_cut_off(server, bystander):
    links = [await server.register() for _ in range(10)]
    body = random.randbytes(20 * 2**20)
    await notices_nothing(bystander)
    before = server.memory
    for link in links:
        link.writer.transport.pause_reading()
    bystander.post("big", [link.uid for link in links], body)
    await bystander.expect(op="ack", id="big")
    async with asyncio.timeout(PATIENCE):  # all of them: else each would wait for IDLE_TIMEOUT, two minutes
        back = [await comes_back(server, link) for link in links]
    assert server.memory - before < MEMORY
    last = back[-1]  # the server may have given up the others, which have not read anything since
    header, data = await last.expect(op="delivery")
    assert data == body
    last.acknowledge(header["id"])
    for link in links + back:
        link.close()


@pytest.mark.parametrize(
    "request_",
    [
        frame(b"x", op=7, id="i" * 200, for_=[]),
        frame(b"x" * 2000, op=7, id="i" * 200, for_=[]),
        frame(b"x", op=9, id="i" * 9000, from_="nobody at all", to="nobody at all"),
        frame(op=3, id="i" * 9000, newalias="x"),
    ],
    ids=["posts", "larger posts", "pings", "edits"],
)
async def test_a_flood_without_reading_the_answers_is_bounded(server, bystander, request_):
    link = await server.register()
    before = server.memory
    link.writer.transport.pause_reading()
    with pytest.raises(ConnectionError):
        async with asyncio.timeout(PATIENCE):
            while True:
                link.writer.write(request_ * 10)
                await link.writer.drain()
    assert server.memory - before < MEMORY
    again = await comes_back(server, link)
    again.close()
    await until(lambda: server.memory - before < MEMORY)


def test_what_others_cause_cannot_fill_the_memory():
    session = Session(engine=None, address="")
    for _ in range(100_000):
        session.tell(messages.ohi("u", 1))
    assert session.closing
    assert len(session.outgoing()) <= 20_000


async def test_frames_after_a_quit_are_ignored(server, bystander):
    link = await server.register()
    link.writer.write(frame(op=12) + frame(b"x", op=7, id="late", for_=[{"id": bystander.uid, "type": 1}]))
    assert await link.ended() == errors.LOGOUT_OK
    await notices_nothing(bystander)
    assert not [header for header, data in bystander.pending if data == b"x"]
