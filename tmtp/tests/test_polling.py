"""A look costs the same however many nodes are connected, and misses none of them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import pytest

from tmtp.engine.polling import SLICE, Due, News, Poller
from tmtp.models import Node, User
from tmtp.protocol.values import make_uid
from tmtp.services.people import devices
from tmtp.services.queue.queue import Outgoing, enqueue, read_messages
from tmtp.services.storage.sql import nodes as node_statements
from tmtp.services.storage.sql import queue as queue_statements

pytestmark = pytest.mark.django_db


def connect(lease: int, count: int) -> list[int]:
    """Return new nodes that are connected to a server."""
    user = User.objects.create(uid=make_uid())
    nodes = [Node(user=user, secret=secrets.token_bytes(32), label="", server_id=lease) for _ in range(count)]
    return sorted(node.pk for node in Node.objects.bulk_create(nodes))


def send(nodes: Sequence[int]) -> int:
    (number,) = enqueue([Outgoing("delivery", "", None, nodes, body=b"x")], None)
    return number


class Looks:
    """The looks of one server whose nodes have all caught up. `cost` is the statements and rows of the last."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, lease: int, nodes: list[int]) -> None:
        self.lease, self.nodes = lease, dict.fromkeys(nodes)
        self.due, self.poller = Due(), Poller()
        self.cost = [0, 0]
        for module in (node_statements, queue_statements):
            monkeypatch.setattr(module, "fetch", self._counted(module.fetch))

    def _counted(self, fetch: Any) -> Any:
        def counted(*args: Any) -> Any:
            rows = fetch(*args)
            self.cost = [self.cost[0] + 1, self.cost[1] + len(rows)]
            return rows

        return counted

    def poll(self) -> News:
        self.cost = [0, 0]
        self.due.marks = self.due.slice = True
        question = self.due.next(self.nodes)
        question.caught_up = question.swept
        news = self.poller.look(self.lease, self.nodes, question)
        self.due.again |= news.wrote
        return news


def test_the_cost_of_a_look_does_not_depend_on_the_number_of_nodes(
    lease: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = []
    for count in (SLICE, 5 * SLICE):
        nodes = connect(lease, count)
        looks = Looks(monkeypatch, lease, nodes)
        looks.poll()
        costs.append(looks.cost)
        Node.objects.filter(pk__in=nodes).update(server=None)
        monkeypatch.undo()
    assert costs == [[3, SLICE]] * 2


def test_a_sweep_finds_what_waits_for_any_node_and_who_is_gone(lease: int, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = connect(lease, 3 * SLICE)
    first, last = nodes[0], nodes[-1]
    number = send([first, last])
    Node.objects.filter(pk=nodes[SLICE]).update(server=None)
    looks = Looks(monkeypatch, lease, nodes)
    waiting, gone = {}, []
    for _ in range(3):
        news = looks.poll()
        waiting |= news.waiting
        gone += news.gone
    assert waiting == {first: [number], last: [number]}
    assert gone == [nodes[SLICE]]


def test_a_mark_is_found_by_the_next_look(lease: int, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = connect(lease, 3 * SLICE)
    looks = Looks(monkeypatch, lease, nodes)
    devices.redeliver(Node.objects.get(pk=nodes[-1]))
    assert looks.poll().start_over == [nodes[-1]]


def test_what_is_handed_over_is_read_once_for_all_nodes(lease: int, monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = connect(lease, 20)
    offline = connect(lease, 10)
    number = send([*nodes, *offline])
    looks = Looks(monkeypatch, lease, nodes)
    (parcel,) = read_messages([number], looks.nodes)
    assert (parcel.number, sorted(parcel.nodes)) == (number, nodes)
    assert parcel.frame.endswith(b"x")
    assert looks.cost == [1, 1], "once, however many nodes it is for"


def test_a_message_that_waits_for_nobody_any_more_is_not_read(lease: int) -> None:
    assert read_messages([12345], connect(lease, 1)) == []
