"""Take over users with their devices, aliases and identities from a Go server.

A device cannot log in before `open_devices`: it must find all that waited for it. It keeps the old hash of its secret
until its first login (see `people.old_secrets`), and `old_secret` tells for good that it is here.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.db import transaction
from django.db.models import F

from ...models import Node, User
from ..errors import Refused
from ..people.devices import DEFAULT_LABEL
from ..people.identities import link_identity
from ..people.names import keep
from ..people.placeholders import SECRET_OCTETS


@dataclass(frozen=True, slots=True)
class OldUser:
    """A user of another server."""

    uid: str
    devices: Sequence[tuple[bytes, int]]  # the old hash of the secret, and a number, of those in use
    names: Sequence[tuple[str, bool]]  # aliases, and whether each was given up
    identity: tuple[str, str] | None = None  # iss and sub


@dataclass
class Taken:
    """What was added, and what could not be, as texts."""

    users: int = 0
    devices: int = 0
    names: int = 0
    refused: list[Refused] = field(default_factory=list)


@transaction.atomic
def take_user(old: OldUser) -> Taken:
    """Add a user with what is missing of them here."""
    taken = Taken()
    user, made = User.objects.get_or_create(uid=old.uid)
    taken.users = int(made)
    for old_hash, number in old.devices:
        taken.devices += _take_device(user, old_hash, number)
    for name, given_up in old.names:
        try:
            taken.names += keep(name, user=user, given_up=given_up)
        except Refused as refused:
            taken.refused.append(refused)
    if old.identity:
        try:
            link_identity(user, *old.identity)
        except Refused as refused:
            taken.refused.append(refused)
    return taken


def keep_given_up(name: str) -> bool:
    """Reserve a name that somebody gave up, whoever it was. Return whether it is new here."""
    return keep(name)


def take_name(name: str, uid: str) -> bool:
    """Add an alias to a user. Return whether it is new.

    Raise Refused if someone else has it, or if nobody has the uid.
    """
    user = User.objects.filter(uid=uid).first()
    if user is None:
        raise Refused("user_not_found", uid=uid)
    return keep(name, user=user)


def _take_device(user: User, old_hash: bytes, number: int) -> bool:
    if Node.objects.filter(old_secret=old_hash).exists():
        return False
    closed = secrets.token_bytes(SECRET_OCTETS)  # the hash of no nodeid
    Node.objects.create(user=user, secret=closed, old_secret=old_hash, label=f"{DEFAULT_LABEL} {number}")
    return True


def open_devices() -> int:
    """Let the devices log in that were added, and return how many."""
    added = Node.objects.filter(old_secret__isnull=False, last_seen=None).exclude(secret=F("old_secret"))
    return added.update(secret=F("old_secret"))
