"""Placeholders: nodes of the kind HOLDING, where messages wait for users who have no device and no mailbox.

A placeholder becomes the user's next device or mailbox, with its queue. So every recipient has a queue.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from ...models import Node, User
from ..storage import sql

SECRET_OCTETS = 32  # as long as the hash of a nodeid; random, so that no nodeid has this hash


def hold(users: Collection[int]) -> QuerySet[Node]:
    """Create placeholders for those of the users (their ids) who have no node in use, and return them."""
    without = sql.users_without_node(users)
    return _hold(without) if without else Node.objects.none()


@transaction.atomic
def _hold(users: Collection[int]) -> QuerySet[Node]:
    # Lock the users, since they may be getting a device at this moment.
    locked = User.objects.select_for_update().filter(pk__in=users).order_by("pk")
    without = sql.users_without_node(locked.values_list("pk", flat=True))
    kind, now = Node.Kind.HOLDING.value, timezone.now()
    sql.add_nodes([(user, kind, secrets.token_bytes(SECRET_OCTETS), "", now) for user in without])
    return Node.objects.filter(user__in=without, kind=kind, dropped=None)


def mailbox_of(user: User) -> Node:
    """Return the user's mailbox on the website, a node whose queue holds its messages. Create it if there is none.

    The mailbox takes over the user's placeholder, if there is one, with what waits in it.
    """
    mailbox = user.nodes.filter(kind=Node.Kind.MAILBOX, dropped=None).first()
    return mailbox or _make_mailbox(user)


@transaction.atomic
def _make_mailbox(user: User) -> Node:
    User.objects.select_for_update().get(pk=user.pk)
    found = user.nodes.filter(kind__in=(Node.Kind.MAILBOX, Node.Kind.HOLDING), dropped=None).order_by("kind")
    mailbox = found.first() or Node(user=user)
    if mailbox.kind != Node.Kind.MAILBOX:
        mailbox.kind, mailbox.secret = Node.Kind.MAILBOX, secrets.token_bytes(SECRET_OCTETS)
        mailbox.save()
    return mailbox
