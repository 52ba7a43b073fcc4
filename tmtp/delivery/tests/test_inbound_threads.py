"""A post joins a thread with the site only if its sender takes part in it."""

from __future__ import annotations

import json

import pytest

from tmtp.delivery.inbound.handling import site_mailbox
from tmtp.delivery.inbound.messages import InboundMessage
from tmtp.models import Message
from tmtp.protocol.requests import TO_USER, Recipient
from tmtp.protocol.values import format_msgid
from tmtp.services.groups import groups
from tmtp.services.messages import posting
from tmtp.services.messages.posting import Post
from tmtp.services.messages.sending import send_message
from tmtp.services.people.actors import Sender
from tmtp.services.people.placeholders import mailbox_of
from tmtp.services.people.site import site_user
from tmtp.tests.people import someone, unique

pytestmark = pytest.mark.django_db


def thread_of(message: Message) -> str:
    mailbox = site_mailbox()
    assert mailbox
    return InboundMessage(message, mailbox).thread


def posted_in(thread: str, sender: Sender) -> tuple[str, str]:
    """Post to the site in a thread. Return the thread that the site's handler sees, and the msgid."""
    head = json.dumps({"threadid": thread, "alias": "mnm website"}).encode()
    (number,) = posting.post([Post(sender, [Recipient(site_user().uid, TO_USER)], head + b"text", len(head))])
    return thread_of(Message.objects.get(pk=number)), format_msgid(number)


@pytest.mark.once
@pytest.mark.parametrize("together", [True, False])
def test_nobody_else_answers_in_a_thread_of_the_site(together: bool) -> None:
    site_user()
    ann, bob, mallory = someone(), someone(), someone()
    msgid = send_message([ann.uid, bob.uid], "Your order", "text", together=together)[0]
    assert posted_in(msgid, ann)[0] == msgid
    thread, own = posted_in(msgid, mallory)
    assert thread == own
    thread, own = posted_in("7" + "f" * 15, ann)  # an unknown thread
    assert thread == own
    thread, own = posted_in("f" * 16, ann)
    assert thread == own


def test_who_takes_part_in_a_thread_that_a_member_began() -> None:
    gid = unique("group no ")
    ann, bob, carl, mallory = someone("ann the first"), someone(), someone("carl the first"), someone()
    name = "ann the first"
    groups.create(ann, gid, name)
    groups.invite(ann, gid, name, "carl the first")
    cc = [{"who": "bob", "whouid": bob.uid}, {"who": gid, "whouid": gid}]
    head = json.dumps({"threadid": "", "alias": name, "subject": "Hello", "cc": cc}).encode()
    mailbox = site_mailbox() or mailbox_of(site_user())
    (number,) = posting.post([Post(ann, [Recipient(site_user().uid, TO_USER)], head + b"text", len(head))])
    msgid = format_msgid(number)
    for acknowledged in (False, True):
        if acknowledged:
            InboundMessage(Message.objects.get(pk=number), mailbox).acknowledge()
        assert [posted_in(msgid, one)[0] for one in (ann, bob, carl)] == [msgid] * 3
        thread, own = posted_in(msgid, mallory)
        assert thread == own
