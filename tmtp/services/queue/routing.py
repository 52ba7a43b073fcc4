"""Which servers are told of changes. New messages go to those that the messages' nodes are connected to.

After a commit, a sender reads from the database where the nodes are, and hands the numbers of the messages over to
these servers (`storage.handover`). They read the messages, each one once, and deliver them.

It must be after the commit. A node that logs in at the same moment either is seen here with its server, or has its
queue read after the commit, so that the message is found there.

A hand-over that is lost, or that a crash prevents, loses no message: servers sweep the queues of their nodes.

What is decided about a node, such as that it is dropped, is marked in its row. All servers are told to look for marks.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from functools import partial

from django.db import Error, transaction

from ...models import ServerLease
from ..storage import sql
from ..storage.handover import MARKED, Routes, send_now
from ..storage.handover import posted as notices_of
from ..storage.hints import wake
from ..storage.outages import Outage

Posted = Sequence[tuple[int, Sequence[int]]]  # numbers of messages, with the nodes that each is for
_posting = Outage("new messages were not handed over: %s", "new messages are handed over again")


def hand_over_on_commit(posted: Posted) -> None:
    """Hand messages over once the transaction commits."""
    transaction.on_commit(partial(_hand_over, posted))


def _hand_over(posted: Posted) -> None:
    try:
        send_now(notices_of(find_servers(posted)))
        _posting.over()
    except Error as error:
        _posting.met(error)


def tell_marked_on_commit() -> None:
    """Have servers and open mailboxes look for what has changed, once the transaction commits."""
    transaction.on_commit(_tell_marked)


def _tell_marked() -> None:
    try:
        send_now([(lease, MARKED) for lease in ServerLease.objects.values_list("pk", flat=True)])
    except Error as error:
        _posting.met(error)
    wake()


def find_servers(posted: Posted, besides: Container[int] = ()) -> Routes:
    """Return the numbers of messages by the servers that their nodes are connected to, `besides` some."""
    routes: Routes = {}
    servers = sql.servers_of_nodes({node for _, nodes in posted for node in nodes})
    server_of = {node: server for node, server in servers if server not in besides}
    if server_of:
        for number, nodes in posted:
            for server in {server_of[node] for node in nodes if node in server_of}:
                routes.setdefault(server, []).append(number)
    return routes
