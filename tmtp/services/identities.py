"""Who a user is at an OpenID provider: for sites that know, before a device shows a token of that provider."""

from __future__ import annotations

from ..models import Identity, User
from .errors import Refused
from .verbs import verb


@verb
def link_identity(user: User, iss: str, sub: str) -> Identity:
    """Say that the person `sub` at the provider `iss` is this user: devices that register with a token of theirs join
    it. Done again, nothing changes. Raises Refused when the person is another user already."""
    identity, _ = Identity.objects.get_or_create(iss=iss, sub=sub, defaults={"user": user})
    if identity.user_id != user.pk:
        raise Refused("this identity belongs to another user already")
    return identity


@verb
def unlink_identity(iss: str, sub: str) -> bool:
    """The person at the provider is nobody's any more, so that a device that shows their token becomes a user of its
    own. Devices that are there stay. Says whether there was anything to do."""
    deleted, _ = Identity.objects.filter(iss=iss, sub=sub).delete()
    return bool(deleted)
