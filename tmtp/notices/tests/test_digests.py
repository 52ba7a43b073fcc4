"""The digest by e-mail: what is in it, when it is sent, and that nobody gets one twice."""

from __future__ import annotations

import re
import smtplib
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.core import mail, signing
from django.core.mail import BadHeaderError
from django.core.mail.backends import locmem
from django.utils import timezone

from tmtp.delivery.models import Notice
from tmtp.delivery.notices import _tell
from tmtp.delivery.private_errors import TaskFailed
from tmtp.mailbox.tests.mailboxes import kept_back, member, threads
from tmtp.notices import digests, tasks
from tmtp.notices.models import Override, Preferences
from tmtp.notices.tests.letters import write

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


class Book:
    """Knows an address of everybody, but of members named “nobody”."""

    @staticmethod
    def users_by_address(addresses):
        return {}

    @staticmethod
    def address_by_user(users):
        return {user.pk: "ann@example.org" for user in users if user.username != "nobody"}


@pytest.fixture
def wanting(ann, notices_on):
    """Return preferences of ann with a digest that is due."""
    return Preferences.objects.create(account=ann.account, digest="daily", digest_of=timezone.now() - 2 * DAY)


def sent():
    mail.outbox.clear()
    tasks.digest()
    return mail.outbox


def due_again():
    Preferences.objects.update(digest_of=timezone.now() - 2 * DAY)


def test_it_tells_what_is_unread(wanting, ann, bob):
    first = write(bob, ann)
    write(bob, ann, thread=first)
    write(bob, ann, "Chess")
    (message,) = sent()
    assert message.to == ["ann@example.org"]
    assert message.subject == "3 unread messages at mnm"
    assert "You have 3 unread messages at mnm." in message.body
    assert re.search(
        r"Chess\n1 new message, from bob the second, .+\nhttps://example.org/mailbox/message/", message.body
    )
    assert "2 new messages, the last from bob the second" in message.body
    assert "At noon." not in message.body
    assert Notice.objects.get().last, "so that no reminder comes on the same day"


def test_it_is_sent_once_and_tells_nothing_twice(wanting, ann, bob):
    write(bob, ann)
    assert [len(sent()), len(sent())] == [1, 0]
    due_again()
    assert sent() == []
    write(bob, ann, "Tea?")
    due_again()
    (message,) = sent()
    assert "Tea?" in message.body
    assert "Lunch?" not in message.body


def test_a_message_that_is_committed_late_is_told_in_the_next_one(wanting, ann, bob):
    with kept_back(ann, write(bob, ann, "First")):
        write(bob, ann, "Second")
        (message,) = sent()
        assert ["First" in message.body, "Second" in message.body] == [False, True]
    due_again()
    (message,) = sent()
    assert ["First" in message.body, "Second" in message.body] == [True, False]
    due_again()
    assert sent() == []


@pytest.mark.once
def test_one_that_is_turned_on_tells_of_what_comes_from_now_on(client, ann, bob, notices_on):
    write(bob, ann, "Before")
    client.post("/notifications/", {"digest": "daily", "show_sender": "1"})
    write(bob, ann, "After")
    due_again()
    (message,) = sent()
    assert ["Before" in message.body, "After" in message.body] == [False, True]


@pytest.mark.once
def test_what_is_read_is_left_out_and_without_news_there_is_no_mail(wanting, client, ann, bob):
    write(bob, ann)
    client.get(f"/mailbox/thread/{threads(ann)[0].pk}/")
    assert sent() == []


