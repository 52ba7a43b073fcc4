"""Which server processes run, and which nodes are connected to which.

A server takes a lease when it starts, and a lock with the lease's number (`storage.locks`). It lives as long as it
holds the lock and renews the lease, which each batch of its store does. All times are of the database's own clock, so
that the clocks of hosts do not matter; nor do their names or the numbers of processes, which containers may share.

A batch whose lease is gone does not commit. So whoever ends a lease can be sure that its server writes nothing more
under it, even if that server lives after all.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Collection
from datetime import timedelta

from django.db import transaction
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now

from ...models import LimitCount, Node, ServerLease
from ..storage import handover, locks, sql
from ..storage.clock import clock, running
from .batch import Batch

LIFETIME = timedelta(seconds=30)


def take(address: str, pid: int = 0) -> ServerLease:
    """Take a lease for a process, by default this one, that listens at `address`.

    Host, address and process are for people to read.
    """
    host, pid = socket.gethostname(), pid or os.getpid()
    lease = ServerLease.objects.create(host=host, address=address, pid=pid, seen=Now())
    locks.hold(lease.pk)
    return lease


def renew(leases: Collection[int], batch: int) -> set[int]:
    """Renew leases, and note the batch that commits with this. Return those that were ended by another process."""
    asked = running()
    renewed, told = sql.renew_leases(leases, batch)
    if told is not None:
        clock.learn(told, asked)
    for lease in renewed:
        locks.hold(lease)  # again, if the connection was lost with its locks
    return {*leases} - renewed


def committed(lease: int) -> int:
    """Return the last batch of this lease that was committed, 0 when the lease is gone.

    Wait for a transaction of this lease that the database is still at, although its client has been cut off.
    """
    return sql.lease_batch(lease)


def nodes(lease: int, *, batch: Batch | None = None) -> set[int]:
    """Return the nodes that are connected to a server, as far as the database knows."""
    return set(Node.objects.filter(server=lease).values_list("pk", flat=True))


def end(lease: ServerLease) -> None:
    """End a lease: its nodes are offline."""
    Node.objects.filter(server=lease).update(server=None)
    locks.release(lease.pk)
    handover.forget(lease.pk)
    LimitCount.objects.filter(server=lease.pk).delete()
    lease.delete()


@transaction.atomic
def end_dead() -> int:
    """End the leases of servers that are gone. Return their number.

    A server is gone when its lease was not renewed, nor its lock held, at two looks that are LIFETIME apart: after the
    database was away, all servers seem gone for a moment.
    """
    ended = 0
    for lease in ServerLease.objects.filter(seen__lt=fresh()).select_for_update():
        if locks.is_held(lease.pk):
            continue
        if ServerLease.objects.filter(pk=lease.pk, suspected__lt=fresh()).exists():
            end(lease)
            ended += 1
        elif lease.suspected is None:
            ServerLease.objects.filter(pk=lease.pk).update(suspected=Now())
    return ended


def release(lease: int) -> None:
    """End this process's own lease."""
    end(ServerLease(pk=lease))


def fresh() -> CombinedExpression:
    """Return the time since which a lease must have been renewed, by the database's clock, for a query."""
    return Now() - LIFETIME


def alive(besides: int = 0) -> set[int]:
    """Return the leases of all servers that are alive, `besides` one."""
    renewed = ServerLease.objects.filter(seen__gte=fresh()).exclude(pk=besides).values_list("pk", flat=True)
    return locks.held_among(renewed) if renewed and locks.are_possible() else set(renewed)


def is_alive(lease: int) -> bool:
    """Return whether the server with this lease holds its lock, where there are any, and renewed the lease lately."""
    renewed = ServerLease.objects.filter(pk=lease, seen__gte=fresh()).exists()
    return renewed and (locks.is_held(lease) or not locks.are_possible())
