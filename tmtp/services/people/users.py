"""Users: how they register, log in, and take and give up aliases (tmtp.md ops 1, 2 and 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from ...models import Alias, Identity, Node, User
from ...protocol.values import make_uid
from ..errors import Refused
from ..queue.batch import Batch, in_transaction
from ..queue.leases import is_alive
from ..queue.queue import Outgoing, enqueue
from ..storage import sql
from .actors import Sender
from .devices import LABEL_MAX, create_node, hash_nodeid, next_node, tell_devices
from .identities import IdentityShown, check_identity, known_user
from .names import reserve
from .privacy import OPEN, Privacy, privacy_of


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
    node, nodeid = create_node(Node(user=user) if known is None else next_node(known), **fields)
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
    if not sql.claim_node(node, server, lease, timezone.now()):
        raise NodeConnected("node_connected")  # another server was faster
    enqueue([Outgoing("login", uid, user, own, {"node": "tbd"})], batch)
    return LoggedIn(uid, user, node, _privacy(user, uid) if guarded else OPEN)


def disconnect(node: int, lease: int) -> None:
    """The node's link has ended."""
    sql.release_node(node, lease, timezone.now())


@in_transaction
def add_alias(sender: Sender, name: str, *, batch: Batch | None = None) -> int:
    """Op 3: a new alias; the user's nodes are told, again when they have it already. Raises Refused."""
    _own_or_reserve(User.objects.get(pk=sender.user), name)
    return tell_devices(sender, {"newalias": name}, batch)


def _own_or_reserve(user: User, name: str) -> None:
    if not user.aliases.filter(name=name, dropped=None).exists():
        reserve(name, "newalias", user=user)


def drop_alias(alias: Alias) -> None:
    """Nobody is reached by this alias any more; it stays reserved."""
    Alias.objects.filter(pk=alias.pk).update(dropped=timezone.now())