@pytest.mark.parametrize(
    "error",
    [smtplib.SMTPRecipientsRefused({}), smtplib.SMTPDataError(554, b"no"), BadHeaderError("no"), UnicodeError("no")],
    ids=repr,
)
@pytest.mark.parametrize("send", [tasks.digest, "reminders"])
def test_a_mail_that_is_refused_keeps_no_other_waiting(wanting, ann, bob, monkeypatch, error, send):
    def send_messages(self, mails):
        if any(f"{ann.account.username}@example.org" in mail.to for mail in mails):
            raise error
        return original(self, mails)

    original = locmem.EmailBackend.send_messages
    monkeypatch.setattr(locmem.EmailBackend, "send_messages", send_messages)
    own = staticmethod(lambda users: {user.pk: f"{user.username}@example.org" for user in users})
    monkeypatch.setattr(Book, "address_by_user", own)
    account, carl = member("carl the third")
    Preferences.objects.create(account=account, digest="daily", digest_of=timezone.now() - 2 * DAY)
    write(bob, ann)
    write(bob, carl)
    mail.outbox.clear()
    if send == "reminders":
        _tell([ann.account, account])
    else:
        send()
    assert [each.to for each in mail.outbox] == [[f"{account.username}@example.org"]]


def test_a_refused_digest_is_told_in_the_next_one(wanting, ann, bob, monkeypatch):
    def refuse(self, mails):
        raise smtplib.SMTPRecipientsRefused({})

    write(bob, ann)
    with monkeypatch.context() as patch:
        patch.setattr(locmem.EmailBackend, "send_messages", refuse)
        assert sent() == []
    assert sent() == [], "it is not tried again at once"
    due_again()
    assert len(sent()) == 1


def test_exceptions(wanting, ann, bob):
    write(bob, ann)
    Override.objects.create(account=ann.account, what="thread", key=threads(ann)[0].key, choice="never")
    assert sent() == []


def test_it_may_leave_out_senders_and_subjects(wanting, ann, bob):
    Preferences.objects.update(show_sender=False)
    write(bob, ann)
    (message,) = sent()
    assert "You have 1 unread message at mnm." in message.body
    assert not {"Lunch?", "bob"} & set(message.body.split())


def test_a_long_digest_is_cut(wanting, ann, bob, monkeypatch):
    monkeypatch.setattr(digests, "SHOWN_MAX", 1)
    for subject in ("One", "Two", "Three"):
        write(bob, ann, subject)
    (message,) = sent()
    assert "Three" in message.body
    assert "There are 2 more conversations with unread messages." in message.body


@pytest.mark.parametrize("change", [{"digest": "never"}, {"digest_of": None}])
def test_who_gets_none(wanting, ann, bob, change):
    Preferences.objects.update(**change)
    write(bob, ann)
    assert sent() == []


def test_members_without_an_address_or_account(wanting, ann, bob):
    write(bob, ann)
    type(ann.account).objects.update(is_active=False)
    assert sent() == []
    type(ann.account).objects.update(is_active=True, username="nobody")
    assert sent() == []
    type(ann.account).objects.update(username="ann")
    assert len(sent()) == 1


def test_not_in_quiet_hours_but_after_them(wanting, ann, bob):
    write(bob, ann)
    now = timezone.now()
    quiet = {"quiet_from": (now - timedelta(hours=1)).time(), "quiet_until": (now + timedelta(hours=1)).time()}
    Preferences.objects.update(time_zone="UTC", **quiet)
    assert sent() == []
    Preferences.objects.update(quiet_from=time(0), quiet_until=time(0))
    assert len(sent()) == 1


