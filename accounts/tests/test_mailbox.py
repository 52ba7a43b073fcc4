import hashlib

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction
from django.urls import reverse

from accounts.mailbox import index, words
from accounts.mailbox.access import mailbox_for
from accounts.mailbox.models import Entry, Thread
from tmtp.models import Member, QueueEntry, Report
from tmtp.services import groups, posting, recall
from tmtp.services.letters import Person, compose
from tmtp.services.posting import Sender, send_message
from tmtp.services.reading import Received, messages_of
from tmtp.services.users import add_alias
from tmtp.tests.people import forget, own, someone, to, unique, waiting

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann():
    return get_user_model().objects.create_user(unique("ann"))


@pytest.fixture
def node(ann):
    return mailbox_for(ann)


@pytest.fixture
def browser(client, ann):
    client.force_login(ann)
    return client


def name(node, alias=""):
    """Give the owner of a mailbox a name."""
    alias = alias or unique("ann of no ")
    add_alias(Sender(node.user.uid, node.user_id), alias)
    forget(node.pk)
    return alias


def letter(sender, alias, subject, text, *people, thread="", readers=(), files=()):
    """A post as a client makes it; gives its number."""
    made = compose(Person(alias, sender.uid), subject, text, thread=thread, readers=readers, attachments=files)
    body = b"".join(made.pieces())
    (number,) = posting.post([posting.Post(sender, to(*people), body, made.datahead)])
    assert isinstance(number, int), number
    return number


def as_sender(node):
    return Sender(node.user.uid, node.user_id, node.pk)


def titles(node):
    index.catch_up(node)
    return list(Thread.objects.filter(node=node).order_by("-latest").values_list("subject", flat=True))


def test_smoke(browser, ann, node):
    send_message(ann, "Hello there", "Some *text* for you")
    page = browser.get(reverse("accounts:mailbox"))
    assert page.status_code == 200
    assert "Hello there" in page.text
    thread = Thread.objects.get(node=node)
    shown = browser.get(reverse("accounts:thread", args=[thread.pk]))
    assert "Some <em>text</em>" in shown.text
    assert [e.subject for e in words.search(node.pk, "hel TEX")] == ["Hello there"]
    index.delete(node, [thread.latest])
    assert titles(node) == []
