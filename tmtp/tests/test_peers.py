"""Presence over several servers: everyone sees whom they would see if there were only one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tmtp.engine import peers
from tmtp.engine.online import Online
from tmtp.engine.servers import Servers
from tmtp.services.people.users import LoggedIn
from tmtp.services.storage.handover import Notice

from .test_presence import PEOPLE, Model, people, privacy

pytestmark = pytest.mark.once
PLACES = (1, 2, 3)

steps = st.lists(
    st.tuples(st.sampled_from(["arrive", "leave"]), people, st.sampled_from(PLACES), st.just([]))
    | st.tuples(st.sampled_from(["add", "drop"]), people, st.sampled_from(PLACES), st.lists(people, max_size=5))
    | st.tuples(st.just("protect"), people, st.just(0), privacy)
    | st.tuples(st.just("kill"), st.just(""), st.sampled_from(PLACES), st.just([])),
    max_size=20,
)
begin = st.lists(
    st.tuples(people, st.sampled_from(PLACES), st.lists(people, max_size=5)), min_size=4, max_size=6
)  # who arrives, where, and announces to whom


class Link:
    """A link, and whom its user sees online."""

    def __init__(self) -> None:
        self.sees: set[str] = set()
        self.surprises: list[str] = []

    def tell(self, frame: bytes) -> None:
        header = json.loads(frame[4:])
        before = header["from"] in self.sees
        if before == (header["status"] == 1):
            self.surprises.append(f"{header} twice")
        (self.sees.add if header["status"] == 1 else self.sees.discard)(header["from"])


class Store:
    def __init__(self, lease: int) -> None:
        self.lease = lease


class Server:
    def __init__(self, world: World, lease: int) -> None:
        self.servers = Servers(Store(lease))  # type: ignore[arg-type]
        self.online = Online(self.servers, lambda: lease, world.send)
        self.links: dict[str, list[Link]] = {uid: [] for uid in PEOPLE}


class World:
    """Three servers, what is on its way between them, and what should be true. Nothing arrives while it is `cut`."""

    def __init__(self) -> None:
        self.model = Model()
        self.on_its_way: list[Notice] = []
        self.cut = False
        self.number = {place: place for place in PLACES}  # leases: a new one for a server that was killed
        self.servers = {place: Server(self, place) for place in PLACES}
        self.meet()

    def meet(self) -> None:
        """Let the servers see which of them are alive."""
        leases = set(self.number.values())
        for place in PLACES:
            own = self.number[place]
            for _ in range(2):
                self.servers[place].servers._looked(leases - {own})

    def send(self, notices: Sequence[Notice]) -> None:
        if not self.cut:
            self.on_its_way += notices

    async def settle(self) -> None:
        """Deliver what is on its way, until nothing is."""
        quiet = 0
        while quiet < 4:
            await asyncio.sleep(0)
            quiet = 0 if self.on_its_way else quiet + 1
            while self.on_its_way:
                to, notice = self.on_its_way.pop(0)
                for place in PLACES:
                    if self.number[place] == to:
                        self.servers[place].online.peers.hear(notice)

    async def arrive(self, uid: str, place: int) -> None:
        link, server = Link(), self.servers[place]
        sender = LoggedIn(uid, 1, 1, self.model.privacy[uid])

        async def enter() -> None:
            link.sees = set(await server.online.arrive(link, sender) or ())  # type: ignore[arg-type]

        coming = asyncio.create_task(enter())
        await self.settle()
        await coming
        server.links[uid].append(link)
        self.model.links[uid] += 1

    def leave(self, uid: str, place: int) -> None:
        links = self.servers[place].links[uid]
        if links:
            self.servers[place].online.leave(links.pop(), uid)  # type: ignore[arg-type]
            self.left(uid, 1)

    def left(self, uid: str, links: int) -> None:
        self.model.links[uid] -= links
        if not self.model.links[uid]:
            self.model.announced = {pair for pair in self.model.announced if pair[0] != uid}

    def kill(self, place: int) -> None:
        for uid, links in self.servers[place].links.items():
            self.left(uid, len(links))
        self.number[place] += 10
        self.servers[place] = Server(self, self.number[place])
        self.meet()

    async def begin(self, arrivals: list[tuple[str, int, list[str]]]) -> None:
        for uid, place, others in arrivals:
            await self.arrive(uid, place)
            await self.do("add", uid, place, others)
            await self.settle()

    async def do(self, step: str, uid: str, place: int, what: Any) -> None:
        if step == "arrive":
            await self.arrive(uid, place)
        elif step == "leave":
            self.leave(uid, place)
        elif step == "kill":
            self.kill(place)
        elif step == "protect":
            self.model.privacy[uid] = what
            for server in self.servers.values():
                if server.links[uid]:
                    server.online.protect({uid: what})
        elif self.model.links[uid]:
            while not self.servers[place].links[uid]:
                place = place % len(PLACES) + 1
            pairs = {(uid, other) for other in what}
            if step == "add":
                self.model.announced |= pairs
            else:
                self.model.announced -= pairs
            self.servers[place].online.announce(uid, what, online=step == "add")

    def check(self, once: bool) -> None:
        for place, server in self.servers.items():
            for uid, links in server.links.items():
                right = {other for other in PEOPLE if self.model.shows(other, uid)}
                for link in links:
                    assert link.sees == right, f"what {uid} sees at server {place}"
                    assert not once or not link.surprises


@settings(deadline=None)
@given(begin, steps)
def test_everyone_is_told_of_each_change_once(begin: list[Any], steps: list[Any]) -> None:
    async def play() -> None:
        world = World()
        await world.begin(begin)
        for step in steps:
            await world.do(*step)
            await world.settle()
            world.check(once=True)

    asyncio.run(play())


@settings(deadline=None)
@given(begin, steps)
def test_presence_is_right_again_after_the_network_was_cut(begin: list[Any], meanwhile: list[Any]) -> None:
    async def play() -> None:
        world = World()
        await world.begin(begin)
        world.cut = True
        begun = {uid for uid in PEOPLE if world.model.links[uid]}
        for step, uid, *rest in meanwhile:
            places = [server for server in world.servers.values() if uid and server.links[uid]]
            # What only a server knew that was killed is lost. A list that changed at one of two servers is not dated.
            # Who moved to another server seems to have kept the list that ended meanwhile.
            if (
                step != "kill"
                and (step not in ("add", "drop") or len(places) == 1)
                and (step != "arrive" or uid not in begun)
            ):
                await world.do(step, uid, *rest)
                await world.settle()
        world.cut = False
        for server in world.servers.values():
            for stream in server.online.peers._streams.values():
                stream.ask_at = stream.said_at = 0.0  # some seconds later
            server.online.peers.keep_alive()
        await world.settle()
        for server in world.servers.values():
            for stream in server.online.peers._streams.values():
                stream.ask_at = 0.0
            server.online.peers.keep_alive()
        await world.settle()
        world.check(once=False)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(peers, "PATIENCE", 0)
        asyncio.run(play())


@pytest.mark.parametrize("elsewhere", [False, True])
def test_who_moves_to_another_server_begins_a_new_list(elsewhere: bool) -> None:
    """Unless another device is still there: the first server's word may arrive after the login at the second."""
    ann, bob, *_ = PEOPLE

    async def play() -> None:
        world = World()
        await world.begin([(ann, 1, []), (bob, 2, [ann])])
        if elsewhere:
            await world.arrive(bob, 3)
        world.leave(bob, 2)
        await world.arrive(bob, 1)
        world.check(once=True)

    asyncio.run(play())


def test_nothing_is_kept_of_who_is_gone() -> None:
    async def play() -> None:
        world = World()
        for place in PLACES:
            for uid in PEOPLE:
                await world.arrive(uid, place)
                await world.do("add", uid, place, list(PEOPLE))
        for place in PLACES:
            for uid in PEOPLE:
                world.leave(uid, place)
                await world.settle()
        for server in world.servers.values():
            presence = server.online._presence
            assert not any(vars(presence).values())
            assert not server.online._links
            assert not server.online._arrived

    asyncio.run(play())
