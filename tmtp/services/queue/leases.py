"""Which server processes run, and which nodes are connected to which."""

from __future__ import annotations

import os
import socket
from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from ...models import Node, ServerLease
from ..storage import sql

LIFETIME = timedelta(seconds=30)


def take(address: str) -> ServerLease:
    """A lease for this process. Ends leases that have run out, and those of dead processes of this host.

    Another process at the same address of the same host is dead too: only one can listen there.
    """
    host = socket.gethostname()
    for old in ServerLease.objects.filter(Q(host=host) | Q(seen__lt=timezone.now() - LIFETIME)):
        if old.seen < timezone.now() - LIFETIME or (address and old.address == address) or not _runs(old.pid):
            end(old)
    return ServerLease.objects.create(host=host, address=address, pid=os.getpid(), seen=timezone.now())


def renew(lease: int, batch: int) -> bool:
    """The process lives, and its batch `batch` commits with this; False when its lease was ended by another."""
    return sql.renew_lease(lease, timezone.now(), batch)


def committed(lease: int) -> int:
    """The last batch of this lease that was committed, 0 when the lease is gone.

    Waits for a transaction of this lease that the database is still at, although its client has been cut off.
    """
    return sql.lease_batch(lease)


def nodes(lease: int) -> set[int]:
    """The nodes that are connected to a server, as far as the database knows."""
    return set(Node.objects.filter(server=lease).values_list("pk", flat=True))


def end(lease: ServerLease) -> None:
    """The process is gone: its nodes are offline."""
    Node.objects.filter(server=lease).update(server=None)
    lease.delete()


@transaction.atomic
def end_dead(grace: timedelta = LIFETIME) -> int:
    """End the leases of servers that nobody took the place of, `grace` after they ran out; gives how many.

    A server that lives after all finds its lease gone, and takes a new one.
    """
    dead = ServerLease.objects.filter(seen__lt=timezone.now() - LIFETIME - grace)
    ended = list(dead.select_for_update())
    for lease in ended:
        end(lease)
    return len(ended)


def release(lease: int) -> None:
    """This process ends."""
    end(ServerLease(pk=lease))


def is_alive(lease: int) -> bool:
    """Whether the process behind a lease was seen lately."""
    return ServerLease.objects.filter(pk=lease, seen__gte=timezone.now() - LIFETIME).exists()


def _runs(pid: int) -> bool:
    if pid == os.getpid():
        return False  # an earlier process had our number
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
