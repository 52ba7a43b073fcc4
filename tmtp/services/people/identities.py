"""OpenID identities of users, and the id_tokens that devices have shown (tmtp.md ops 1 and 2)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from ...conf import conf
from ...models import Identity, Node, SpentToken, User
from ...times import site_time
from ..errors import Refused


class AuthenticationRequired(Refused):
    """The node has not shown the OpenID identity that is needed."""


@dataclass(frozen=True, slots=True)
class IdentityShown:
    """The claims of a checked id_token: provider `iss`, person `sub`, the token's hash, and when it expires."""

    iss: str
    sub: str
    digest: bytes
    expires: datetime


@transaction.atomic
def link_identity(user: User, iss: str, sub: str) -> Identity:
    """Link the person `sub` at the provider `iss` to a user. Do nothing if they are linked already.

    A device that registers with a token of this person becomes a device of the user. Raise Refused if the person is
    linked to another user.
    """
    identity, _ = Identity.objects.get_or_create(iss=iss, sub=sub, defaults={"user": user})
    if identity.user_id != user.pk:
        raise Refused("identity_taken")
    return identity


@transaction.atomic
def unlink_identity(iss: str, sub: str) -> bool:
    """Unlink the person `sub` at the provider `iss` from their user, and return whether they were linked.

    A device that registers with a token of theirs becomes a new user. Devices that have registered stay.
    """
    deleted, _ = Identity.objects.filter(iss=iss, sub=sub).delete()
    return bool(deleted)


def known_user(shown: IdentityShown) -> User | None:
    """Return the user of an identity, or None, and spend the token that showed it."""
    spend_token(shown)
    return User.objects.filter(identities__iss=shown.iss, identities__sub=shown.sub).first()


def spend_token(shown: IdentityShown) -> None:
    """Note that an id_token was used. Raise AuthenticationRequired if it was used before."""
    forget_tokens()
    _, fresh = SpentToken.objects.get_or_create(digest=shown.digest, defaults={"expires": site_time(shown.expires)})
    if not fresh:
        raise AuthenticationRequired("token_used")


def check_identity(node: Node, shown: IdentityShown | None) -> None:
    """Raise AuthenticationRequired unless the node shows its user's identity, or has in TMTP["OPENID_MAX_AGE"]."""
    if shown:
        if not node.user.identities.filter(iss=shown.iss, sub=shown.sub).exists():
            raise AuthenticationRequired("identity_mismatch")
        spend_token(shown)
        Node.objects.filter(pk=node.pk).update(verified=timezone.now())
        return
    oldest = timezone.now() - timedelta(seconds=conf.OPENID_MAX_AGE)
    if node.verified is None or node.verified < oldest:
        raise AuthenticationRequired("identity_needed")


def forget_tokens() -> int:
    """Delete expired id_tokens, which would be refused anyway, and return how many."""
    return SpentToken.objects.filter(expires__lt=timezone.now() - timedelta(minutes=5)).delete()[0]
