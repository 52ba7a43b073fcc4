"""Devices of users: add, rename and drop them, and send or discard what waits for them (tmtp.md op 3)."""

from __future__ import annotations

import hashlib
from typing import Any

from django.db import transaction
from django.utils import timezone

from ...conf import conf
from ...models import Node, Report, User
from ...protocol.values import MAX_NODES, decode_base32, make_nodeid
from ..errors import Refused
from ..queue import reports
from ..queue.batch import Batch, in_transaction
from ..queue.queue import FIRST, Outgoing, discard_queue, enqueue
from ..queue.routing import tell_marked_on_commit
from ..storage import room, sql
from ..text import visible
from .actors import Sender, devices_of
from .placeholders import hold

LABEL_MAX = 255
DEFAULT_LABEL = "device"


@transaction.atomic
def make_node(user: User, label: str) -> tuple[Node, str]:
    """Create a node for a user. Return it and its nodeid, of which only a hash is stored.

    Raise Refused if the user has too many devices already.
    """
    return create_node(next_node(user), label=label)


@in_transaction
def add_node(sender: Sender, label: str, *, batch: Batch | None = None) -> int:
    """Create a node (op 3, newnode), send its nodeid to all devices of the sender, and return the message's number.

    Its queue starts as a copy of the sending node's queue. Raise Refused for a long label, or for too many devices.
    """
    if len(label) > LABEL_MAX:
        raise Refused("label_too_long", field="newnode", most=LABEL_MAX)
    room.check()
    node, nodeid = create_node(next_node(User.objects.get(pk=sender.user)), label=label)
    if sender.node is not None:
        sql.copy_queue(node.pk, sender.node)
    return tell_devices(sender, {"newnode": label}, batch, nodeid)


def tell_devices(sender: Sender, members: dict[str, Any], batch: Batch | None, nodeid: str = "") -> int:
    """Queue a `user` message for all devices of the sender, and return its number."""
    nodes = devices_of([sender.user])
    (number,) = enqueue([Outgoing("user", sender.uid, sender.user, nodes, members, rank=FIRST, nodeid=nodeid)], batch)
    return number


def rename_node(node: Node, label: str) -> None:
    """Change the label of a device. No message is sent, since the protocol has none for it.

    Raise Refused for a label that is too long, or in which nothing is visible.
    """
    if not visible(label):
        raise Refused("label_missing")
    if len(label) > LABEL_MAX:
        raise Refused("label_too_long", field="label", most=LABEL_MAX)
    Node.objects.filter(pk=node.pk).update(label=visible(label))


@transaction.atomic
def drop_node(node: Node) -> None:
    """Drop a device: it cannot log in any more, its queue is deleted, and its link, if any, is closed.

    The queue of a user's last node is kept for their next one.
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
    tell_marked_on_commit()


@transaction.atomic
def redeliver(node: Node) -> None:
    """Send all waiting messages to a connected device again, from the first one on, as after a login.

    The link stays open. This helps a device that has lost messages without noticing. Raise Refused if the device is
    not connected: it gets all waiting messages when it logs in.
    """
    if not _ask_to_start_over(node):
        raise Refused("device_not_connected")


@transaction.atomic
def discard_waiting(node: Node) -> int:
    """Delete all messages that wait for the device, and return how many. Its server forgets them, too.

    A message that is being sent at this moment may still reach the device.
    """
    reports.end_at(node.pk, Report.End.DISCARDED)
    discarded = discard_queue(node.pk)
    _ask_to_start_over(node)
    return discarded


def _ask_to_start_over(node: Node) -> bool:
    """Have the node's server read its queue again from the start. Return whether the node is connected."""
    asked = Node.objects.filter(pk=node.pk, dropped=None, server__isnull=False).update(start_over=timezone.now())
    if asked:
        tell_marked_on_commit()
    return bool(asked)


def next_node(user: User) -> Node:
    """Return the node to become the user's next device: a new one, or their placeholder with what waits in it.

    Raise Refused if the user has too many devices already, or is disabled. Lock the user.
    """
    if User.objects.select_for_update().get(pk=user.pk).disabled:
        raise Refused("account_disabled")
    most = min(conf.limit("nodes_per_user") or MAX_NODES, MAX_NODES)
    if user.nodes.filter(dropped=None, kind=Node.Kind.DEVICE).count() >= most:
        raise Refused("too_many_nodes", most=most)
    return user.nodes.filter(dropped=None, kind=Node.Kind.HOLDING).first() or Node(user=user)


def create_node(node: Node, label: str, **fields: Any) -> tuple[Node, str]:
    """Save a node as a device with a label, a new nodeid and these fields. Return it and the nodeid."""
    nodeid = make_nodeid()
    node.kind, node.secret, node.created = Node.Kind.DEVICE, hash_nodeid(nodeid), timezone.now()
    node.label = visible(label) or DEFAULT_LABEL
    for name, value in fields.items():
        setattr(node, name, value)
    node.save()
    return node, nodeid


def hash_nodeid(nodeid: str) -> bytes:
    """Return the hash that is stored of a nodeid. It has 200 random bits, so one round of SHA-256 is enough."""
    return hashlib.sha256(decode_base32(nodeid)).digest()
