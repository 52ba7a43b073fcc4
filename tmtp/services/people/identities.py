"""Who a user is at an OpenID provider: for sites that know, before a device shows a token of that provider."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from ...conf import conf
from ...models import Identity, Node, SpentToken, User
from ..errors import Refused


class AuthenticationRequired(Refused):
    """The node must show an OpenID identity, and has not."""


@dataclass(frozen=True, slots=True)
class IdentityShown:
    """What a checked id_token says: who, at which provider, and the token's own hash and end."""

    iss: str
    sub: str
    digest: bytes
    expires: datetime


@transaction.atomic
def link_identity(user: User, iss: str, sub: str) -> Identity:
    """Say that the person `sub` at the provider `iss` is this user: devices that register with a token of theirs join
    it. Done again, nothing changes. Raises Refused when the person is another user already."""
    identity, _ = Identity.objects.get_or_create(iss=iss, sub=sub, defaults={"user": user})
    if identity.user_id != user.pk:
        raise Refused("identity_taken")
    return identity


@transaction.atomic
def unlink_identity(iss: str, sub: str) -> bool:
    """The person at the provider is nobody's any more, so that a device that shows their token becomes a user of its
    own. Devices that are there stay. Says whether there was anything to do."""
    deleted, _ = Identity.objects.filter(iss=iss, sub=sub).delete()
    return bool(deleted)


def known_user(shown: IdentityShown) -> User | None:
    """The user of an identity; spends the token it was shown with."""
    spend_token(shown)
    return User.objects.filter(identities__iss=shown.iss, identities__sub=shown.sub).first()


def spend_token(shown: IdentityShown) -> None:
    """Note that an id_token was used; raises AuthenticationRequired when it was used before."""
    forget_tokens()
    _, fresh = SpentToken.objects.get_or_create(digest=shown.digest, defaults={"expires": shown.expires})
    if not fresh:
        raise AuthenticationRequired("token_used")


def check_identity(node: Node, shown: IdentityShown | None) -> None:
    """Raise AuthenticationRequired unless the node shows its user's identity, or has done so lately."""
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
    """Forget the id_tokens that have run out, and would not be taken anyway; gives how many."""
    return SpentToken.objects.filter(expires__lt=timezone.now() - timedelta(minutes=5)).delete()[0]