@pytest.mark.once
@pytest.mark.parametrize(
    ("digest", "zone", "now", "due"),
    [
        ("daily", "UTC", datetime(2026, 3, 4, 8, 0, tzinfo=UTC), datetime(2026, 3, 4, 8, tzinfo=UTC)),
        ("daily", "UTC", datetime(2026, 3, 4, 7, 59, tzinfo=UTC), datetime(2026, 3, 3, 8, tzinfo=UTC)),
        ("daily", "Asia/Tokyo", datetime(2026, 3, 4, 0, 0, tzinfo=UTC), datetime(2026, 3, 3, 23, tzinfo=UTC)),
        ("weekly", "UTC", datetime(2026, 3, 4, 9, 0, tzinfo=UTC), datetime(2026, 3, 2, 8, tzinfo=UTC)),
        ("weekly", "UTC", datetime(2026, 3, 2, 7, 0, tzinfo=UTC), datetime(2026, 2, 23, 8, tzinfo=UTC)),
        # the clocks in Berlin went forward on 29 March
        ("daily", "Europe/Berlin", datetime(2026, 3, 29, 6, 30, tzinfo=UTC), datetime(2026, 3, 29, 6, tzinfo=UTC)),
        ("daily", "Nowhere/Atall", datetime(2026, 3, 4, 9, 0, tzinfo=UTC), datetime(2026, 3, 4, 8, tzinfo=UTC)),
    ],
)
def test_when_it_is_due(digest, zone, now, due):
    assert digests.due_time(Preferences(digest=digest, time_zone=zone), now) == due


def test_times_are_the_members(wanting, ann, bob):
    Preferences.objects.update(time_zone="Pacific/Kiritimati")
    write(bob, ann)
    (message,) = sent()
    local = timezone.now().astimezone(ZoneInfo("Pacific/Kiritimati"))
    assert f"{local:%m/%d/%Y}" in message.body


# a worker that dies


def test_a_mail_server_that_is_away_is_asked_again(wanting, ann, bob, monkeypatch):
    write(bob, ann)
    with monkeypatch.context() as patch:
        patch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", lambda *_: 1 / 0)
        with pytest.raises(TaskFailed):
            sent()
    assert len(sent()) == 1


class Killed(BaseException):
    pass


def test_a_worker_that_was_killed_sends_none_twice_and_loses_no_message(wanting, ann, bob, monkeypatch):
    def killed(*_):
        raise Killed

    write(bob, ann)
    with monkeypatch.context() as patch:
        patch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", killed)
        with pytest.raises(Killed):
            sent()
    assert sent() == [], "it may have been sent"
    due_again()
    assert "Lunch?" in sent()[0].body


def test_of_two_workers_one_sends(wanting, ann, bob):
    write(bob, ann)
    stale = Preferences.objects.select_related("account").get()
    assert len(sent()) == 1
    assert digests._send_some([stale]) == 0


# unsubscribing


def test_one_click_ends_it(wanting, client, ann, bob):
    write(bob, ann)
    (message,) = sent()
    link = message.extra_headers["List-Unsubscribe"].strip("<>")
    assert link in message.body
    assert message.extra_headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    path = link.removeprefix("https://example.org")
    client.logout()
    assert "Stop the summary" in client.get(path).text
    assert Preferences.objects.get().digest == "daily", "programs follow links too"
    assert "no longer receive" in client.post(path, {"List-Unsubscribe": "One-Click"}).text
    assert Preferences.objects.get().digest == "never"


def test_a_link_that_is_cut_short_or_of_nobody(client):
    token = signing.dumps("123456", salt=digests.SALT)
    assert client.post(f"/notifications/no-digest/{token}/").status_code == 200
    answer = client.get(f"/notifications/no-digest/{token[:-3]}/")
    assert answer.status_code == 404
    assert "link is incomplete" in answer.text


def test_a_digest_that_cannot_be_made_keeps_back_no_other(wanting, ann, bob, monkeypatch, caplog):
    account, other = member("carl the third")
    Preferences.objects.create(account=account, digest="daily", digest_of=timezone.now() - 2 * DAY)
    write(bob, ann)
    write(bob, other)
    real = digests.mail

    def fail(preferences, lines, address):
        if preferences.account == ann.account:
            raise ValueError("a template of the site's")
        return real(preferences, lines, address)

    monkeypatch.setattr(digests, "mail", fail)
    assert len(sent()) == 1
    assert "one of many" in caplog.text
    monkeypatch.undo()
    due_again()
    assert len(sent()) == 1, "the next one of ann tells of it"
