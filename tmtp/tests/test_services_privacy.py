"""Blocks and presence: what is refused, what is still delivered, and how servers learn of changes."""

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone

from tmtp.engine.polling import Poller, Question
from tmtp.models import Block, Node, User
from tmtp.protocol.requests import TO_GROUP, Recipient
from tmtp.services.errors import Refused
from tmtp.services.groups import groups
from tmtp.services.messages import directory, posting
from tmtp.services.messages.directory import look_up
from tmtp.services.messages.posts import Notification, Post
from tmtp.services.messages.sending import send_message
from tmtp.services.people import devices, identities, linking, privacy, users
from tmtp.services.people.privacy import CONTACTS, EVERYONE, NOBODY, OPEN, Privacy
from tmtp.services.people.site import site_user

from .people import forget, own, someone, to, unique, waiting

pytestmark = pytest.mark.django_db


@pytest.fixture
def names():
    return unique("ann of no "), unique("bob of no ")


@pytest.fixture
def ann(names):
    return someone(names[0])


@pytest.fixture
def bob(names):
    return someone(names[1])


def user(sender):
    return User.objects.get(pk=sender.user)


@pytest.fixture
def blocked(ann, bob):
    """Ann blocks Bob."""
    privacy.block(user(ann), user(bob))
    forget(*own(ann), *own(bob))


def reason(function, *arguments):
    with pytest.raises(Refused) as refused:
        function(*arguments)
    return str(refused.value)


# refusals


def test_a_post_is_refused_and_reaches_nobody(ann, bob, blocked):
    cid = someone()
    (refused,) = posting.post([Post(bob, to(cid, ann), b"hello")])
    assert isinstance(refused, Refused)
    assert not waiting(ann)
    assert not waiting(cid)


def test_a_notification_is_refused(ann, bob, blocked):
    cid = someone()
    (refused,) = posting.post([Post(bob, to(cid), b"hello", notification=Notification(to(ann), b"look"))])
    assert isinstance(refused, Refused)
    assert not waiting(cid)


def test_other_posts_of_the_batch_stand(ann, bob, blocked):
    cid = someone()
    first, second, third = posting.post([Post(cid, to(ann), b"1"), Post(bob, to(ann), b"2"), Post(ann, to(bob), b"3")])
    assert isinstance(first, int)
    assert isinstance(second, Refused)
    assert isinstance(third, int), "who blocks may still write"
    assert [message["data"] for message in waiting(ann)] == [b"1"]


def test_a_ping_is_refused(ann, bob, blocked, names):
    assert reason(posting.ping, bob, names[1], names[0], b"hi")
    assert not waiting(ann)


def test_an_invitation_is_refused(ann, bob, blocked, names):
    assert reason(groups.invite, bob, unique("group no "), names[1], names[0])
    assert not waiting(ann)


def test_nothing_is_sent_in_the_name_of_who_is_blocked(ann, bob, blocked):
    cid = someone()
    assert reason(lambda: send_message([user(cid), user(ann)], "s", "b", sender=user(bob)))
    assert not waiting(cid)
    assert send_message(user(ann), "s", "from the site", sender=None)


def test_the_reason_is_that_of_a_user_with_no_room(ann, bob, blocked, names):
    """The sender cannot tell a block from a device that has been away for too long."""
    group, cids = unique("group no "), unique("cid of no ")
    cid = someone(cids)
    Node.objects.filter(pk=cid.node).update(full_since=timezone.now())
    blocks, full = posting.post([Post(bob, to(ann), b"x"), Post(bob, to(cid), b"x")])
    assert str(blocks).replace(ann.uid, "*") == str(full).replace(cid.uid, "*")
    for verb in (
        lambda name: posting.ping(bob, names[1], name, b""),
        lambda name: groups.invite(bob, group, names[1], name),
    ):
        assert reason(verb, names[0]).replace(names[0], "*") == reason(verb, cids).replace(cids, "*")


# messages that are still delivered


def test_a_group_hears_everyone(ann, bob, blocked, names):
    gid = unique("group no ")
    groups.create(ann, gid, names[0])
    groups.invite(ann, gid, names[0], names[1])
    groups.join(bob, gid)
    forget(*own(ann), *own(bob))
    (number,) = posting.post([Post(bob, [Recipient(gid, TO_GROUP)], b"all")])
    assert isinstance(number, int)
    assert [message["data"] for message in waiting(ann)] == [b"all"]


