"""Leases of servers, message numbers, and polling for changes by other servers."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from tmtp.engine import polling
from tmtp.engine.polling import Poller, Question
from tmtp.models import Node, ServerLease
from tmtp.services.messages.posting import post
from tmtp.services.messages.posts import Post
from tmtp.services.people import devices, users
from tmtp.services.people.actors import Sender
from tmtp.services.queue import leases
from tmtp.services.storage import locks, numbers, sql
from tmtp.services.storage.numbers import Numbers

from .people import own, to

pytestmark = pytest.mark.django_db
LOCK = 2**30  # no lease has this number


def other_server(**fields: Any) -> ServerLease:
    fields = {"host": "elsewhere", "address": "a:1", "pid": 1, "seen": timezone.now(), **fields}
    return ServerLease.objects.create(**fields)


def age(lease: int, seconds: float, field: str = "seen") -> None:
    ServerLease.objects.filter(pk=lease).update(**{field: timezone.now() - timedelta(seconds=seconds)})


# leases


def test_servers_that_look_the_same_leave_each_other_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers may have the same host name, process ids and addresses."""
    monkeypatch.setattr(leases.socket, "gethostname", lambda: "here")
    monkeypatch.setattr(leases.os, "getpid", lambda: 1)
    one, other = leases.take("a:1").pk, leases.take("a:1").pk
    node = users.register("laptop", lease=one).sender.node
    for _ in range(3):
        assert leases.end_dead() == 0
        assert not leases.renew([one, other], 1)
    assert leases.is_alive(one) and leases.is_alive(other)
    assert Node.objects.get(pk=node).server_id == one


