"""Two hosts over one PostgreSQL: the same name, clocks that are 80 seconds apart, and a network that is cut.

PostgreSQL is on the first host. A relay there passes on what comes over the network.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from tmtp.tests.hosts import Host, HostServer, two_hosts
from tmtp.tests.ledger import Crowd
from tmtp.tests.processes import until
from tmtp.tests.raw_client import Client, LoginRefused
from tmtp.tests.relay import Relay
from tmtp.tests.servers import Installation

ONLINE, OFFLINE = 1, 2
LIFETIME = 30  # seconds; of a lease
AHEAD = 40  # seconds; the other host's clock is as much behind
PORT = 5432
SOON = 15.0  # seconds for presence to be right after a cut, on a machine that does much else


@dataclass
class Pair:
    """The servers of both hosts, the second of which loses its network, and clients of both."""

    one: HostServer
    two: HostServer
    far: Host
    relay: Relay
    crowd: Crowd
    ann: Client  # at one, as the others who see each other
    ben: Client  # at two

    async def cut(self, *, seconds: float = 0, noticed: bool = False) -> None:
        """Cut the network for a while, in which members come and go, and check that presence is right afterwards.

        If `noticed`, PostgreSQL ends the sessions of the second host. If not, and if the cut is shorter than a lease
        lasts, nobody may doubt that the second host is there.
        """
        certain = not noticed and seconds < LIFETIME - 10
        gone = self.was_told_gone()
        cid, dan = await self.two.register(), await self.one.register()
        await announce(cid, self.ann.uid)
        await self.ann.expect(op="ohi", **{"from": cid.uid}, status=ONLINE)
        self.far.cut()
        if noticed:
            self.relay.drop()
        cid.close()
        await announce(dan, self.ben.uid)
        await self.crowd_goes_on()
        if certain:
            there = self.crowd.devices[1]
            with pytest.raises(LoginRefused, match="already connected"):
                await self.one.login(there.uid, there.nodeid)
        await asyncio.sleep(seconds)
        self.far.mend()
        await asyncio.gather(
            self.ben.expect(SOON, op="ohi", **{"from": dan.uid}, status=ONLINE),
            self.ann.expect(SOON, op="ohi", **{"from": cid.uid}, status=OFFLINE),
            self.everybody_is_served(),
        )
        dan.close()
        await self.ben.expect(op="ohi", **{"from": dan.uid}, status=OFFLINE)
        await asyncio.gather(until_seen(self.ann, self.ben), until_seen(self.ben, self.ann))
        assert not certain or self.was_told_gone() == gone

    def was_told_gone(self) -> int:
        """Return how often a host doubted that the other one is there, as `ann` and `ben` were told."""
        return told(self.ann, self.ben).count(OFFLINE) + told(self.ben, self.ann).count(OFFLINE)

    async def crowd_goes_on(self) -> None:
        """Wait until the first host has acknowledged more posts, also for devices of the second one."""
        acked = len(self.crowd.ledger.acked)

        def for_two() -> bool:
            more = self.crowd.ledger.acked[acked:]
            return any(post.sender.server is self.one and post.to[0].server is self.two for post in more)

        await until(for_two)

    async def everybody_is_served(self) -> None:
        """Wait until each device has another post acknowledged."""
        before = {id(post) for post in self.crowd.ledger.acked}

        def served() -> bool:
            senders = {post.sender for post in self.crowd.ledger.acked if id(post) not in before}
            return senders >= {*self.crowd.devices}

        await until(served)

    def check(self) -> None:
        """Check that no device lost its link, after `crowd.finish`."""
        links = {device.name: device.links for device in self.crowd.devices}
        assert set(links.values()) == {1}, links
        assert "ahead of the database" in self.one.log and "behind the database" in self.two.log
        assert "lease was ended" not in self.one.log + self.two.log


async def announce(client: Client, uid: str) -> None:
    """Put a user on the client's presence list (op 4)."""
    client.send(op=4, id="ohi", for_=[{"id": uid}], type="add")
    header, _ = await client.expect(op="ack", id="ohi")
    assert "error" not in header


async def until_seen(who: Client, other: Client) -> None:
    """Wait until the last that `who` was told is that the other is online."""
    async with asyncio.timeout(SOON):
        while not sees(who, other):
            frames, who.pending = who.pending, []
            who.pending = [*frames, await who.receive()]


def sees(who: Client, other: Client) -> bool:
    """Return whether `who` sees the other online."""
    return [ONLINE, *told(who, other)][-1] == ONLINE


def told(who: Client, other: Client) -> list[int]:
    """Return what `who` was told about the other's presence, except what a test has expected."""
    return [head["status"] for head, _ in who.pending if (head["op"], head.get("from")) == ("ohi", other.uid)]


@contextlib.asynccontextmanager
async def pair_of_hosts(site: Installation, *, devices: int = 6) -> AsyncIterator[Pair]:
    """Run two hosts with a server each, and clients that post to each other."""
    with contextlib.ExitStack() as stack:
        near, far = stack.enter_context(two_hosts())
        relay = Relay(site.folder, site.database_url)
        await relay.start(near.listen(PORT))
        name = site.database_url.rpartition("?")[0].rpartition("/")[2]
        over_network = f"postgresql://postgres@/{name}?host={near.address}"
        one = stack.enter_context(near.serve(site, AHEAD))
        two = stack.enter_context(far.serve(site, -AHEAD, DATABASE_URL=over_network))
        await asyncio.gather(one.wait(), two.wait())
        crowd = Crowd(one, devices, also=[two], sizes=(100, 400), pause=0.1)
        try:
            ann, ben = await one.register(), await two.register()
            await announce(ann, ben.uid)
            await announce(ben, ann.uid)
            yield Pair(one, two, far, relay, crowd, ann, ben)
        finally:
            await crowd.leave()
            await relay.stop()
