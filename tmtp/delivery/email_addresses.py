"""Which member has which e-mail address. Only addresses that the member has confirmed count.

TMTP_DELIVERY["EMAIL_ADDRESSES"] is the dotted path of a module or class with two functions,

    users_by_address(addresses) -> {address in lower case: Django user}
    address_by_user(users) -> {primary key of the Django user: address}

which leave out the addresses and users that they do not know. An address with an international domain is asked for in
two spellings, with the domain in its own letters and in ASCII (`xn--…`): whichever is stored is found.

`User.email` is not used by default: Django does not
check it, so mail for a stranger could end in the mailbox of whoever claimed that address first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from django.apps import apps

from tmtp.conf import import_dotted
from tmtp.email_spelling import normalise, spellings, to_ascii

from .conf import conf


class EmailAddresses(Protocol):
    """What TMTP_DELIVERY["EMAIL_ADDRESSES"] names."""

    def users_by_address(self, addresses: Iterable[str]) -> dict[str, Any]:
        """Return the members who have confirmed these addresses, by address in lower case."""
        ...

    def address_by_user(self, users: Iterable[Any]) -> dict[Any, str]:
        """Return the address that mail for each of these members goes to, by the members' primary keys."""
        ...


def users_by_address(addresses: Iterable[str]) -> dict[str, Any]:
    """Return the members who have confirmed these addresses, by `normalise(address)`. Leave out the others.

    Addresses with an international domain are looked up in both of their spellings.
    """
    found: dict[str, Any] = _source().users_by_address({form for address in addresses for form in spellings(address)})
    return {normalise(address): found[address] for address in sorted(found, key=str.isascii)}


def address_by_user(users: Iterable[Any]) -> dict[Any, str]:
    """Return a confirmed address of each of these members, by primary key. Leave out members who have none."""
    found: dict[Any, str] = _source().address_by_user(list(users))
    return {user: to_ascii(address) for user, address in found.items()}


def _source() -> EmailAddresses:
    source: EmailAddresses = import_dotted(conf.EMAIL_ADDRESSES)
    return source


class Allauth:
    """The verified addresses of django-allauth. Where it is not installed, nobody has an address."""

    @staticmethod
    def users_by_address(addresses: Iterable[str]) -> dict[str, Any]:
        """Return members whose accounts are active, by address."""
        found = _allauth().filter(email__in=list(addresses)).select_related("user") if allauth_is_installed() else ()
        return {address.email.lower(): address.user for address in found if address.user.is_active}

    @staticmethod
    def address_by_user(users: Iterable[Any]) -> dict[Any, str]:
        """Return the primary address when it is verified, else another verified one."""
        found = _allauth().filter(user__in=list(users)).order_by("primary", "-pk") if allauth_is_installed() else ()
        return {address.user_id: address.email for address in found}


def allauth_is_installed() -> bool:
    """Return whether django-allauth manages e-mail addresses on this site."""
    return apps.is_installed("allauth.account")


def _allauth() -> Any:
    # allauth stores addresses in lower case
    label = "account.EmailAddress"  # a name of its own: mypy would look for it
    return apps.get_model(label).objects.filter(verified=True)
