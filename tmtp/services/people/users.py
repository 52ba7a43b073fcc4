"""Users: register, log in, disconnect, add and drop aliases (tmtp.md ops 1, 2 and 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from ...conf import conf
from ...models import Alias, Identity, Node, User
from ...protocol.values import make_uid
from ..errors import Refused
from ..queue.batch import Batch, in_transaction
from ..queue.leases import is_alive
from ..queue.queue import Outgoing, enqueue
from ..queue.routing import tell_marked_on_commit
from ..storage import room, sql
from .actors import Sender
from .devices import LABEL_MAX, create_node, hash_nodeid, next_node, tell_devices
from .identities import IdentityShown, check_identity, known_user
from .names import reserve
from .privacy import OPEN, Privacy, privacy_of


class LoginFailed(Refused):
    """The uid is unknown, or the nodeid is not that of one of its nodes in use."""


class NodeConnected(Refused):
    """The node is connected to a server already."""


@dataclass(slots=True)
class LoggedIn(Sender):
    """The user and node of a link, and who may see that the user is online."""

    privacy: Privacy = OPEN


@dataclass(frozen=True, slots=True)
class Registered:
    """A new user or node, and its nodeid. `alias_error` is the reason if the alias was refused."""

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
    """Create a user with a first node (op 1), and with an alias unless it is empty or "_".

    With a lease, the node is connected to that server. With an identity that is linked to a user, add a node to that
    user instead. A refused alias is no error: see `Registered.alias_error`. Raise AuthenticationRequired if the
    identity's token was used before, and Refused if the user has too many devices already, or is disabled.
    """
    room.check()
    known = known_user(shown) if shown else None
    user = known or User.objects.create(uid=make_uid(), account=account)
    if shown and not known:
        Identity.objects.create(user=user, iss=shown.iss, sub=shown.sub)
    now = timezone.now()
    verified, seen = now if shown else None, now if lease else None
    node = Node(user=user) if known is None else next_node(known)
    fields = {"verified": verified, "server_id": lease, "last_seen": seen}
    node, nodeid = create_node(node, label[:LABEL_MAX], **fields)
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
    old_hash: bytes | None = None,
    *,
    batch: Batch | None = None,
) -> LoggedIn:
    """Log a node in (op 2): claim it for this server, and queue a `login` message for the user's nodes.

    Raise LoginFailed, NodeConnected, or AuthenticationRequired. The latter is raised if an identity is needed (`auth`
    is 2) and the node has not shown its user's for TMTP["OPENID_MAX_AGE"] seconds. Needs a transaction of the
    caller's, the store.

    A device of a Go server is known by the old hash of its nodeid (`old_secrets.old_hash`), which is replaced.
    """
    found = sql.node_by_secret(hash_nodeid(nodeid))
    if found is None and old_hash:
        found = sql.node_by_secret(old_hash)
    if found is None or found[2] != uid:
        raise LoginFailed("login_failed")
    node, user, _, server, own, guarded = found
    if server is not None and (server == lease or is_alive(server)):
        raise NodeConnected("node_connected")
    if shown or identity_needed:
        check_identity(Node.objects.get(pk=node), shown)
    if not sql.claim_node(node, server, lease, timezone.now()):
        raise NodeConnected("node_connected")  # another server was faster
    if old_hash:
        Node.objects.filter(pk=node).update(secret=hash_nodeid(nodeid))
    enqueue([Outgoing("login", uid, user, own, {"node": "tbd"})], batch)
    return LoggedIn(uid, user, node, _privacy(user, uid) if guarded else OPEN)


def disconnect(node: int, lease: int, *, batch: Batch | None = None) -> None:
    """Note that the node's link has ended, unless another server has claimed the node since."""
    sql.release_node(node, lease, timezone.now())


def place_of(nodeid: str, *, batch: Batch | None = None) -> tuple[int, int | None] | None:
    """Return the node with this secret and the server that it is connected to, if any. None: there is no such node."""
    found = sql.node_by_secret(hash_nodeid(nodeid))
    return found and (found[0], found[3])


def contest(node: int, server: int, *, batch: Batch | None = None) -> None:
    """Ask the server that a node is connected to whether its client is alive."""
    Node.objects.filter(pk=node, server=server).update(contested=timezone.now())
    tell_marked_on_commit()


def was_kept(node: int, server: int, *, batch: Batch | None = None) -> bool | None:
    """Return what the server of a contested node has done: kept it (True), or freed it (False). None: nothing yet."""
    contested = Node.objects.filter(pk=node, server=server).values_list("contested", flat=True)
    return (None if contested[0] else True) if contested else False


def keep_connected(node: int, server: int, *, batch: Batch | None = None) -> None:
    """Note that the client of a contested node is alive."""
    Node.objects.filter(pk=node, server=server).update(contested=None)


@in_transaction
def add_alias(sender: Sender, name: str, *, batch: Batch | None = None) -> int:
    """Add an alias (op 3, newalias), queue a `user` message for the user's devices, and return its number.

    The message is sent again if the user has the alias already. Raise Refused as `reserve` does.
    """
    _own_or_reserve(User.objects.get(pk=sender.user), name)
    return tell_devices(sender, {"newalias": name}, batch)


def _own_or_reserve(user: User, name: str) -> None:
    """Reserve a name for the user. Raise Refused, also if the user has too many: dropped ones stay reserved."""
    if user.aliases.filter(name=name, dropped=None).exists():
        return
    room.check()
    most = conf.limit("aliases_per_user")
    if most is not None and not user.is_site and user.aliases.count() >= most:
        raise Refused("too_many_aliases", most=most)
    reserve(name, "newalias", user=user)


def drop_alias(alias: Alias) -> None:
    """Drop an alias: it leads to nobody any more. It stays reserved, so that nobody else can take it."""
    Alias.objects.filter(pk=alias.pk).update(dropped=timezone.now())
