"""Identities of users that are linked before a device shows a token."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from tmtp.models import Identity, User
from tmtp.services.errors import Refused
from tmtp.services.people import identities, users
from tmtp.services.people.identities import link_identity, unlink_identity

from .people import someone

pytestmark = pytest.mark.django_db
ISS = "https://id.example"


def registered(sub: str, token: bytes) -> int:
    return users.register(
        "phone", "_", identities.IdentityShown(ISS, sub, token, timezone.now() + timedelta(days=1))
    ).sender.user


def test_a_device_joins_the_user_its_identity_was_linked_to() -> None:
    ann = User.objects.get(uid=someone("ann of rome").uid)
    link_identity(ann, ISS, "ann")
    link_identity(ann, ISS, "ann")
    assert registered("ann", b"1") == ann.pk
    assert registered("bob", b"2") != ann.pk
    assert ann.nodes.count() == 2


def test_a_person_is_one_user() -> None:
    registered("ann", b"1")
    bob = User.objects.get(uid=someone("bob of rome").uid)
    with pytest.raises(Refused, match="another user"):
        link_identity(bob, ISS, "ann")
    assert not bob.identities.exists()


def test_an_unlinked_person_is_someone_else_and_the_devices_stay() -> None:
    ann = User.objects.get(pk=registered("ann", b"1"))
    assert unlink_identity(ISS, "ann")
    assert not unlink_identity(ISS, "ann")
    assert not Identity.objects.exists()
    assert registered("ann", b"2") != ann.pk
    assert ann.nodes.get().dropped is None
