"""Where messages wait for users who have no device and no mailbox yet, or no more: a node of the kind HOLDING.

It becomes the first device or the mailbox, with all that waits there. So whoever is written to has a queue.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection

from django.db import transaction

from ..models import Node, User

SECRET_OCTETS = 32  # as many as a hash; nobody has a nodeid that hashes to it


@transaction.atomic
def hold(users: Collection[int]) -> list[Node]:
    """A place to wait for those of the users (by their ids) who have no node in use; gives the new ones."""
    if not _without_node(users):
        return []
    # Locked, since they may be getting a device at this moment.
    locked = User.objects.select_for_update().filter(pk__in=_without_node(users)).order_by("pk")
    without = _without_node(list(locked.values_list("pk", flat=True)))
    return Node.objects.bulk_create(
        Node(user_id=user, kind=Node.Kind.HOLDING, secret=secrets.token_bytes(SECRET_OCTETS), label="")
        for user in without
    )


def _without_node(users: Collection[int]) -> list[int]:
    used = set(Node.objects.filter(user__in=users, dropped=None).values_list("user_id", flat=True))
    return [user for user in users if user not in used]


@transaction.atomic
def mailbox_of(user: User) -> Node:
    """The user's mailbox on the website: a node whose queue is what is in it. Made when it is first asked for.

    It takes over what waited for a first device.
    """
    own = user.nodes.filter(dropped=None)
    mailbox = own.filter(kind=Node.Kind.MAILBOX).first()
    if mailbox is None:
        User.objects.select_for_update().get(pk=user.pk)
        found = own.filter(kind__in=(Node.Kind.MAILBOX, Node.Kind.HOLDING)).order_by("kind")
        mailbox = found.first() or Node(user=user)
        if mailbox.kind != Node.Kind.MAILBOX:
            mailbox.kind, mailbox.secret = Node.Kind.MAILBOX, secrets.token_bytes(SECRET_OCTETS)
            mailbox.save()
    return mailbox
