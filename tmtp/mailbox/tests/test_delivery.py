"""Members see how far their messages have come, and recall what nobody has fetched yet."""

from __future__ import annotations

import pytest
from django.urls import reverse

from tmtp.mailbox import index
from tmtp.mailbox.access import mailbox_for
from tmtp.mailbox.models import Recall
from tmtp.models import Node, User
from tmtp.services.people.devices import add_node
from tmtp.signals import housekeeping
from tmtp.tests.people import forget, ops, own

from .mailboxes import group, letter, member, person, received, sender_of, threads

pytestmark = pytest.mark.django_db


def write(ann, *people, **options):
    readers = [person(one, name) for one, name in people]
    to = [one for one, _ in people]
    return letter(sender_of(ann), "ann the first", "Chess", "On Friday?", ann.user, *to, readers=readers, **options)


def page(browser, node):
    (the,) = threads(node)
    return browser.get(reverse("tmtp_mailbox:thread", args=[the.pk])).context["part"].items[0]


def states(browser, node):
    shown = page(browser, node).delivery
    return shown.summary, list(shown.people), shown.waits


@pytest.mark.once
def test_a_message_to_a_device_is_queued_sent_and_delivered(browser, ann, bob):
    add_node(bob, "phone")
    (other,) = set(own(bob)) - {bob.node}
    forget(bob, other)
    write(ann, (bob, "bob the second"))
    assert states(browser, ann) == ("Queued", [("bob the second", "queued")], True)
    forget(bob)
    assert states(browser, ann) == ("Sent", [("bob the second", "sent")], True)
    forget(other)
    assert states(browser, ann) == ("Delivered", [("bob the second", "delivered")], False)


@pytest.mark.once
def test_a_mailbox_has_fetched_a_message_when_its_page_has_listed_it(browser, ann):
    _, carl = member("carl the third")
    write(ann, (sender_of(carl), "carl the third"))
    assert states(browser, ann)[0] == "Queued"
    index.catch_up(carl)
    assert states(browser, ann) == ("Delivered", [("carl the third", "delivered")], False)  # not: read


@pytest.mark.once
def test_several_people_are_counted_and_named(browser, ann, bob):
    _, carl = member("carl the third")
    write(ann, (bob, "bob the second"), (sender_of(carl), "carl the third"))
    forget(bob)
    summary, people, _ = states(browser, ann)
    assert summary == "Delivered to 1 of 2 people"
    assert set(people) == {("bob the second", "delivered"), ("carl the third", "queued")}


def test_of_a_group_those_are_shown_for_whom_it_waits(browser, ann, bob):
    gid = group(sender_of(ann), bob)
    browser.post(reverse("tmtp_mailbox:compose"), {"to": gid, "subject": "Chess", "text": "On Friday?"})
    summary, people, waits = states(browser, ann)
    assert (summary, len(people), waits) == ("Queued for 1 member", 1, True)
    forget(bob)
    assert states(browser, ann) == ("Delivered", [], False)


def test_what_nobody_has_fetched_is_recalled(browser, ann, bob):
    _, carl = member("carl the third")
    msgid = write(ann, (bob, "bob the second"), (sender_of(carl), "carl the third"))
    index.catch_up(carl)
    path = reverse("tmtp_mailbox:message_recall", args=[msgid])
    index.catch_up(ann)
    answer = browser.post(path, follow=True)
    assert "The message was recalled from 1 device or mailbox that had not fetched it." in answer.text
    assert ops(bob) == [] and len(received(carl)) == len(received(ann)) == 1
    _summary, people, waits = states(browser, ann)
    assert (set(people), waits) == ({("bob the second", "recalled"), ("carl the third", "delivered")}, False)
    assert "The message was not recalled" in browser.post(path, follow=True).text
    forget(ann.pk, carl.pk)
    housekeeping.send(None)
    assert not Recall.objects.exists()


@pytest.mark.once
def test_only_own_messages_are_recalled(browser, ann, bob):
    msgid = letter(bob, "bob the second", "Chess", "When?", ann.user, readers=[person(bob, "bob the second")])
    index.catch_up(ann)
    assert browser.post(reverse("tmtp_mailbox:message_recall", args=[msgid])).status_code == 404
    assert page(browser, ann).delivery is None


@pytest.mark.once
def test_of_a_member_without_a_device_it_is_queued(browser, ann):
    user = User.objects.create(uid="9" * 32)
    browser.post(reverse("tmtp_mailbox:compose"), {"to": user.uid, "subject": "Chess", "text": "On Friday?"})
    assert states(browser, ann)[0] == "Queued"
    assert Node.objects.get(user=user).kind == Node.Kind.HOLDING


def test_a_device_that_came_later_says_nothing(browser, ann):
    account, carl = member("carl the third")
    write(ann, (sender_of(carl), "carl the third"))
    Node.objects.filter(pk=carl.pk).update(dropped=carl.created)
    add_node(sender_of(mailbox_for(account)), "new phone")
    assert page(browser, ann).delivery is None
