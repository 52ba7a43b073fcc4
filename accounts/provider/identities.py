"""Link a member's user to the identity in the site's own tokens, before the device receives its token."""

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
    """Link the identity when a code is redeemed, just before the response with the token is sent."""
    if token.application.client_id == CLIENT_ID:
        identify(token.user)
    forget_expired()


@transaction.atomic
def identify(account: Any) -> None:
    """Link the identity in the site's tokens to the member's user, instead of to any other user."""
    user = user_of(account)
    iss, sub = oauth2_settings.OIDC_ISS_ENDPOINT, subject(account)
    if Identity.objects.filter(iss=iss, sub=sub).exclude(user=user).exists():
        unlink_identity(iss, sub)
    link_identity(user, iss, sub)


def subject(account: Any) -> str:
    """Return a member's `sub`: the primary key, which never changes or belongs to someone else, as a name could."""
    return str(account.pk)


def forget_expired() -> None:
    """Delete expired codes and tokens."""
    for model in (get_grant_model(), get_access_token_model(), get_id_token_model()):
        model.objects.filter(expires__lt=timezone.now()).delete()
