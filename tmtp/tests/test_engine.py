"""The engine: it starts again after a failure, the end of a link ends no other, and leftovers are swept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import pytest

from tmtp.consumers import TmtpConsumer
from tmtp.engine import housekeeping
from tmtp.engine.engine import Engine
from tmtp.engine.handover import HandOver
from tmtp.engine.online import Online
from tmtp.links.session import Session
from tmtp.models import Node, QueueEntry, Sample
from tmtp.services.monitoring import samples
from tmtp.services.people import users
from tmtp.services.queue import leases
from tmtp.services.queue.batch import without_batch
from tmtp.services.storage import handover, sql
from tmtp.store.transactions import Unavailable

from .processes import until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    engine = Engine("127.0.0.1:1")
    await engine.start()
    yield engine
    await engine.stop()


async def link() -> list[str]:
    """Serve a link whose client disconnects at once. Return the types of the events that it was sent."""
    sent: list[str] = []

    async def receive() -> dict[str, Any]:
        return {"type": "tcp.disconnect"}

    async def send(event: dict[str, Any]) -> None:
        sent.append(event["type"])

    await TmtpConsumer()({"type": "tcp", "client": ["127.0.0.1", 2]}, receive, send)
    return sent


# the notices of other processes


async def test_it_knows_whether_others_tell_of_their_changes(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It polls more often while they do not."""
    hears: list[Callable[[bool], object]] = []

    async def listen(server: int, take: object, listening: Callable[[bool], object]) -> None:
        hears.append(listening)

    monkeypatch.setattr(handover, "listen", listen)
    told = HandOver(dict, dict)
    task = asyncio.create_task(told.listen(engine.lease, lambda notice: None, lambda: None))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not told.is_listening, "a channel layer or a pool may be in between, through which none arrive"
    for heard in (True, False, True):
        hears[0](heard)
        assert told.is_listening is heard
    task.cancel()


# samples


