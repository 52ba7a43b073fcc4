"""The names that are shown are those that a user has or had, not those that a post's head claims."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from tmtp.models import Alias, User
from tmtp.services.groups import groups
from tmtp.services.messages.mailbox import Received, look_up_names, messages_of
from tmtp.services.messages.posting import post
from tmtp.services.messages.posts import Post
from tmtp.services.messages.sending import send_message
from tmtp.services.people import users
from tmtp.services.people.actors import Sender
from tmtp.services.people.placeholders import mailbox_of
from tmtp.services.people.site import site_alias, site_user

from .people import someone, to, unique

pytestmark = pytest.mark.django_db


def received(sender: Sender, reader: Sender, **head: Any) -> Received:
    """Post with this head, and return the message in the reader's mailbox."""
    mailbox = mailbox_of(User.objects.get(pk=reader.user))
    octets = json.dumps(head).encode()
    (number,) = post([Post(sender, to(reader), octets + b"text", len(octets))])
    return Received(messages_of(mailbox).get(pk=number))


@pytest.fixture
def people() -> tuple[Sender, Sender, Sender]:
    return someone("ann the first"), someone("bob the first"), someone("mallory the first")


def test_a_name_of_ones_own_is_shown(people: Any) -> None:
    ann, bob, _ = people
    users.add_alias(bob, "bob the second")
    assert received(bob, ann, alias="bob the second").alias == "bob the second"


@pytest.mark.parametrize(
    "claim", ["ann the first", "nobody at all", "", "\u202e", "bob\0the first", "x" * 5000, 7, None]
)
def test_a_name_of_somebody_else_is_not(people: Any, claim: Any) -> None:
    ann, _, mallory = people
    assert received(mallory, ann, alias=claim).alias == "mallory the first"


def test_the_name_of_the_site_is_not(people: Any) -> None:
    ann, _, mallory = people
    claim = site_alias(site_user())
    message = received(mallory, ann, alias=claim)
    assert (message.alias, message.is_from_site) == ("mallory the first", False)
    mailbox = mailbox_of(User.objects.get(pk=ann.user))
    send_message(ann.uid, "From us", "text")
    message = Received(messages_of(mailbox).last())
    assert (message.alias, message.is_from_site) == (claim, True)


def test_a_name_that_was_given_up_is_shown_for_what_was_posted_before(people: Any) -> None:
    ann, bob, _ = people
    users.add_alias(bob, "bob the second")
    before = received(bob, ann, alias="bob the second")
    Alias.objects.filter(name="bob the second").update(dropped=timezone.now() + timedelta(milliseconds=1))
    after = received(bob, ann, alias="bob the second")
    after.message.pk += 10_000_000
    assert (before.alias, after.alias) == ("bob the second", "bob the first")


def test_without_any_name_it_is_the_uid(people: Any) -> None:
    ann, *_ = people
    nameless = users.register("laptop").sender
    assert received(nameless, ann, alias="ann the first").alias == nameless.uid


def test_readers_have_their_true_names(people: Any) -> None:
    ann, bob, mallory = people
    gid = unique("group no ")
    groups.create(bob, gid, "bob the first")
    cc = [
        {"who": "bob the first", "whouid": mallory.uid, "by": "ann the first", "byuid": ann.uid},
        {"who": "bob the first", "whouid": bob.uid},
        {"who": "your bank", "whouid": gid},
        {"who": "your bank", "whouid": "your bank"},
        {"who": "your bank", "whouid": "\0"},
    ]
    message = received(mallory, ann, alias="mallory the first", cc=cc)
    assert [(reader.alias, reader.uid) for reader in message.readers] == [
        ("mallory the first", mallory.uid),
        ("bob the first", bob.uid),
        (gid, gid),
    ]


def test_many_are_looked_up_at_once(people: Any, django_assert_max_num_queries: Any) -> None:
    ann, bob, mallory = people
    messages = [received(one, ann, alias="bob the first") for one in (bob, mallory, bob)]
    with django_assert_max_num_queries(4):
        look_up_names(messages)
        assert [message.alias for message in messages] == ["bob the first", "mallory the first", "bob the first"]
