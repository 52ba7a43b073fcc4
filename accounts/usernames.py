"""How usernames compare: without case and in whatever spelling (NFC, NFKC), in sign-up, sign-in and the lock-out.

Databases differ in this, so the form under which a username compares is stored beside it (`models.UsernameKey`).
"""

from __future__ import annotations

import unicodedata
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.http import HttpRequest

from .models import UsernameKey

LOCKOUT_NAME_MAX = 255  # characters that django-axes stores; a key may be longer than the name that was typed


def key_of(name: str) -> str:
    """Return the form under which a username compares."""
    folded = unicodedata.normalize("NFKC", name.strip()).casefold()
    return unicodedata.normalize("NFKC", folded)


def find(name: str) -> User | None:
    """Return the member whose username this is, exactly or else as usernames compare, or None."""
    exact = get_user_model().objects.filter(username=name).first()
    return exact or get_user_model().objects.filter(username_key__key=key_of(name)).order_by("pk").first()


def remember(sender: Any, instance: User, update_fields: Any = None, **options: Any) -> None:
    """Store the key of a username when its user is saved. Users made in bulk are found by their exact name only."""
    if update_fields is None or "username" in update_fields:
        row = UsernameKey(user=instance, key=key_of(instance.get_username()))
        UsernameKey.objects.bulk_create([row], update_conflicts=True, unique_fields=["user"], update_fields=["key"])


class MemberBackend(ModelBackend):
    """Django's own backend, with usernames compared as above."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **options: Any
    ) -> Any:
        member = find(username) if username is not None else None
        return super().authenticate(request, member.get_username() if member else username, password, **options)


def lockout_name(request: HttpRequest, credentials: dict[str, Any] | None = None) -> str | None:
    """Return the name under which wrong passwords are counted (AXES_USERNAME_CALLABLE).

    django-axes asks for it many times in each sign-in, so a request remembers it.
    """
    given = credentials.get("username") if credentials else request.POST.get("username")
    if given is None:
        return None
    known: dict[str, str] = vars(request).setdefault("lockout_names", {})
    if (name := str(given)) not in known:
        member = find(name)
        known[name] = member.get_username() if member else key_of(name)[:LOCKOUT_NAME_MAX]
    return known[name]