async def test_no_sample_is_taken_while_the_store_has_no_database(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A connection of another thread would make an empty database in the place of one that was moved away."""
    taken: list[str] = []

    async def fail(*args: object) -> None:
        taken.append("asked the store")
        raise Unavailable("store_unavailable")

    monkeypatch.setattr(samples, "until_next", lambda: 0.01)
    monkeypatch.setattr(samples, "take_whole", lambda: taken.append("connected"))
    with monkeypatch.context() as away:
        away.setattr(engine.store, "run", fail)
        task = asyncio.create_task(engine.background._sample())
        await until(lambda: len(taken) == 3)
    assert set(taken) == {"asked the store"}
    await until(lambda: "connected" in taken)
    task.cancel()
    said = [text for text in caplog.messages if "sample" in text]
    assert len(said) == 2, said
    assert said[0].startswith("no sample was taken: ")
    assert said[1] == "samples are taken again"
    assert await Sample.objects.filter(server=engine.lease.id).aexists()


# starting at the first link


async def test_a_failed_start_is_tried_again_at_the_next_link(monkeypatch: pytest.MonkeyPatch) -> None:
    stores = []

    def fail() -> None:
        assert Engine._current
        stores.append(Engine._current.store)
        raise Unavailable("database_error", reason="away")

    with monkeypatch.context() as patch:
        patch.setattr(housekeeping, "_prepare", fail)
        for _ in range(2):
            assert await link() == ["tcp.close"], "without a word"
            assert Engine._current is None
    assert len(stores) == 2
    assert not any(store._thread.is_alive() for store in stores)
    assert await link() == ["tcp.close"]
    assert Engine._current
    await Engine._current.stop()
    assert Engine._current is None


async def test_links_that_come_together_start_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def fail() -> None:
        tried.append(True)
        raise Unavailable("database_error", reason="away")

    monkeypatch.setattr(housekeeping, "_prepare", fail)
    assert await asyncio.gather(*(link() for _ in range(5))) == [["tcp.close"]] * 5
    assert len(tried) == 1


# leases


async def enter(engine: Engine, uid: str = "", nodeid: str = "") -> tuple[Session, str]:
    """Log a link in, or register it. Return it and its nodeid."""
    session, lease = Session(engine, "127.0.0.1"), engine.lease.id
    assert engine.links.open(session)
    if uid:
        service = partial(users.log_in, uid, nodeid, lease)
        await engine.links.claim(session, service, lambda sender: sender, lease, savepoint=False)
    else:
        register = partial(users.register, "laptop", lease=lease)
        new = await engine.links.claim(session, register, lambda new: new.sender, lease, savepoint=False)
        nodeid = new.nodeid
    await engine.links.welcome(session)
    return session, nodeid


async def server_of(engine: Engine, session: Session) -> int | None:
    assert session.sender
    node = session.sender.node
    found: int | None = await engine.store.run(None, without_batch(lambda: Node.objects.get(pk=node).server_id))
    return found


async def test_a_link_of_a_lost_lease_does_not_end_a_fresh_one_of_its_node(engine: Engine) -> None:
    old, nodeid = await enter(engine)
    assert await server_of(engine, old) == engine.lease.id
    before, engine.store.leases = engine.lease.id, frozenset()
    await engine.store.run(None, without_batch(leases.release, before))  # as another server may do
    engine.store.leases = frozenset([before])
    with pytest.raises(Unavailable):
        await engine.store.run(None, without_batch(int))
    assert engine.store.lost == {before}
    await engine.lease._start_over()
    assert old.closing and old.sender
    assert engine.lease.id != before
    fresh, _ = await enter(engine, old.sender.uid, nodeid)
    engine.links.farewell(old)
    assert await server_of(engine, fresh) == engine.lease.id
    engine.links.farewell(fresh)
    assert await server_of(engine, fresh) is None


# logging in


async def test_whoever_is_popular_can_log_in(engine: Engine) -> None:
    """Contacts that do not fit into the answer to a login are sent one by one."""
    (popular, nodeid), (friend, _) = await enter(engine), await enter(engine)
    assert popular.sender and friend.sender
    uid = popular.sender.uid
    engine.links.farewell(popular)
    names = [f"{number:032}" for number in range(2500)]
    for name in names:
        engine.online._presence.arrive(name)
        engine.online.announce(name, [uid], online=True)
    again, _ = await enter(engine, uid, nodeid)
    frames = b"".join(item for item in again.outgoing() if isinstance(item, bytes))
    heads = []
    while frames:
        length = int(frames[:4], 16)
        heads.append(json.loads(frames[4 : 4 + length]))
        frames = frames[4 + length :]
    assert heads[0]["info"] == "login ok"
    assert sorted([*heads[0]["ohi"], *(head["from"] for head in heads[1:])]) == names
    assert {head["status"] for head in heads[1:]} == {1}


@pytest.mark.parametrize("fails", ["greet", "arrive"])
async def test_a_login_that_fails_after_its_claim_frees_the_node(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    first, nodeid = await enter(engine)
    assert first.sender
    engine.links.farewell(first)
    with monkeypatch.context() as patch:
        patch.setattr(Session if fails == "greet" else Online, fails, lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await enter(engine, first.sender.uid, nodeid)
    (broken,) = engine.links
    engine.links.farewell(broken)
    again, _ = await enter(engine, first.sender.uid, nodeid)
    assert await server_of(engine, again) == engine.lease.id


async def test_a_link_that_ends_while_it_logs_in_frees_the_node(engine: Engine) -> None:
    first, nodeid = await enter(engine)
    assert first.sender
    engine.links.farewell(first)
    login = asyncio.ensure_future(enter(engine, first.sender.uid, nodeid))
    await asyncio.sleep(0)
    (link,) = engine.links
    login.cancel()
    engine.links.farewell(link)
    await server_of(engine, first)  # the claim has been committed and reported
    assert await server_of(engine, first) is None
    again, _ = await enter(engine, first.sender.uid, nodeid)
    assert await server_of(engine, again) == engine.lease.id


# sweeping


async def test_leftovers_are_swept_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "SWEEP", 0.01)
    engine = Engine("127.0.0.1:1")
    await engine.start()
    await engine.store.run(None, without_batch(sql.add_entries, [(1, 1, 12345)]))  # no such node, no such message
    async with asyncio.timeout(60):
        while await engine.store.run(None, without_batch(QueueEntry.objects.exists)):
            await asyncio.sleep(0.01)
    await engine.stop()