@pytest.mark.parametrize("hours", [-1, 1])
def test_the_clock_of_the_host_does_not_matter(hours: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = leases.take("a:1").pk
    elsewhere = timezone.now() + timedelta(hours=hours)
    monkeypatch.setattr(timezone, "now", lambda: elsewhere)
    assert leases.is_alive(lease)
    assert leases.end_dead() == 0
    assert not leases.renew([lease], 1)
    assert leases.is_alive(lease)


def test_a_lease_lives_while_it_is_renewed() -> None:
    lease = leases.take("a:1").pk
    age(lease, 40)
    assert not leases.is_alive(lease)
    assert not leases.renew([lease], 7)
    assert leases.is_alive(lease)
    assert leases.committed(lease) == 7
    leases.release(lease)
    assert leases.renew([lease], 8) == {lease}
    assert leases.committed(lease) == 0


def test_a_server_whose_process_has_ended_is_not_alive() -> None:
    """Even if its lease is fresh, its devices may log in elsewhere at once."""
    assert not leases.is_alive(other_server().pk)


def test_a_dead_server_ends_at_the_second_look() -> None:
    """After an outage of the database, all servers seem dead for a moment."""
    dead = other_server().pk
    node = users.register("laptop", lease=dead).sender.node
    assert leases.end_dead() == 0, "it was renewed lately"
    age(dead, 40)
    assert leases.end_dead() == 0
    assert not leases.renew([dead], 1), "it was only away"
    age(dead, 40)
    leases.locks.release(dead)
    for _ in range(2):
        assert leases.end_dead() == 0
    age(dead, 40, "suspected")
    assert leases.end_dead() == 1
    assert Node.objects.get(pk=node).server_id is None


def test_a_server_that_holds_its_lock_is_not_ended() -> None:
    lease = leases.take("a:1").pk
    for field in ("seen", "suspected"):
        age(lease, 300, field)
    assert leases.end_dead() == 0
    assert not leases.is_alive(lease), "but it may hang: its devices may log in elsewhere"


@pytest.mark.django_db(transaction=True)
def test_a_lock_ends_with_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if connection.vendor == "postgresql":
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(locks.hold, LOCK).result()
            assert locks.is_held(LOCK)
            assert not locks.hold(LOCK), "another connection has it"
            pool.submit(lambda: connection.close()).result()  # the thread's
    else:
        path = tmp_path / "lock"
        monkeypatch.setattr(locks, "path_of", lambda number: path)
        script = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, 2); print(1, flush=True); input()"
        command = [sys.executable, "-c", script, str(path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout and process.stdout.readline()
            assert locks.is_held(LOCK)
            assert not locks.hold(LOCK), "another process has it"
            process.kill()
    last = time.monotonic() + 60
    while locks.is_held(LOCK) and time.monotonic() < last:
        time.sleep(0.01)
    assert locks.hold(LOCK)
    assert locks.is_held(LOCK)
    locks.release(LOCK)
    assert not locks.is_held(LOCK)


# numbers


def test_numbers_rise_whatever_the_clock_does() -> None:
    now = time.time_ns()
    clock = [now]
    source = Numbers(lambda: clock[0])
    given = []
    for passed in (0, 0, 1, 5000, 10**9, 10**9, -(10**12), 2 * 10**9):
        clock[0] = now + passed
        given += [source.next() for _ in range(20)]
    assert given == sorted(set(given))
    assert abs(given[0] - now) < 10**6
    source.start_after(given[-1] + 10**15)
    assert source.next() > given[-1] + 10**15


def test_numbers_are_unique_among_threads_and_processes() -> None:
    source, other = Numbers(time.time_ns), Numbers(time.time_ns)
    other._slot = (source._slot + 1) % numbers.STEP
    with ThreadPoolExecutor(4) as pool:
        given = list(pool.map(lambda _: source.next(), range(2000)))
    given += [other.next() for _ in range(2000)]
    assert len(set(given)) == 4000


# polling


def connected(lease: int) -> Sender:
    return users.register("laptop", lease=lease).sender


def test_a_look_finds_what_waits_and_who_must_go(lease: int) -> None:
    ann, bob, cat, dan = (connected(lease) for _ in range(4))
    nodes = [person.node or 0 for person in (ann, bob, cat, dan)]
    numbers_of = list(post([Post(bob, to(ann), b"1"), Post(bob, to(ann, cat), b"2")]))
    devices.drop_node(Node.objects.get(pk=bob.node))
    Node.objects.filter(pk=dan.node).update(server=other_server())
    news = Poller().look(lease, nodes, Question(nodes, nodes[:2]))
    assert news.waiting == {ann.node: numbers_of}, "only of those who have caught up"
    assert sorted(set(news.gone)) == [bob.node, dan.node]
    assert news.start_over == []


def test_a_node_starts_over_once(lease: int) -> None:
    ann = connected(lease)
    devices.redeliver(Node.objects.get(pk=ann.node))
    look = Poller()
    assert look.look(lease, [], Question()).start_over == [], "it is only just logging in"
    assert look.look(lease, own(ann), Question(whoever_wrote=True)).start_over == [ann.node]
    assert look.look(lease, own(ann), Question(whoever_wrote=True)).start_over == []


def test_a_look_says_when_too_much_waits(lease: int, monkeypatch: pytest.MonkeyPatch) -> None:
    people = [connected(lease) for _ in range(5)]
    post([Post(people[0], to(*people), b"x")] * 3)
    nodes = [person.node or 0 for person in people]
    news = Poller().look(lease, nodes, Question(nodes, nodes))
    assert news.waiting.keys() == set(nodes)
    assert news.complete
    monkeypatch.setattr(polling, "LOOK_LIMIT", 4)
    assert not Poller().look(lease, nodes, Question(nodes, nodes)).complete


def test_on_sqlite_nothing_is_read_unless_someone_else_has_written(lease: int) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("only SQLite tells")
    ann = connected(lease)
    look = Poller()
    for times in range(3):
        devices.redeliver(Node.objects.get(pk=ann.node))
        assert look.look(lease, own(ann), Question()).start_over == (own(ann) if times == 0 else []), "the first looks"
    assert look.look(lease, own(ann), Question(whoever_wrote=True)).start_over == own(ann)
    devices.redeliver(Node.objects.get(pk=ann.node))
    look._seen = object(), look._seen[1]  # the same version, of another connection
    news = look.look(lease, own(ann), Question())
    assert news.start_over == own(ann)
    assert news.wrote


def test_of_two_servers_that_a_node_logs_in_to_at_once_one_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The claim compares with what was read, in one statement, since another server may have been faster."""
    new = users.register("laptop")
    first, second = leases.take("10.0.0.1:1").pk, leases.take("10.0.0.2:1").pk
    look_up = sql.node_by_secret

    def slow(secret: bytes) -> Any:
        found = look_up(secret)
        monkeypatch.setattr(sql, "node_by_secret", look_up)
        users.log_in(new.sender.uid, new.nodeid, first)
        return found

    monkeypatch.setattr(sql, "node_by_secret", slow)
    with pytest.raises(users.NodeConnected):
        users.log_in(new.sender.uid, new.nodeid, second)
    assert Node.objects.get(pk=new.sender.node).server_id == first


def test_behind_a_pool_the_renewals_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "is_pooled", lambda: True)
    lease = other_server().pk
    assert leases.is_alive(lease), "there are no locks"
    age(lease, 40)
    assert not leases.is_alive(lease)
