"""The devices of users: connected, renamed, dropped, sent everything again (tmtp.md op 3)."""

from __future__ import annotations

import hashlib
from typing import Any

from django.db import transaction
from django.utils import timezone

from ...models import Node, Report, User
from ...protocol.values import MAX_NODES, decode_base32, make_nodeid
from ..errors import Refused
from ..queue import reports
from ..queue.batch import Batch, in_transaction
from ..queue.queue import FIRST, Outgoing, discard_queue, enqueue, wake_on_commit
from ..storage import sql
from .actors import Sender, devices_of
from .placeholders import hold

LABEL_MAX = 255


@transaction.atomic
def make_node(user: User, label: str) -> tuple[Node, str]:
    """A new node of a user, and its secret, which is not to be had again. Raises Refused at 100 nodes."""
    return create_node(next_node(user), label=label)


@in_transaction
def add_node(sender: Sender, label: str, *, batch: Batch | None = None) -> int:
    """Op 3: a new node, whose queue starts as a copy of the sending node's; all nodes are told its nodeid."""
    if len(label) > LABEL_MAX:
        raise Refused("label_too_long", field="newnode", most=LABEL_MAX)
    node, nodeid = create_node(next_node(User.objects.get(pk=sender.user)), label=label)
    if sender.node is not None:
        sql.copy_queue(node.pk, sender.node)
    return tell_devices(sender, {"newnode": label}, batch, nodeid)


def tell_devices(sender: Sender, members: dict[str, Any], batch: Batch | None, nodeid: str = "") -> int:
    """Queue a `user` message for all nodes of the sender; gives its number."""
    nodes = devices_of([sender.user])
    (number,) = enqueue([Outgoing("user", sender.uid, sender.user, nodes, members, rank=FIRST, nodeid=nodeid)], batch)
    return number


def rename_node(node: Node, label: str) -> None:
    """Call a device something else. Nobody is told: the protocol has no words for it. Raises Refused."""
    if not label.strip():
        raise Refused("label_missing")
    if len(label) > LABEL_MAX:
        raise Refused("label_too_long", field="label", most=LABEL_MAX)
    Node.objects.filter(pk=node.pk).update(label=label)


@transaction.atomic
def drop_node(node: Node) -> None:
    """The device is out: its secret is worthless, its queue is gone, and its link, if any, is closed.

    What waited for the last node of a user waits on, for their next one.
    """
    if not Node.objects.filter(pk=node.pk, dropped=None).update(dropped=timezone.now()):
        return
    held = hold([node.user_id]).first()
    if held:
        sql.copy_queue(held.pk, node.pk)
        reports.move(node.pk, held.pk)
    else:
        reports.end_at(node.pk, Report.End.DROPPED)
    discard_queue(node.pk)
    wake_on_commit()


@transaction.atomic
def redeliver(node: Node) -> None:
    """All that waits for a connected device is sent again now, from the first message on, as when it logs in.

    Its link stays, so it is for a device that has lost what it was sent and does not know. Raises Refused when it
    is not connected: then there is nothing to do, it gets all of it when it logs in.
    """
    if not _ask_to_start_over(node):
        raise Refused("device_not_connected")


@transaction.atomic
def discard_waiting(node: Node) -> int:
    """Drop all that waits for the device, also what its server holds in memory; gives how many messages.

    What is leaving for a connected device at this moment may still reach it.
    """
    reports.end_at(node.pk, Report.End.DISCARDED)
    discarded = discard_queue(node.pk)
    _ask_to_start_over(node)
    return discarded


def _ask_to_start_over(node: Node) -> bool:
    """Have the server that the node is connected to, if any, begin again with its queue; says whether there is one."""
    asked = Node.objects.filter(pk=node.pk, dropped=None, server__isnull=False).update(start_over=timezone.now())
    if asked:
        wake_on_commit()
    return bool(asked)


def next_node(user: User) -> Node:
    """What is to be a user's next device: new, or, with all that waits there, what waited for a first one.

    Raises Refused when the user has all the devices one may have. Locks the user.
    """
    User.objects.select_for_update().get(pk=user.pk)
    if user.nodes.filter(dropped=None, kind=Node.Kind.DEVICE).count() >= MAX_NODES:
        raise Refused("too_many_nodes", most=MAX_NODES)
    return user.nodes.filter(dropped=None, kind=Node.Kind.HOLDING).first() or Node(user=user)


def create_node(node: Node, **fields: Any) -> tuple[Node, str]:
    nodeid = make_nodeid()
    node.kind, node.secret, node.created = Node.Kind.DEVICE, hash_nodeid(nodeid), timezone.now()
    for name, value in fields.items():
        setattr(node, name, value)
    node.save()
    return node, nodeid


def hash_nodeid(nodeid: str) -> bytes:
    """What is stored of a nodeid. It has 200 random bits, so one round of SHA-256 is enough."""
    return hashlib.sha256(decode_base32(nodeid)).digest()
