"""Servers, numbers, and what a server finds out about what others did."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from tmtp.engine import polling
from tmtp.engine.polling import Poller
from tmtp.models import Node, ServerLease
from tmtp.services.messages.posting import post
from tmtp.services.messages.posts import Post
from tmtp.services.people import devices, users
from tmtp.services.people.actors import Sender
from tmtp.services.queue import leases
from tmtp.services.storage import numbers, sql
from tmtp.services.storage.numbers import Numbers

from .people import own, to

pytestmark = pytest.mark.django_db


def other_server(**fields: Any) -> ServerLease:
    fields = {"host": "elsewhere", "address": "a:1", "pid": 1, "seen": timezone.now(), **fields}
    return ServerLease.objects.create(**fields)


# leases


def test_a_restarted_server_takes_over() -> None:
    here = leases.take("a:1")
    node = users.register("laptop", lease=here.pk).sender.node
    again = leases.take("a:1")
    assert not ServerLease.objects.filter(pk=here.pk).exists()
    assert Node.objects.get(pk=node).server_id is None
    assert leases.is_alive(again.pk)


@pytest.mark.parametrize(
    ("fields", "ends"),
    [
        ({}, False),
        ({"seen": timedelta(seconds=-31)}, True),
        ({"host": "here", "address": "b:2"}, False),
        ({"host": "here", "address": "a:1"}, True),
        ({"host": "here", "address": "b:2", "pid": 2**22 + 1}, True),
        ({"host": "here", "address": "b:2", "pid": os.getpid()}, True),
    ],
)
def test_which_leases_a_new_server_ends(fields: dict[str, Any], ends: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases.socket, "gethostname", lambda: "here")
    if "seen" in fields:
        fields = {**fields, "seen": timezone.now() + fields["seen"]}
    other = other_server(**{"pid": os.getppid(), **fields})
    leases.take("a:1")
    assert ServerLease.objects.filter(pk=other.pk).exists() != ends


def test_a_lease_lives_while_it_is_renewed() -> None:
    lease = other_server(seen=timezone.now() - timedelta(seconds=40))
    assert not leases.is_alive(lease.pk)
    assert leases.renew(lease.pk, 7)
    assert leases.is_alive(lease.pk)
    assert leases.committed(lease.pk) == 7
    seen = ServerLease.objects.get(pk=lease.pk).seen
    assert abs((timezone.now() - seen).total_seconds()) < 5
    leases.release(lease.pk)
    assert not leases.renew(lease.pk, 8)
    assert leases.committed(lease.pk) == 0


# numbers


def test_numbers_rise_whatever_the_clock_does(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Numbers()
    now = time.time_ns()
    given = []
    for passed in (0, 0, 1, 5000, 10**9, 10**9, -(10**12), 2 * 10**9):
        monkeypatch.setattr(numbers.time, "time_ns", lambda passed=passed: now + passed)
        given += [source.next() for _ in range(20)]
    assert given == sorted(set(given))
    assert abs(given[0] - now) < 10**6
    source.start_after(given[-1] + 10**15)
    assert source.next() > given[-1] + 10**15


def test_numbers_are_unique_among_threads_and_processes() -> None:
    source, other = Numbers(), Numbers()
    other._slot = (source._slot + 1) % numbers.STEP
    with ThreadPoolExecutor(4) as pool:
        given = list(pool.map(lambda _: source.next(), range(2000)))
    given += [other.next() for _ in range(2000)]
    assert len(set(given)) == 4000


# watch


def connected(lease: int) -> Sender:
    return users.register("laptop", lease=lease).sender


def test_a_look_finds_what_waits_and_who_must_go(lease: int) -> None:
    ann, bob, cat, dan = (connected(lease) for _ in range(4))
    nodes = [person.node or 0 for person in (ann, bob, cat, dan)]
    numbers_of = list(post([Post(bob, to(ann), b"1"), Post(bob, to(ann, cat), b"2")]))
    devices.drop_node(Node.objects.get(pk=bob.node))
    Node.objects.filter(pk=dan.node).update(server=other_server())
    news = Poller().look(lease, nodes[:2], nodes)
    assert news.waiting == {ann.node: numbers_of}, "only of those who have caught up"
    assert sorted(news.gone) == [bob.node, dan.node]
    assert news.start_over == []


def test_a_node_starts_over_once(lease: int) -> None:
    ann = connected(lease)
    devices.redeliver(Node.objects.get(pk=ann.node))
    look = Poller()
    assert look.look(lease, [], own(ann)).start_over == [ann.node]
    assert look.look(lease, [], own(ann), whoever_wrote=True).start_over == []


def test_a_look_at_thousands_goes_on_where_much_waits(lease: int, monkeypatch: pytest.MonkeyPatch) -> None:
    people = [connected(lease) for _ in range(5)]
    post([Post(people[0], to(*people), b"x")] * 3)
    nodes = [person.node or 0 for person in people]
    monkeypatch.setattr(polling, "NODES_AT_ONCE", 2)
    assert Poller().look(lease, nodes, nodes).waiting.keys() == set(nodes)
    monkeypatch.setattr(polling, "LOOK_LIMIT", 4)
    news = Poller().look(lease, nodes, nodes)
    assert len(news.waiting) == 5
    assert not news.complete


def test_on_sqlite_nothing_is_read_unless_someone_else_has_written(lease: int) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("only SQLite tells")
    ann = connected(lease)
    look = Poller()
    post([Post(ann, to(ann), b"x")])
    assert look.look(lease, own(ann), own(ann)).waiting, "the first look looks"
    assert not look.look(lease, own(ann), own(ann)).waiting
    assert look.look(lease, own(ann), own(ann), whoever_wrote=True).waiting
    look._seen = object(), look._seen[1]  # the same version, of another connection
    assert look.look(lease, own(ann), own(ann)).waiting


def test_of_two_servers_that_a_node_logs_in_to_at_once_one_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The claim depends on what was seen, in one statement: the other server may have been faster."""
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
