"""Members' identities at providers. An identity is iss and sub together, never an e-mail address."""

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
    """Return the member who has linked this identity, if any."""
    identity = Identity.objects.filter(iss=iss, sub=sub).select_related("user__account").first()
    return identity.user.account if identity else None


@transaction.atomic
def link(account: Any, iss: str, sub: str) -> None:
    """Let the member sign in with this identity, and make devices that show it the member's own.

    If a device has registered with it before, the device's user is linked to the account. Raise Refused if another
    member has linked the identity, or if both users have devices or names already.
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
    """Return the identities that the member has linked, oldest first, without that of the site as a provider."""
    itself = getattr(settings, "OAUTH2_PROVIDER", {}).get("OIDC_ISS_ENDPOINT", "")
    return list(Identity.objects.filter(user__account=account).exclude(iss=itself).order_by("created", "pk"))


@transaction.atomic
def unlink(account: Any, identity: Identity) -> None:
    """Unlink an identity. Raise Refused if the member could not sign in without it."""
    account = User.objects.select_for_update().get(pk=account.pk)  # two requests must not unlink the last two
    known = {provider.iss for provider in providers().values()}
    others = [one for one in identities_of(account) if one.pk != identity.pk and one.iss in known]
    if not account.has_usable_password() and not others:
        raise Refused("openid_only_way")
    unlink_identity(identity.iss, identity.sub)


def label_of(identity: Identity) -> str:
    """Return the label of the identity's provider, or its `iss` if the provider is no longer configured."""
    known = parse_settings(conf.OPENID).providers
    return next((provider.label for provider in known if provider.iss == identity.iss), identity.iss)
