"""Which member has which e-mail address: only addresses that their member has confirmed to be theirs.

TMTP_DELIVERY["ADDRESSES"] names who knows: the dotted path of a module or class with two functions,

    users_by_address(addresses) -> {address in lower case: Django user}
    address_by_user(users) -> {primary key of the Django user: address}

both of which leave out whom they do not know. `User.email` is not used by default: Django does not know whether it is
true, so mail for a stranger could end in the mailbox of whoever claimed that address first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from django.apps import apps
from django.utils.module_loading import import_string

from .conf import conf


class Addresses(Protocol):
    """What TMTP_DELIVERY["ADDRESSES"] names."""

    def users_by_address(self, addresses: Iterable[str]) -> dict[str, Any]:
        """The members who have confirmed these addresses, by address in lower case."""
        ...

    def address_by_user(self, users: Iterable[Any]) -> dict[Any, str]:
        """The address that mail for each of these members goes to, by the members' primary keys."""
        ...


def users_by_address(addresses: Iterable[str]) -> dict[str, Any]:
    """The members who have confirmed these addresses, by address in lower case; others are left out."""
    found: dict[str, Any] = _known().users_by_address({address.strip().lower() for address in addresses})
    return found


def address_by_user(users: Iterable[Any]) -> dict[Any, str]:
    """A confirmed address of each of these members, by the members' primary keys; who has none is left out."""
    found: dict[Any, str] = _known().address_by_user(list(users))
    return found


def _known() -> Addresses:
    known: Addresses = import_dotted(conf.ADDRESSES)
    return known


def import_dotted(path: str) -> Any:
    """The module, or what is in a module, that a dotted path names. Raises ImportError when there is no such thing."""
    from importlib import import_module

    try:
        return import_string(path)
    except ImportError:
        return import_module(path)


class Allauth:
    """The verified addresses of django-allauth; nobody where that is not installed."""

    @staticmethod
    def users_by_address(addresses: Iterable[str]) -> dict[str, Any]:
        """Those whose accounts are active."""
        found = _allauth().filter(email__in=list(addresses)).select_related("user") if allauth_is_installed() else ()
        return {address.email.lower(): address.user for address in found if address.user.is_active}

    @staticmethod
    def address_by_user(users: Iterable[Any]) -> dict[Any, str]:
        """The primary address, when it is verified, before others."""
        found = _allauth().filter(user__in=list(users)).order_by("primary", "-pk") if allauth_is_installed() else ()
        return {address.user_id: address.email for address in found}


def allauth_is_installed() -> bool:
    """Whether django-allauth keeps addresses on this site."""
    return apps.is_installed("allauth.account")


def _allauth() -> Any:
    # allauth keeps addresses in lower case
    return apps.get_model("account", "EmailAddress").objects.filter(verified=True)