def test_unblocked_it_comes_again(ann, bob, blocked):
    privacy.unblock(user(ann), user(bob))
    assert isinstance(posting.post([Post(bob, to(ann), b"x")])[0], int)
    assert not user(ann).blocks_someone


def test_who_blocks_two_and_unblocks_one_still_blocks_the_other(ann, bob, blocked):
    cid = someone()
    privacy.block(user(ann), user(cid))
    privacy.unblock(user(ann), user(bob))
    refused, done = posting.post([Post(cid, to(ann), b"x"), Post(bob, to(ann), b"x")])
    assert isinstance(refused, Refused)
    assert isinstance(done, int)


def test_twice_is_once_and_nobody_blocks_oneself_or_the_site(ann, bob, blocked):
    privacy.block(user(ann), user(bob))
    assert Block.objects.filter(user=ann.user).count() == 1
    assert reason(privacy.block, user(ann), user(ann))
    assert reason(privacy.block, user(ann), site_user())


def test_blocks_are_looked_up_when_somebody_named_blocks(ann, bob, monkeypatch):
    with monkeypatch.context() as patch:
        patch.delattr(directory, "blocks_among")
        assert not look_up([Post(bob, to(ann), b"x")]).blocks
    privacy.block(user(ann), user(bob))
    assert look_up([Post(bob, to(ann), b"x")]).blocks == {(ann.user, bob.user)}


# how servers learn of changes


def test_a_login_says_who_may_see_it(lease, ann, bob):
    assert log_in(ann, lease).privacy == OPEN
    privacy.set_presence(user(ann), CONTACTS)
    privacy.block(user(ann), user(bob))
    assert log_in(ann, lease).privacy == Privacy(CONTACTS, frozenset([bob.uid]))


def log_in(sender, lease):
    _, nodeid = devices.make_node(user(sender), "tablet")
    return users.log_in(sender.uid, nodeid, lease)


def test_a_device_that_joins_its_user_by_identity_keeps_to_it(lease):
    def shown(token):
        return identities.IdentityShown("https://iss.example", "sub", token, timezone.now() + timedelta(minutes=5))

    first = users.register("laptop", shown=shown(b"1" * 32)).sender
    privacy.set_presence(user(first), NOBODY)
    assert users.register("phone", shown=shown(b"2" * 32), lease=lease).sender.privacy.presence == NOBODY


def test_a_server_is_told_of_each_change_once(lease, ann, bob):
    node = log_in(ann, lease).node
    watch = Poller()
    privacy.set_presence(user(ann), NOBODY)
    assert watch.look(lease, [node], Question(whoever_wrote=True)).privacy == {ann.uid: Privacy(NOBODY)}
    assert not watch.look(lease, [node], Question(whoever_wrote=True)).privacy
    privacy.block(user(ann), user(bob))
    news = watch.look(lease, [node], Question(whoever_wrote=True))
    assert news.privacy == {ann.uid: Privacy(NOBODY, frozenset([bob.uid]))}
    assert not news.gone
    assert not news.start_over
    privacy.unblock(user(ann), user(bob))
    privacy.set_presence(user(ann), EVERYONE)
    assert watch.look(lease, [node], Question(whoever_wrote=True)).privacy == {ann.uid: OPEN}


def test_a_change_that_a_login_did_not_see_is_found_after_it(lease, ann):
    privacy.set_presence(user(ann), CONTACTS)
    Node.objects.filter(pk=ann.node).update(server=lease)
    assert Poller().look(lease, [ann.node], Question()).privacy == {ann.uid: Privacy(CONTACTS)}


# members of the website


def test_what_was_chosen_before_the_first_device_goes_with_the_member(ann, bob):
    member = get_user_model().objects.create_user("ann")
    before = linking.user_of(member)
    privacy.set_presence(before, NOBODY)
    privacy.block(before, user(bob), "Bob")
    privacy.block(user(bob), before, "Ann")
    linking.link_account(user(ann), member)
    assert user(ann).presence == NOBODY
    assert {str(block) for block in Block.objects.all()} == {"Ann", "Bob"}
    refused = posting.post([Post(bob, to(ann), b"x"), Post(ann, to(bob), b"x")])
    assert all(isinstance(one, Refused) for one in refused)


def test_a_device_gets_another_name(ann):
    node = Node.objects.get(pk=ann.node)
    devices.rename_node(node, "My phone")
    assert Node.objects.get(pk=ann.node).label == "My phone"
    assert reason(devices.rename_node, node, " ")
    assert reason(devices.rename_node, node, "x" * 256)
