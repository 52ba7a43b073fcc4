"""Whether a session is still signed in, for what outlives a request: open connections and subscriptions."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest


def is_signed_in(session_key: str | None, account: Any) -> bool:
    """Return whether the session of this key is still that of the account with this primary key.

    It is not if it has ended, if the password has been changed elsewhere, or if the account is gone or disabled.
    """
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    return bool(get_user(request).pk == account)
