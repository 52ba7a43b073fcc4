"""Users follow their accounts: who is not active has no device that can connect."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core import serializers
from django.utils import timezone

from tmtp.models import User
from tmtp.services.errors import Refused
from tmtp.services.people import accounts, users
from tmtp.services.people.devices import make_node
from tmtp.services.people.identities import IdentityShown, link_identity
from tmtp.services.people.linking import link_account, user_of

from .people import someone, unique

pytestmark = pytest.mark.django_db


def member(**fields: bool) -> object:
    return get_user_model().objects.create_user(unique("member"), **fields)


def is_disabled(account: object) -> bool:
    return User.objects.get(account=account).disabled is not None


def test_a_user_is_disabled_with_the_account_and_no_other() -> None:
    ann, bob = member(), member()
    user_of(ann), user_of(bob)
    ann.is_active = False
    ann.save(update_fields=["is_active"])
    assert (is_disabled(ann), is_disabled(bob)) == (True, False)
    since = User.objects.get(account=ann).disabled
    ann.save()
    assert User.objects.get(account=ann).disabled == since
    ann.is_active = True
    ann.save()
    assert not is_disabled(ann)


def test_to_look_up_a_user_takes_no_transaction(django_assert_num_queries: Any) -> None:
    """On SQLite, a transaction waits for whoever writes."""
    ann = member()
    user = user_of(ann)
    with django_assert_num_queries(1):
        assert user_of(ann) == user


def test_an_account_that_is_loaded_after_its_user_is_followed() -> None:
    ann = member()
    user_of(ann)
    ann.is_active = False
    (loaded,) = serializers.deserialize("json", serializers.serialize("json", [ann]))
    get_user_model().objects.filter(pk=ann.pk)._raw_delete("default")
    loaded.save()
    assert is_disabled(ann)


def test_who_gets_an_account_that_is_not_active_is_disabled() -> None:
    ann = member(is_active=False)
    assert user_of(ann).disabled
    bob = User.objects.get(pk=someone().user)
    off, on = member(is_active=False), member()
    link_account(bob, off)
    assert is_disabled(off)
    link_account(bob, on)
    assert not is_disabled(on)
    link_account(bob, off)
    link_account(bob, None)
    assert User.objects.get(pk=bob.pk).disabled is None


def test_accounts_that_are_changed_in_bulk_are_followed() -> None:
    ann, bob = member(), member()
    user_of(ann), user_of(bob)
    get_user_model().objects.filter(pk=ann.pk).update(is_active=False)
    assert accounts.follow_all() == 1
    assert is_disabled(ann)
    assert accounts.follow_all() == 0
    get_user_model().objects.update(is_active=True)
    assert accounts.follow_all() == 1
    assert not is_disabled(ann)


def test_no_device_registers_for_a_disabled_user() -> None:
    ann = member()
    link_identity(user_of(ann), "https://id.example", "ann")
    ann.is_active = False
    ann.save()
    shown = IdentityShown("https://id.example", "ann", b"digest", timezone.now())
    with pytest.raises(Refused) as refused:
        users.register("phone", shown=shown)
    assert refused.value.code == "account_disabled"
    with pytest.raises(Refused):
        make_node(user_of(ann), "tablet")
    assert not user_of(ann).nodes.filter(kind=1).exists()
