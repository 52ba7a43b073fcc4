"""Limits on what a user asks for: an ack with an error, and a client that goes on is slowed down."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from .servers import Server, installation

pytestmark = pytest.mark.once
LIMITS = {
    "requests_per_user": 50,
    "recipients_per_post": 3,
    "octets_per_user": 10_000,
    "pings_per_user": 10,
    "pings_per_stranger": 5,
    "nodes_per_user": 2,
    "contacts_per_user": 2,
    "aliases_per_user": 3,
}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with installation(LIMITS=LIMITS) as site, site.serve() as server:
        yield server


async def test_pings_and_invitations(server: Server) -> None:
    ann, bob, cid = [await server.register(f"{name} of the pings") for name in ("ann", "bob", "cid")]

    async def ask(op: int, to: str, request_id: str) -> str | None:
        ann.send(b"hello", op=op, id=request_id, from_="ann of the pings", to=to, gid="a club of pings")
        header, _ = await ann.expect(op="ack", id=request_id)
        error: str | None = header.get("error")
        return error

    assert [await ask(9, "bob of the pings", f"b{n}") for n in range(4)] == [None] * 4
    assert await ask(5, "bob of the pings", "i") is None
    for op in (5, 9):
        error = await ask(op, "bob of the pings", f"late {op}")
        assert error == "too many pings and invitations to bob of the pings, try again tomorrow"
    assert [await ask(9, "cid of the pings", f"c{n}") for n in range(3)] == [None] * 3
    assert await ask(9, "cid of the pings", "c3") == "too many pings and invitations, try again later"
    ann.post("a post", [bob.uid], b"still allowed")
    header, _ = await ann.expect(op="ack", id="a post")
    assert "error" not in header
    for client in (ann, bob, cid):
        client.close()


async def test_posts_to_many_and_of_much(server: Server) -> None:
    ann = await server.register()
    many, much = "a post has at most 3 recipients", "too much data today, try again tomorrow"
    for request_id, recipients, octets, error in (
        ("as many as one may", 3, 4000, None),
        ("one more", 4, 10, many),
        ("much", 1, 7000, much),
        ("what is left", 1, 6000, None),
    ):
        ann.post(request_id, [ann.uid] * recipients, bytes(octets))
        header, _ = await ann.expect(op="ack", id=request_id)
        assert header.get("error") == error
    two = [{"id": ann.uid, "type": 1}] * 2
    ann.send(b"nb", op=8, id="notify", for_=two, notefor=two, notelen=1)
    header, _ = await ann.expect(op="ack", id="notify")
    assert header["error"] == many
    ann.close()


async def test_whom_one_announces_to(server: Server) -> None:
    ann, bob, cid, dan = [await server.register() for _ in range(4)]
    for request_id, type_, people, error in (
        ("two", "add", [bob, cid], None),
        ("the same again", "init", [bob], None),
        ("one more", "add", [dan], "one announces to at most 2 users"),
        ("one less", "drop", [bob], None),
        ("another", "add", [dan], None),
    ):
        ann.send(op=4, id=request_id, type=type_, for_=[{"id": person.uid} for person in people])
        header, _ = await ann.expect(op="ack", id=request_id)
        assert header.get("error") == error
    assert not [header for header, _ in dan.pending if header["op"] == "ohi"]
    assert (await dan.expect(op="ohi"))[0]["from"] == ann.uid
    for client in (ann, bob, cid, dan):
        client.close()


async def test_devices(server: Server) -> None:
    ann = await server.register()
    for number, error in ((2, None), (3, "a user has at most 2 nodes")):
        ann.send(op=3, id=str(number), newnode=f"device {number}")
        header, _ = await ann.expect(op="ack", id=str(number))
        assert header.get("error") == error
    ann.close()


async def test_aliases(server: Server) -> None:
    ann = await server.register("the first of 3")
    for number, error in ((2, None), (3, None), (4, "a user has at most 3 aliases")):
        ann.send(op=3, id=str(number), newalias=f"another name {number}")
        header, _ = await ann.expect(op="ack", id=str(number))
        assert header.get("error") == error
    ann.send(op=3, id="again", newalias="another name 3")  # it is theirs already
    header, _ = await ann.expect(op="ack", id="again")
    assert "error" not in header
    ann.close()


async def test_a_client_that_goes_on_after_its_limit_is_slowed_down_and_others_are_not(server: Server) -> None:
    ann, bob = await server.register(), await server.register()
    for number in range(3000):
        ann.post(f"a post {number}", [], b"x")
    acks = [(await ann.expect(op="ack"))[0]]
    bob.post("a post", [], b"x")
    await bob.expect(op="ack", id="a post", timeout=10)
    begun = time.monotonic()
    while time.monotonic() - begun < 4:
        acks.append((await ann.expect(op="ack"))[0])
    refused = [ack for ack in acks if "error" in ack]
    assert {ack["error"] for ack in refused} == {"too many requests, try again later"}
    assert len(acks) - len(refused) <= LIMITS["requests_per_user"] + 1
    assert len(refused) < 1500
    ann.close()
    bob.close()
