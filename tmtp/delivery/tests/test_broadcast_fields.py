"""Fields in broadcasts: each recipient gets one message with their own values, which are never markup."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from tmtp.delivery.broadcasts import fields, files, lifecycle, sending, tasks, trial
from tmtp.delivery.broadcasts.reporting import report
from tmtp.delivery.models import Broadcast, Template
from tmtp.markup import render
from tmtp.models import Message, QueueEntry, SentMessage
from tmtp.services.errors import Refused
from tmtp.services.people import users
from tmtp.services.people.linking import user_of

pytestmark = pytest.mark.django_db
Account = get_user_model()
State = Broadcast.State


def points(accounts):
    return {account.pk: account.pk * 10 for account in accounts if account.username != "cleo"}


def fails(accounts):
    raise ZeroDivisionError


@pytest.fixture(autouse=True)
def small_portions(monkeypatch):
    monkeypatch.setattr(sending, "PERSONAL_PORTION", 3)


@pytest.fixture
def members():
    return [
        Account.objects.create(username=name, first_name=first)
        for name, first in (("ann", "Ann"), ("bob", "*Bob*"), ("cleo", ""), ("dan", "D"), ("eve", "E"))
    ]


def running(**options):
    texts = {"subject": "For {{ username }}", "body": "Hello {{ first_name|default:'member' }}!"}
    one = Broadcast.objects.create(**{**texts, "everyone": True, **options})
    lifecycle.start(one)
    return one


def texts():
    """Return the subject and the text that waits for each username."""
    found = {}
    for entry in QueueEntry.objects.select_related("node__user__account"):
        message = Message.objects.get(pk=entry.message_id)
        head, body = str(SentMessage.objects.get(pk=message.pk)), bytes(message.body)
        found.setdefault(entry.node.user.account.username, []).append((head, body[body.index(b"}]}") + 3 :].decode()))
    return found


@pytest.mark.once
def test_each_gets_their_own(members):
    one = running()
    assert not sending.send(one.pk, lambda: True)
    one.refresh_from_db()
    assert (one.state, one.sent, one.parts.count()) == (State.DONE, 5, 5)
    assert texts()["ann"] == [("For ann", "Hello Ann!")]
    assert texts()["bob"] == [("For bob", r"Hello \*Bob\*!")]
    assert texts()["cleo"] == [("For cleo", "Hello member!")]
    assert report(one)["queued"] == 5


def test_once_each_even_when_the_list_of_recipients_comes_back(members, monkeypatch):
    """A worker dies in the middle; and the key keeps apart what the list of recipients does not."""
    one = running()
    real, calls = sending.send_personal, iter(range(9))

    def dies(*args):
        sent = real(*args)
        if next(calls) == 1:
            raise KeyboardInterrupt
        return sent

    monkeypatch.setattr(sending, "send_personal", dies)
    with pytest.raises(KeyboardInterrupt):
        sending.send(one.pk, lambda: True)
    assert len(texts()) == 3
    sending.Recipient.objects.create(broadcast=one, user=QueueEntry.objects.first().node.user)
    sending.send(one.pk, lambda: True)
    assert {name: len(found) for name, found in texts().items()} == dict.fromkeys(
        ("ann", "bob", "cleo", "dan", "eve"), 1
    )


def test_recall_takes_all_of_them(members):
    one = running()
    sending.send(one.pk, lambda: True)
    one.refresh_from_db()
    lifecycle.take_back(one)
    tasks.take_back(one.pk)
    assert not QueueEntry.objects.exists()


@pytest.mark.once
def test_fields_of_the_site(members, settings):
    settings.TMTP_DELIVERY = {"BROADCAST_FIELDS": {"points": f"{__name__}.points", "bad": f"{__name__}.fails"}}
    one = running(body='{{ points|default:"no" }} points')
    sending.send(one.pk, lambda: True)
    assert texts()["ann"][0][1] == f"{members[0].pk * 10} points"
    assert texts()["cleo"][0][1] == "no points"
    bad = running(body="{{ bad }}")
    sending.send(bad.pk, lambda: True)
    bad.refresh_from_db()
    assert bad.state == State.PAUSED
    assert "“bad” failed (ZeroDivisionError)" in bad.problem


def test_a_user_without_account_has_a_name():
    phone = users.register("phone", "carl of rome").sender
    user = sending.User.objects.get(pk=phone.user)
    wanted = {"name", "alias", "username", "first_name"}
    assert fields.values_of([user], wanted)[user.pk] == {
        "name": "carl of rome", "alias": "carl of rome", "username": "", "first_name": ""
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    ["{{ nam }}", "{{ name.password }}", "{{ name|upper }}", "{{ name", "{{}}", "{{ name|default:x }}", "{{ a b }}",
     "{{ name|default:'a'|safe }}", "{{ {{ name }} }}", "{{ 'a }}", "{{ _ }}", "{{ na\nme }}"],
)  # fmt: skip
def test_what_is_no_field_is_refused_when_it_is_saved(text):
    with pytest.raises(ValidationError, match="field"):
        Broadcast(subject="x", body=text).full_clean()
    with pytest.raises(ValidationError, match="field"):
        Template(name="x", subject=text, body="x").full_clean()
    with pytest.raises(Refused):
        lifecycle.start(Broadcast.objects.create(subject="x", body=text, everyone=True))


def test_a_subject_is_never_empty():
    with pytest.raises(ValidationError, match="default"):
        Broadcast(subject="{{ name }}", body="x").full_clean()
    Broadcast(subject="{{ name|default:'you' }}", body="{% if %} {# #} }}").full_clean()


@pytest.mark.once
def test_what_has_no_fields_is_one_message(members):
    one = running(subject='{{ "{{" }}x', body="{% now %}")
    sending.send(one.pk, lambda: True)
    assert one.parts.count() == 1
    assert SentMessage.objects.get().subject == "{{x"


@pytest.mark.once
@given(
    st.text(max_size=40)
    | st.sampled_from(["# a", "1. a", "[a](http://b.c)", "www.evil.com", "a@b.cd", "<b>", "&amp;", "- a"])
)
def test_values_are_never_markup(value):
    """Whatever a name is, it is shown as it is, wherever it stands."""
    shown = fields._shown(value)
    text = "{{ name }}\n\na {{ name }} b\n\n- {{ name }}\n\n> *{{ name }}*"
    html = str(render(fields.fill_body(text, {"name": shown})))
    assert html == str(render(text.replace("{{ name }}", "xyz"))).replace("xyz", _escaped(shown)) or not shown


def _escaped(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def test_a_draft_from_a_template_with_files_and_a_test(members):
    template = Template.objects.create(name="news", subject="News for {{ name }}", body="Hi {{ first_name }}")
    one = lifecycle.draft(template, everyone=True, files=[("plan.txt", "Sunday")])
    trial.send_test(one, members[0])
    assert [subject for subject, _ in texts()["ann"]] == ["Test: News for Ann"]
    assert one.state == State.DRAFT
    lifecycle.start(one)
    sending.send(one.pk, lambda: True)
    bodies = [
        bytes(body) for body in Message.objects.filter(pk__in=one.parts.values("pk")).values_list("body", flat=True)
    ]
    assert len(bodies) == 5
    assert all(b'"u:plan.txt"' in body and body.endswith(b"Sunday") for body in bodies)
    with pytest.raises(Refused, match="octets"):
        files.attach(one, [("big", b"x" * files.MOST)])
    assert user_of(members[0])
