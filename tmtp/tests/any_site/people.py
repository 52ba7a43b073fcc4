"""The people of the scenarios: accounts, devices, and what waits for them."""

from __future__ import annotations

from typing import Any


def account(name: str, **more: Any) -> Any:
    """Return the account with this name, after creating it if it does not exist."""
    from django.conf import settings
    from django.contrib.auth import get_user_model
    from django.db import connections

    Account = get_user_model()
    manager = Account._default_manager
    key = f"{name}@example.org" if "email" in Account.USERNAME_FIELD else name
    found = manager.using("default").filter(**{Account.USERNAME_FIELD: key}).first()
    if found:
        return found
    required = dict.fromkeys(Account.REQUIRED_FIELDS, f"{name}@example.org")
    make = manager.create_superuser if more.pop("staff", False) else manager.create_user
    made = make(**{Account.USERNAME_FIELD: key, "password": name}, **required, **more)
    for alias in connections:  # a replica has the existing accounts
        if alias != "default" and settings.DATABASE_ROUTERS:
            made.save(using=alias, force_insert=True)
            made._state.db = alias  # the database from which the site reads accounts
    return made


def device(name: str, alias: str = "") -> Any:
    """Return a node of an account. Create a device if it has none."""
    from tmtp.models import Node
    from tmtp.testing import add_device

    node = Node.objects.filter(user__account=account(name), kind=Node.Kind.DEVICE).first()
    return node or add_device(account(name), "laptop", alias)


def waiting(node: Any) -> list[str]:
    """Return the subjects of the messages that wait for a node."""
    from tmtp.services.messages.mailbox import messages_of

    return [message.header and _subject(message) for message in map(_received, messages_of(node))]


def _received(message: Any) -> Any:
    from tmtp.services.messages.mailbox import Received

    return Received(message)


def _subject(received: Any) -> str:
    return received.subject if received.op == "delivery" else received.op
