"""Books of confirmed addresses."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from django.contrib.auth import get_user_model

from tmtp.delivery import email_addresses

pytestmark = [pytest.mark.once, pytest.mark.django_db]


class Book:
    """A book of addresses of the site's own."""

    users = {"ann@example.org": SimpleNamespace(pk=1)}

    @classmethod
    def users_by_address(cls, addresses):
        return {address: cls.users[address] for address in addresses if address in cls.users}

    @classmethod
    def address_by_user(cls, users):
        known = {user.pk: address for address, user in cls.users.items()}
        return {user.pk: known[user.pk] for user in users if user.pk in known}


def test_the_sites_own_book_is_asked(settings):
    settings.TMTP_DELIVERY = {"EMAIL_ADDRESSES": f"{__name__}.Book"}
    found = email_addresses.users_by_address([" Ann@Example.org", "bob@example.org"])
    assert found == {"ann@example.org": Book.users["ann@example.org"]}
    assert email_addresses.address_by_user([SimpleNamespace(pk=1), SimpleNamespace(pk=2)]) == {1: "ann@example.org"}


def test_nobody_is_known_by_default():
    """An address in `User.email` may be anybody's."""
    user = get_user_model().objects.create(username="ann", email="ann@example.org")
    assert email_addresses.users_by_address(["ann@example.org"]) == {}
    assert email_addresses.address_by_user([user]) == {}


class Unicode(Book):
    """A book that keeps domains in their own letters."""

    users = {"ann@exämple.org": SimpleNamespace(pk=1), "bob@strasse.de": SimpleNamespace(pk=2)}


class Ascii(Book):
    """A book that keeps domains in ASCII."""

    users = {"ann@xn--exmple-cua.org": SimpleNamespace(pk=1), "bob@strasse.de": SimpleNamespace(pk=2)}


@pytest.mark.parametrize("book", [Unicode, Ascii])
@pytest.mark.parametrize("asked", ["ann@exämple.org", "Ann@EXÄMPLE.ORG", "ann@xn--exmple-cua.org"])
def test_an_international_domain_is_known_however_it_is_kept(settings, book, asked):
    settings.TMTP_DELIVERY = {"EMAIL_ADDRESSES": f"{__name__}.{book.__name__}"}
    found = email_addresses.users_by_address([asked, "bob@straße.de"])
    assert {address: user.pk for address, user in found.items()} == {"ann@xn--exmple-cua.org": 1}
    assert email_addresses.address_by_user([SimpleNamespace(pk=1)]) == {1: "ann@xn--exmple-cua.org"}
