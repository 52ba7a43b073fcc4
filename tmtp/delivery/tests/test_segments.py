"""Segments: saved conditions on members, combined, evaluated when a broadcast is sent."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group as AccountGroup
from django.core.exceptions import ValidationError
from django.db.models import ProtectedError
from django.urls import reverse
from django.utils import timezone

from tmtp.delivery.broadcasts import audience, lifecycle, sending
from tmtp.delivery.models import Broadcast, Condition, Segment
from tmtp.messaging import send_message
from tmtp.models import QueueEntry, User
from tmtp.services.errors import Refused
from tmtp.services.groups import groups
from tmtp.services.people import users
from tmtp.services.people.linking import link_account, user_of
from tmtp.services.people.placeholders import mailbox_of
from tmtp.services.queue.reports import has_read

pytestmark = pytest.mark.django_db
Account = get_user_model()
NOW = timezone.now()


def named_b(accounts):
    return accounts.filter(username__startswith="b")


def fails(accounts):
    raise ZeroDivisionError


@pytest.fixture
def members():
    """Ann has a device, Bob an empty mailbox, Cleo nothing; Dora is not active."""
    fields = {"date_joined": NOW - timedelta(days=90)}
    ann, bob, cleo, dora = (Account.objects.create(username=name, **fields) for name in ("ann", "bob", "cleo", "dora"))
    device = users.register("phone", "ann of ulm").sender
    link_account(User.objects.get(pk=device.user), ann)
    user_of(bob)
    Account.objects.filter(pk=dora.pk).update(is_active=False)
    Account.objects.filter(pk=ann.pk).update(last_login=NOW, is_staff=True)
    Account.objects.filter(pk=bob.pk).update(last_login=NOW - timedelta(days=40), date_joined=NOW)
    ann.groups.add(AccountGroup.objects.create(name="choir"))
    groups.create(device, "chess club of ulm", "ann of ulm")
    users.register("phone", "stranger of ulm")
    return ann, bob, cleo


def segment(*conditions, match="all"):
    """Make a segment. A condition is “kind”, “kind value”; with “-” before it, it excludes."""
    one = Segment.objects.create(name=f"segment {Segment.objects.count()}", match=match)
    for words in conditions:
        kind, _, value = words.removeprefix("-").partition(" ")
        condition = Condition(segment=one, kind=kind, value=value, exclude=words.startswith("-"))
        condition.full_clean()
        condition.save()
    return one


def meant(one):
    broadcast = Broadcast.objects.create(subject="x", body="y", segment=one)
    audience.check(broadcast)
    found = [user.account.username if user.account else "stranger" for user in audience.users(broadcast)]
    found += [account.username for account in audience.accounts_without_user(broadcast)]
    assert len(found) == audience.count(broadcast)
    return sorted(found)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        (["account_group choir"], "ann"),
        (["group chess club of ulm"], "ann"),
        (["staff"], "ann"),
        (["joined_since 30"], "bob"),
        (["joined_before 30"], "ann cleo"),
        (["joined_since 2020-01-31"], "ann bob cleo"),
        (["seen_since 30"], "ann"),
        (["seen_before 30"], "bob"),
        (["never_seen"], "cleo"),
        (["device"], "ann stranger"),
        (["no_device"], "bob cleo"),
        (["function b"], "bob"),
        (["language en-us"], "ann bob cleo"),
        (["language de"], ""),
        (["no_device", "never_seen"], "cleo"),
        (["-staff"], "bob cleo stranger"),
        (["-device"], "bob cleo"),
        (["-no_device"], "ann stranger"),
        (["-staff", "-never_seen"], "bob stranger"),
        (["no_device", "-joined_since 30"], "cleo"),
    ],
)
def test_each_condition(members, settings, conditions, expected):
    settings.TMTP_DELIVERY = {"BROADCAST_SEGMENTS": {"b": f"{__name__}.named_b"}}
    settings.LANGUAGE_CODE = "en-us"
    settings.LANGUAGES = [("en-us", "English"), ("de", "German")]
    assert meant(segment(*conditions)) == expected.split()


def test_any_of_them_but_not_those_excluded(members):
    assert meant(segment("staff", "never_seen", match="any")) == ["ann", "cleo"]
    assert meant(segment("staff", "no_device", "-joined_since 30", match="any")) == ["ann", "cleo"]


def test_unread_messages(members):
    _ann, bob, cleo = members
    assert meant(segment("unread")) == []
    send_message(bob, "Hello", "")
    (msgid,) = send_message(cleo, "Hello", "")
    assert meant(segment("unread")) == ["bob", "cleo"]
    from tmtp.protocol.values import parse_msgid

    has_read(mailbox_of(user_of(cleo)).pk, [parse_msgid(msgid)])
    assert meant(segment("unread")) == ["bob"]


def test_it_is_evaluated_when_it_is_sent(members):
    one = Broadcast.objects.create(subject="x", body="y", segment=segment("never_seen"))
    lifecycle.start(one)
    Account.objects.filter(username="cleo").update(last_login=NOW)
    Account.objects.filter(username="bob").update(last_login=None)
    sending.send(one.pk, lambda: True)
    assert list(QueueEntry.objects.values_list("node__user__account__username", flat=True)) == ["bob"]
    with pytest.raises(ProtectedError):
        one.segment.delete()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("staff yes", "has no value"),
        ("joined_since", "needs a value"),
        ("joined_since May", "date such as"),
        ("joined_since 99999999999", "date such as"),
        ("account_group band", "“band” does not exist"),
        ("group band", "“band” does not exist"),
        ("function f", "no function “f”"),
        ("language xx", "The languages are"),
        ("tall", "no such condition"),
    ],
)
def test_a_wrong_value_is_refused(words, said):
    with pytest.raises(ValidationError, match=said):
        segment(words)


def test_who_was_excluded_by_a_group_that_is_gone_gets_nothing(members, settings):
    one = Broadcast.objects.create(subject="x", body="y", segment=segment("-account_group choir"))
    lifecycle.start(one)
    AccountGroup.objects.all().delete()
    sending.send(one.pk, lambda: True)
    one.refresh_from_db()
    assert (one.state, one.sent) == (Broadcast.State.PAUSED, 0)
    assert "“choir” does not exist" in one.problem
    settings.TMTP_DELIVERY = {"BROADCAST_SEGMENTS": {"f": f"{__name__}.fails"}}
    with pytest.raises(Refused, match="ZeroDivisionError"):
        meant(segment("function f"))
    with pytest.raises(Refused, match="no conditions"):
        meant(segment())


def test_in_the_admin(admin_client, members):
    form = {"name": "quiet", "match": "all", "conditions-TOTAL_FORMS": 1, "conditions-INITIAL_FORMS": 0}
    wrong = {**form, "conditions-0-kind": "seen_before", "conditions-0-value": "May"}
    add = reverse("admin:tmtp_delivery_segment_add")
    assert "date such as" in admin_client.post(add, wrong).content.decode()
    admin_client.post(add, {**wrong, "conditions-0-value": "30"})
    one = Segment.objects.get()
    page = admin_client.get(reverse("admin:tmtp_delivery_segment_change", args=[one.pk])).content.decode()
    assert "1 member at the moment, among them: bob" in page
    new = reverse("admin:tmtp_delivery_broadcast_add")
    assert f'value="{one.pk}" selected' in admin_client.get(new, {"segment": one.pk}).content.decode()
    admin_client.post(new, {"subject": "x", "body": "y", "segment": one.pk, "_save": "1"})
    review = reverse("admin:tmtp_delivery_broadcast_review", args=[Broadcast.objects.get().pk])
    page = admin_client.get(review).content.decode()
    assert "in the segment quiet" in page
    assert "Send now to 1 member" in page
