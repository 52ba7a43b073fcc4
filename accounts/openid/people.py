"""Who of the members somebody is at a provider: found by iss and sub together, never by an e-mail address."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction

from tmtp.conf import conf
from tmtp.models import Identity
from tmtp.openid.providers import parse_settings
from tmtp.services.people.identities import link_identity, unlink_identity
from tmtp.services.people.linking import link_account, user_of

from ..errors import Refused
from .client import providers


def member_of(iss: str, sub: str) -> User | None:
    """The member who has linked this identity."""
    identity = Identity.objects.filter(iss=iss, sub=sub).select_related("user__account").first()
    return identity.user.account if identity else None


@transaction.atomic
def link(account: Any, iss: str, sub: str) -> None:
    """The member can sign in with this identity, and devices that show it are theirs.

    A device may have registered with it before: then that device's user is the member. Raises Refused, with a text for
    the member, when the identity is somebody else's, or both have devices or names already.
    """
    identity = Identity.objects.filter(iss=iss, sub=sub).select_related("user").first()
    if identity is None:
        link_identity(user_of(account), iss, sub)
    elif identity.user.account_id is None:
        try:
            link_account(identity.user, account)
        except Refused:
            raise Refused("openid_known_from_device") from None
    elif identity.user.account_id != account.pk:
        raise Refused("openid_linked_elsewhere")


def identities_of(account: Any) -> list[Identity]:
    """What the member has linked, the oldest first. The site as a provider for devices is none of these."""
    itself = getattr(settings, "OAUTH2_PROVIDER", {}).get("OIDC_ISS_ENDPOINT", "")
    return list(Identity.objects.filter(user__account=account).exclude(iss=itself).order_by("created", "pk"))


@transaction.atomic
def unlink(account: Any, identity: Identity) -> None:
    """The member no longer signs in with it. Raises Refused when there would be no way left to sign in."""
    account = User.objects.select_for_update().get(pk=account.pk)  # two at once could otherwise remove the last two
    known = {provider.iss for provider in providers().values()}
    others = [one for one in identities_of(account) if one.pk != identity.pk and one.iss in known]
    if not account.has_usable_password() and not others:
        raise Refused("openid_only_way")
    unlink_identity(identity.iss, identity.sub)


def label_of(identity: Identity) -> str:
    """The provider's name; its address when it is no longer offered."""
    known = parse_settings(conf.OPENID).providers
    return next((provider.label for provider in known if provider.iss == identity.iss), identity.iss)
