"""A device that shows the site's own token is the member's: the identity is linked before the device has the token."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.dispatch import receiver
from django.utils import timezone
from oauth2_provider.models import get_access_token_model, get_grant_model, get_id_token_model
from oauth2_provider.settings import oauth2_settings
from oauth2_provider.signals import app_authorized

from tmtp.models import Identity
from tmtp.services.people.identities import link_identity, unlink_identity
from tmtp.services.people.linking import user_of

from .conf import CLIENT_ID


@receiver(app_authorized)
def redeemed(sender: Any, token: Any, **_: Any) -> None:
    """A code was redeemed: the answer, which is not sent yet, will identify the member."""
    if token.application.client_id == CLIENT_ID:
        identify(token.user)
    forget_expired()


@transaction.atomic
def identify(account: Any) -> None:
    """Let the site's tokens for a member mean the member's own user, also if that was another one before."""
    user = user_of(account)
    iss, sub = oauth2_settings.OIDC_ISS_ENDPOINT, subject(account)
    if Identity.objects.filter(iss=iss, sub=sub).exclude(user=user).exists():
        unlink_identity(iss, sub)
    link_identity(user, iss, sub)


def subject(account: Any) -> str:
    """A member's `sub`: never changes, and is nobody else's later, as a name or an address could be."""
    return str(account.pk)


def forget_expired() -> None:
    """Codes and tokens that are over are of no use to anyone."""
    for model in (get_grant_model(), get_access_token_model(), get_id_token_model()):
        model.objects.filter(expires__lt=timezone.now()).delete()
