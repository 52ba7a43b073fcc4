"""Whether users may connect follows their accounts: who is not active (`is_active`) is disabled, with all devices.

A disabled user's devices are disconnected, and cannot log in until the account is active again. Nothing is deleted:
messages go on to wait for them.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from ...models import User
from .privacy import changed


def is_active(account: Any) -> bool:
    """Return whether an account is active. A model of accounts need not have `is_active`: then all are."""
    return bool(getattr(account, "is_active", True))


def follow(account: Any) -> None:
    """Disable the account's user, or let them connect again. Do nothing if the account has no user."""
    user = User.objects.filter(account=account).first()
    if user is None or (user.disabled is None) == is_active(account):
        return
    with transaction.atomic():
        User.objects.filter(pk=user.pk).update(disabled=None if is_active(account) else timezone.now())
        changed(user)


def follow_all() -> int:
    """Do so for all accounts that differ, as after `QuerySet.update()`, which sends no signal. Return how many."""
    if not any(field.name == "is_active" for field in get_user_model()._meta.get_fields()):
        return 0
    differ = User.objects.filter(disabled=None, account__is_active=False) | User.objects.filter(
        disabled__isnull=False, account__is_active=True
    )
    users = list(differ.select_related("account"))
    for user in users:
        follow(user.account)
    return len(users)


def account_saved(
    sender: Any,
    instance: Any,
    created: bool = False,
    raw: bool = False,
    update_fields: Collection[str] | None = None,
    **options: Any,
) -> None:
    """Receive Django's signal that an account was saved. Most are saved because their member signs in.

    A new account has no user yet, unless `loaddata` has loaded that first (`raw`).
    """
    if (raw or not created) and (update_fields is None or "is_active" in update_fields):
        follow(instance)
