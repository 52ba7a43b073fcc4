"""A deleted user leaves nothing behind but reserved names and what others have received."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model

from tmtp.messaging import send_message
from tmtp.models import Alias, Group, Member, Message, Node, QueueEntry, User
from tmtp.services.errors import Refused
from tmtp.services.groups import deletion, groups
from tmtp.services.messages.mailbox import Received, messages_of
from tmtp.services.people import devices, users
from tmtp.services.people.actors import Sender
from tmtp.services.people.linking import user_of
from tmtp.services.people.site import site_user
from tmtp.services.queue.leases import take

pytestmark = pytest.mark.django_db


def member(name: str) -> Sender:
    user = user_of(get_user_model().objects.create_user(name))
    node, _ = devices.make_node(user, "laptop")
    users.add_alias(Sender(user.uid, user.pk), f"{name} of rome")
    return Sender(user.uid, user.pk, node.pk)


def test_with_the_account_goes_the_user() -> None:
    ann, bob = member("ann"), member("bob")
    group = groups.create(ann, "friends of rome", "ann of rome")
    groups.invite(ann, "friends of rome", "ann of rome", "bob of rome")
    groups.join(bob, "friends of rome")
    send_message("bob of rome", "Hello", "From Ann", sender="ann of rome")
    send_message("ann of rome", "Hello", "For nobody any more")
    kept = QueueEntry.objects.filter(node=bob.node).count()
    get_user_model().objects.filter(username="ann").delete()
    assert not User.objects.filter(pk=ann.user).exists()
    assert not Node.objects.filter(pk=ann.node).exists()
    assert not QueueEntry.objects.filter(node=ann.node).exists()
    assert QueueEntry.objects.filter(node=bob.node).count() == kept + 1  # and that she has left
    assert not Message.objects.exclude(pk__in=QueueEntry.objects.values("message")).exists()
    assert list(Member.objects.filter(group=group).values_list("user", "role")) == [(bob.user, Member.Role.OWNER)]
    assert Alias.objects.get(name="ann of rome").dropped
    with pytest.raises(Refused, match="not available"):
        users.add_alias(bob, "ann of rome")


def test_what_others_have_received_shows_the_name_that_the_sender_had() -> None:
    ann, bob = member("ann"), member("bob")
    for subject in ("Hello", "Goodbye"):
        send_message("bob of rome", subject, "From Ann", sender="ann of rome")
    get_user_model().objects.filter(username="ann").delete()
    messages = [Received(one) for one in messages_of(Node.objects.get(pk=bob.node)) if one.op == "delivery"]
    assert [(one.subject, one.alias, one.uid) for one in messages] == [
        ("Hello", "ann of rome", ann.uid),
        ("Goodbye", "ann of rome", ann.uid),
    ]


def test_a_sender_who_had_no_name_is_a_deleted_member() -> None:
    nameless, bob = user_of(get_user_model().objects.create_user("carl")), member("bob")
    send_message("bob of rome", "Hello", "From Carl", sender=nameless)
    nameless.account.delete()
    (message,) = messages_of(Node.objects.get(pk=bob.node)).filter(op="delivery")
    assert Received(message).alias == "deleted member"


def test_who_is_connected_goes_when_the_link_has_ended() -> None:
    ann = member("ann")
    Node.objects.filter(pk=ann.node).update(server=take("127.0.0.1:1"))
    deletion.delete_user(User.objects.get(pk=ann.user))
    left = User.objects.get(pk=ann.user)
    assert (left.account, left.aliases.count(), deletion.finish()) == (None, 0, 0)
    assert left.disabled
    assert Node.objects.get(pk=ann.node).dropped
    Node.objects.filter(pk=ann.node).update(server=None)
    assert deletion.finish() == 1
    assert not User.objects.filter(pk=ann.user).exists()


def test_the_website_stays() -> None:
    with pytest.raises(Refused, match="cannot be deleted"):
        deletion.delete_user(site_user())
    assert not Group.objects.exists()
