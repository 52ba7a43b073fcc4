"""Helpers for tests of the admin."""

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone

from tmtp.models import Group, Node, QueueEntry
from tmtp.protocol.requests import TO_USER, Recipient
from tmtp.services.groups import groups
from tmtp.services.messages import posting
from tmtp.services.messages.posts import Post
from tmtp.services.people import users
from tmtp.services.storage import sql

CHOIR = "the choir of St. Olav"
Account = get_user_model()


def url(name, *args):
    return reverse(f"admin:tmtp_{name}", args=args)


def register(alias, label="laptop"):
    return users.register(label, alias).sender


def node_of(sender):
    return Node.objects.get(pk=sender.node)


def text(response):
    return response.content.decode()


def connect(sender, lease):
    assert sql.claim_node(sender.node, None, lease, timezone.now())


def waiting_for(sender):
    """Return the messages that wait for a sender's node: (op, head) each."""
    entries = QueueEntry.objects.filter(node=sender.node).values_list("message__op", "message__head")
    return [(op, bytes(head).decode()) for op, head in entries]


def send(sender, to, body=b"{}the body of it", times=1):
    for _ in range(times):
        (number,) = posting.post([Post(sender, [Recipient(to.uid, TO_USER)], body, 2)])
    return number


def row_of(response, alias):
    """Return the prefix of the inline form with this alias."""
    (formset,) = [item.formset for item in response.context["inline_admin_formsets"] if item.formset.forms]
    (form,) = [form for form in formset.forms if str(form.instance) == alias]
    return form.prefix


def filled(response):
    """Return the values of all forms on a change page, as a browser would send them."""
    values = {}
    forms = [response.context["adminform"].form]
    for item in response.context["inline_admin_formsets"]:
        forms += [item.formset.management_form, *item.formset.forms]
    for form in forms:
        for bound in form:
            value = bound.value()
            if not bound.field.disabled and value is not None and value is not False:
                values[bound.html_name] = "on" if value is True else value
    return values


@pytest.fixture
def ann():
    return register("ann of rome")


@pytest.fixture
def bob():
    return register("bob of rome")


@pytest.fixture
def choir(ann, bob):
    """Return a group that Ann and Bob have joined and Cecil is invited to. No messages wait."""
    register("cecil of rome")
    for name in ("bob of rome", "cecil of rome"):
        groups.invite(ann, CHOIR, "ann of rome", name)
    groups.join(bob, CHOIR)
    QueueEntry.objects.all().delete()
    return Group.objects.get(gid=CHOIR)


@pytest.fixture
def reader(client):
    """Return a client of a user who may view everything and change nothing."""
    account = Account.objects.create_user("reader", is_staff=True)
    account.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client.force_login(account)
    return client
