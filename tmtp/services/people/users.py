"""Users, their nodes and aliases (tmtp.md ops 1, 2 and 3; ours: dropping what was added)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from ...models import Alias, Identity, Node, Report, User
from ...protocol.values import MAX_NODES, decode_base32, make_nodeid, make_uid
from ..errors import Refused
from ..queue import reports
from ..queue.batch import Batch, in_transaction
from ..queue.leases import is_alive
from ..queue.queue import FIRST, Outgoing, discard_queue, enqueue, wake_on_commit
from ..storage import sql
from .actors import Sender, devices_of
from .identities import IdentityShown, check_identity, known_user
from .names import reserve
from .placeholders import hold
from .privacy import OPEN, Privacy, privacy_of

LABEL_MAX = 255


class LoginFailed(Refused):
    """The uid is unknown or the nodeid is not one of its nodes in use."""


class NodeConnected(Refused):
    """The node is connected already."""


@dataclass(slots=True)
class LoggedIn(Sender):
    """Who sends over a link from now on, and who may see that they are online."""

    privacy: Privacy = OPEN


@dataclass(frozen=True, slots=True)
class Registered:
    """A new user or node; `alias_error` is why the alias was refused."""

    sender: LoggedIn
    nodeid: str
    alias_error: str | None


@in_transaction
def register(
    label: str,
    alias: str = "",
    shown: IdentityShown | None = None,
    account: Any = None,
    lease: int | None = None,
    *,
    batch: Batch | None = None,
) -> Registered:
    """Op 1: a new user with a first node, and an alias unless it is empty or "_".

    With a server's lease, the node is connected there. With an identity that registered before, a node is added to
    that user instead. Raises AuthenticationRequired when the identity's token was used before, Refused when that
    user has all the nodes one may have.
    """
    known = known_user(shown) if shown else None
    user = known or User.objects.create(uid=make_uid(), account=account)
    if shown and not known:
        Identity.objects.create(user=user, iss=shown.iss, sub=shown.sub)
    now = timezone.now()
    verified, seen = now if shown else None, now if lease else None
    fields = {"label": label[:LABEL_MAX], "verified": verified, "server_id": lease, "last_seen": seen}
    node, nodeid = _create_node(Node(user=user) if known is None else _next_node(known), **fields)
    error = None
    if alias not in ("", "_"):
        try:
            if known:
                _own_or_reserve(user, alias)
            else:
                reserve(alias, "newalias", user=user)
        except Refused as refused:
            error = str(refused)
    privacy = _privacy(user.pk, user.uid) if known else OPEN
    return Registered(LoggedIn(user.uid, user.pk, node.pk, privacy), nodeid, error)


def _privacy(user: int, uid: str) -> Privacy:
    return privacy_of([user])[uid]


@transaction.atomic
def make_node(user: User, label: str) -> tuple[Node, str]:
    """A new node of a user, and its secret, which is not to be had again. Raises Refused at 100 nodes."""
    return _create_node(_next_node(user), label=label)


def _next_node(user: User) -> Node:
    """What is to be a user's next device: new, or, with all that waits there, what waited for a first one.

    Raises Refused when the user has all the devices one may have. Locks the user.
    """
    User.objects.select_for_update().get(pk=user.pk)
    if user.nodes.filter(dropped=None, kind=Node.Kind.DEVICE).count() >= MAX_NODES:
        raise Refused("too_many_nodes", most=MAX_NODES)
    return user.nodes.filter(dropped=None, kind=Node.Kind.HOLDING).first() or Node(user=user)


def _create_node(node: Node, **fields: Any) -> tuple[Node, str]:
    nodeid = make_nodeid()
    node.kind, node.secret, node.created = Node.Kind.DEVICE, hash_nodeid(nodeid), timezone.now()
    for name, value in fields.items():
        setattr(node, name, value)
    node.save()
    return node, nodeid


def hash_nodeid(nodeid: str) -> bytes:
    """What is stored of a nodeid. It has 200 random bits, so one round of SHA-256 is enough."""
    return hashlib.sha256(decode_base32(nodeid)).digest()


def log_in(
    uid: str,
    nodeid: str,
    lease: int,
    shown: IdentityShown | None = None,
    identity_needed: bool = False,
    *,
    batch: Batch | None = None,
) -> LoggedIn:
    """Op 2: claims the node for this server and tells the user's nodes; gives who has logged in.

    Raises LoginFailed, NodeConnected, or AuthenticationRequired when an identity is needed (`auth` is 2) and the
    node has not shown its user's for TMTP["OPENID_MAX_AGE"] seconds. For the store: in the caller's transaction.
    """
    found = sql.node_by_secret(hash_nodeid(nodeid))
    if found is None or found[2] != uid:
        raise LoginFailed("login_failed")
    node, user, _, server, own, guarded = found
    if server is not None and (server == lease or is_alive(server)):
        raise NodeConnected("node_connected")
    if shown or identity_needed:
        check_identity(Node.objects.get(pk=node), shown)
    sql.claim_node(node, lease, timezone.now())
    enqueue([Outgoing("login", uid, user, own, {"node": "tbd"})], batch)
    return LoggedIn(uid, user, node, _privacy(user, uid) if guarded else OPEN)


def disconnect(node: int, lease: int) -> None:
    """The node's link has ended."""
    sql.release_node(node, lease, timezone.now())


@in_transaction
def add_alias(sender: Sender, name: str, *, batch: Batch | None = None) -> int:
    """Op 3: a new alias; the user's nodes are told, again when they have it already. Raises Refused."""
    _own_or_reserve(User.objects.get(pk=sender.user), name)
    return _tell(sender, {"newalias": name}, batch)


def _own_or_reserve(user: User, name: str) -> None:
    if not user.aliases.filter(name=name, dropped=None).exists():
        reserve(name, "newalias", user=user)


def drop_alias(alias: Alias) -> None:
    """Nobody is reached by this alias any more; it stays reserved."""
    Alias.objects.filter(pk=alias.pk).update(dropped=timezone.now())


@in_transaction
def add_node(sender: Sender, label: str, *, batch: Batch | None = None) -> int:
    """Op 3: a new node, whose queue starts as a copy of the sending node's; all nodes are told its nodeid."""
    if len(label) > LABEL_MAX:
        raise Refused("label_too_long", field="newnode", most=LABEL_MAX)
    node, nodeid = _create_node(_next_node(User.objects.get(pk=sender.user)), label=label)
    if sender.node is not None:
        sql.copy_queue(node.pk, sender.node)
    return _tell(sender, {"newnode": label}, batch, nodeid)


def _tell(sender: Sender, members: dict[str, Any], batch: Batch | None, nodeid: str = "") -> int:
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
