"""Reports of messages in the mailbox: the text goes along only if the reporter agrees."""

from __future__ import annotations

import pytest
from django.urls import reverse

from tmtp.models import AbuseReport, User
from tmtp.services.groups import groups
from tmtp.services.messages import posting
from tmtp.services.messages.sending import send_message

from .mailboxes import entries, letter, received, sender_of

pytestmark = [pytest.mark.django_db, pytest.mark.once]


def where(msgid):
    return reverse("tmtp_mailbox:message_report", args=[msgid])


@pytest.mark.parametrize(("agrees", "text"), [({}, ""), ({"with_text": "on"}, "Buy now\n\nCheap *chess* sets")])
def test_the_text_goes_along_only_if_the_reporter_agrees(browser, ann, bob, agrees, text):
    msgid = letter(bob, "bob the second", "Buy now", "Cheap *chess* sets", ann.user)
    (entry,) = entries(ann)
    assert where(msgid) in browser.get(reverse("tmtp_mailbox:thread", args=[entry.thread_id])).text
    page = browser.get(where(msgid)).text
    assert 'name="with_text"' in page
    assert "checked" not in page
    answer = browser.post(where(msgid), {"reason": 1, "comment": "Ads", **agrees}, follow=True)
    assert "Report sent." in answer.text
    reported = AbuseReport.objects.get()
    assert (reported.msgid, reported.user_id, reported.name) == (msgid, bob.user, "bob the second")
    assert (reported.text, reported.comment) == (text, "Ads")


def test_pings_and_invitations_are_reported_too(browser, ann, bob):
    posting.ping(bob, "bob the second", "ann the first", b"Hello there")
    groups.invite(bob, "club of bob", "bob the second", "ann the first", b"Come in")
    for entry in entries(ann):
        browser.post(where(f"{entry.number:016x}"), {"reason": 1, "with_text": "on"})
    assert sorted(AbuseReport.objects.values_list("text", flat=True)) == ["Come in", "Hello there"]


def test_what_cannot_be_reported(browser, ann, bob):
    send_message(ann.account, "Welcome", "To the site")
    letter(sender_of(ann), "ann the first", "Own", "text", ann.user)
    other = letter(bob, "bob the second", "Not for Ann", "text")
    site, own = received(ann)
    entries(ann)
    assert "cannot be reported" in browser.post(where(site.msgid), {"reason": 1}).text
    for msgid in (own.msgid, other, "0" * 16, "nonsense"):
        assert browser.get(where(msgid)).status_code == 404
    assert not AbuseReport.objects.exists()


def test_a_message_of_a_deleted_user_is_reported(browser, ann, bob):
    msgid = letter(bob, "bob the second", "Subject", "text", ann.user)
    entries(ann)
    User.objects.get(pk=bob.user).delete()
    browser.post(where(msgid), {"reason": 1, "with_text": "on"})
    reported = AbuseReport.objects.get()
    assert (reported.user, reported.text) == (None, "Subject\n\ntext")
