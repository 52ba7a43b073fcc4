"""A deleted user leaves nothing behind but reserved names and what others have received."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model

from tmtp.messaging import send_message
from tmtp.models import Alias, Group, Member, Message, Node, QueueEntry, User
from tmtp.services.errors import Refused
from tmtp.services.groups import deletion, groups
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
