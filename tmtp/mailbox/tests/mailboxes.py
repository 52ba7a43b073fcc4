"""Helpers for tests of mailboxes: members with mailboxes, and messages to them."""

from __future__ import annotations

import json
import secrets
from contextlib import contextmanager

from django.contrib.auth import get_user_model
from django.urls import reverse

from tmtp.mailbox import index
from tmtp.mailbox.models import Entry, Thread
from tmtp.models import Group, Member, Node, QueueEntry, User
from tmtp.protocol.values import make_uid
from tmtp.services.messages import posting
from tmtp.services.messages.attachments import attachments_of
from tmtp.services.messages.mailbox import Received, messages_of
from tmtp.services.messages.post_format import Person, compose
from tmtp.services.messages.posts import Post
from tmtp.services.people.actors import Sender
from tmtp.services.people.users import add_alias
from tmtp.tests.people import forget, to, unique, waiting


def member(alias=""):
    """Create a member of the website, and return their mailbox. The member has an alias if one is given."""
    account = get_user_model().objects.create_user(unique("member"))
    # what the first call of `mailbox_for` does, without the care for others who do so at the same time
    user = User.objects.create(uid=make_uid(), account=account)
    node = Node.objects.create(user=user, kind=Node.Kind.MAILBOX, secret=secrets.token_bytes(32))
    if alias:
        add_alias(sender_of(node), alias)
        forget(node.pk)
    return account, node


def sender_of(node):
    """Return the owner of a mailbox as a sender from it."""
    return Sender(node.user.uid, node.user_id, node.pk)


def person(sender, alias):
    return Person(alias, sender.uid)


def letter(sender, alias, subject, text, *people, thread="", readers=(), files=()):
    """Send a post as a client composes it, and return its msgid."""
    made = compose(
        Person(alias, sender.uid), subject, text, thread=thread, readers=readers, attachments=attachments_of(files)
    )
    return octets(sender, b"".join(made.pieces()), made.datahead, *people)


def octets(sender, body, datahead, *people):
    """Send a post of any octets, and return its msgid."""
    (number,) = posting.post([Post(sender, to(*people), body, datahead)])
    assert isinstance(number, int), number
    return f"{number:016x}"


@contextmanager
def kept_back(node, msgid):
    """Let a message reach a mailbox when the block ends, as if it were committed after others with higher numbers."""
    its = QueueEntry.objects.filter(node=node, message_id=int(msgid, 16))
    rows = list(its)
    its.delete()
    yield
    QueueEntry.objects.bulk_create(rows)


def threads(node):
    """Return the threads of a mailbox, newest first."""
    assert index.catch_up(node)
    return list(Thread.objects.filter(node=node).order_by("-latest"))


def subjects(node):
    return [thread.subject for thread in threads(node)]


def entries(node):
    assert index.catch_up(node)
    return list(Entry.objects.filter(node=node).order_by("number"))


def received(node):
    """Return the messages in a mailbox."""
    return [Received(message) for message in messages_of(node)]


def group(*users):
    """Create a group that these users have joined, and return its gid."""
    its = Group.objects.create(gid=unique("group of no "))
    for user in users:
        Member.objects.create(group=its, user_id=user.user, alias=unique("one of no "), status=Member.Status.JOINED)
    return its.gid


def url(name, *args, query=""):
    """Return the URL of a page of the mailbox."""
    return reverse(f"tmtp_mailbox:{name}", args=args) + query


def page(browser, name, *args, query="", **options):
    """Return the HTML of a page of the mailbox."""
    answer = browser.get(url(name, *args, query=query), **options)
    assert answer.status_code == 200, answer
    return answer.text


def head_of(message):
    """Return the head of a post, parsed, and its text."""
    at = message["datahead"]
    return json.loads(message["data"][:at]), message["data"][at:].decode()


def deliveries(node):
    """Return the posts that wait for a node: (head, text) each."""
    return [head_of(message) for message in waiting(node) if message["op"] == "delivery"]
