"""The only OAuth client of the provider: members' devices."""

from __future__ import annotations

from typing import Any

from django.apps import apps as installed
from django.apps.registry import Apps
from django.db import router
from oauth2_provider.models import AbstractApplication

from .conf import CLIENT_ID, REDIRECTS


def make_client(*, using: str = "default", apps: Apps = installed, **_: Any) -> None:
    """Create or correct the client. Connected to `post_migrate`."""
    try:
        application = apps.get_model("oauth2_provider", "Application")
    except LookupError:  # migrated back
        return
    if router.allow_migrate_model(using, application):
        application._default_manager.using(using).update_or_create(client_id=CLIENT_ID, defaults=description())


def description() -> dict[str, Any]:
    """Return the fields of the client: a native program without a secret, which listens on its own computer."""
    return {
        "name": "TMTP device",
        "client_type": AbstractApplication.CLIENT_PUBLIC,
        "client_secret": "",
        "hash_client_secret": False,
        "authorization_grant_type": AbstractApplication.GRANT_AUTHORIZATION_CODE,
        "algorithm": AbstractApplication.RS256_ALGORITHM,
        "redirect_uris": " ".join(REDIRECTS),
        "post_logout_redirect_uris": "",
        "allowed_origins": "",
        "skip_authorization": False,
        "user": None,
    }
