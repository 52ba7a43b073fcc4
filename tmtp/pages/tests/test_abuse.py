"""The pages on which members report members and groups, and the notices to the admins."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.core import mail
from django.urls import reverse
from django.utils.html import escape
from django.utils.http import urlencode

from tmtp.markup import render
from tmtp.models import AbuseReport, User
from tmtp.services.groups import groups
from tmtp.services.messages.mailbox import Received, messages_of
from tmtp.services.people import users
from tmtp.services.people.actors import Sender
from tmtp.services.people.linking import user_of
from tmtp.services.people.placeholders import mailbox_of
from tmtp.services.people.site import site_user
from tmtp.tests.people import waiting
from tmtp.web import limits

pytestmark = [pytest.mark.django_db, pytest.mark.once]
GID = "friends of rome"


def member(name: str) -> User:
    user = user_of(get_user_model().objects.create_user(name))
    users.add_alias(Sender(user.uid, user.pk), f"{name} of rome")
    return user


@pytest.fixture
def ann(client):
    limits.limits.cache_clear()
    user = member("ann")
    client.force_login(user.account)
    return user


@pytest.fixture
def bob():
    return member("bob")


def url(name, *args):
    return reverse(f"tmtp_pages:{name}", args=args)


def test_report_a_member(client, ann, bob):
    where = url("report_member", bob.uid) + "?name=bob+of+rome&next=/groups/"
    page = client.get(where).text
    assert "Report “bob of rome”" in page
    assert "with_text" not in page
    assert "Sign out" in page  # the page knows who is signed in
    answer = client.post(where, {"reason": 2, "comment": "Rude"}, follow=True)
    assert answer.redirect_chain[-1][0] == "/groups/"
    assert "Report sent." in answer.text
    reported = AbuseReport.objects.get()
    assert (reported.user, reported.reporter, reported.name, reported.comment) == (bob, ann, "bob of rome", "Rude")


@pytest.mark.parametrize("back", ["https://example.org/", "//example.org", "groups/", "javascript:alert(1)", ""])
def test_the_way_back_stays_on_the_site(client, ann, bob, back):
    answer = client.post(url("report_member", bob.uid) + f"?next={back}", {"reason": 1})
    assert answer["Location"] == url("blocked")


def test_a_name_that_is_not_theirs_is_not_shown(client, ann, bob):
    page = client.get(url("report_member", bob.uid) + "?name=ann+of+rome").text
    assert "ann of rome" not in page
    assert bob.uid in page


@pytest.mark.parametrize("fields", [{}, {"reason": 9}, {"reason": "x"}, {"reason": 1, "comment": "x" * 2001}])
def test_a_form_that_is_not_filled_in(client, ann, bob, fields):
    assert "errorlist" in client.post(url("report_member", bob.uid), fields).text
    assert not AbuseReport.objects.exists()


def test_who_cannot_be_reported(client, ann):
    for user, why in ((ann, "cannot report yourself"), (site_user(), "cannot be reported")):
        assert why in client.post(url("report_member", user.uid), {"reason": 1}).text
    assert client.get(url("report_member", "X" * 32)).status_code == 404


def test_report_a_group(client, ann, bob):
    group = groups.create(Sender(bob.uid, bob.pk), GID, "bob of rome")
    assert client.post(url("report_group", group.pk), {"reason": 3}).status_code == 404
    groups.invite(Sender(bob.uid, bob.pk), GID, "bob of rome", "ann of rome")
    assert url("report_group", group.pk) in client.get(url("group", group.pk)).text
    assert "Report sent." in client.post(url("report_group", group.pk), {"reason": 3}, follow=True).text
    assert AbuseReport.objects.get().group == group


def test_the_limit_stands_on_the_page(client, ann, bob, settings):
    settings.TMTP = {**settings.TMTP, "LIMITS": {"abuse_reports_per_user": 1}}
    group = groups.create(Sender(ann.uid, ann.pk), GID, "ann of rome")
    client.post(url("report_group", group.pk), {"reason": 1})
    assert "You have sent too many reports today" in client.post(url("report_member", bob.uid), {"reason": 1}).text


def test_admins_are_told_if_the_site_wants_it(client, ann, bob, settings, django_capture_on_commit_callbacks, caplog):
    admin = member("admin")
    mailbox = mailbox_of(admin)
    to = ["abuse@example.org", "nobody at all", "admin of rome"]
    settings.TMTP = {**settings.TMTP, "ABUSE_REPORTS_TO": to}
    where = url("report_member", bob.uid) + "?name=bob+of+rome"
    with django_capture_on_commit_callbacks(execute=True):
        assert "Report sent." in client.post(where, {"reason": 2, "comment": "A secret"}, follow=True).text
    (sent,) = mail.outbox
    assert sent.to == ["abuse@example.org"]
    (delivery,) = waiting(mailbox.pk)
    for text in (sent.body, delivery["data"].decode()):
        assert "bob of rome" in text
        assert f"/admin/tmtp/abusereport/{AbuseReport.objects.get().pk}/change/" in text
        for hidden in ("A secret", "ann of rome", ann.uid):
            assert hidden not in text
    assert "no notice to nobody at all" in caplog.text


@pytest.mark.parametrize("name", ["[a](https://b.example)", "https://b.example/", "`` a ` [b](https://c.example)"])
def test_a_name_is_no_markup_in_a_notice(ann, bob, settings, django_capture_on_commit_callbacks, client, name):
    settings.TMTP = {**settings.TMTP, "ABUSE_REPORTS_TO": ["ann of rome"]}
    mailbox = mailbox_of(ann)
    users.add_alias(Sender(bob.uid, bob.pk), name)
    with django_capture_on_commit_callbacks(execute=True):
        client.post(url("report_member", bob.uid) + "?" + urlencode({"name": name}), {"reason": 2})
    html = render(Received(messages_of(mailbox).get(op="delivery")).text)
    assert f"<code>{escape(name)}</code>" in html
    assert html.count("<a ") == 1  # to the report


def test_nobody_is_told_by_default(client, ann, bob, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        client.post(url("report_member", bob.uid), {"reason": 2})
    assert not mail.outbox
