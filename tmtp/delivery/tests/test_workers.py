"""The recurring tasks of workers: each alone, twice, and in two workers at once."""

from __future__ import annotations

import re
import time
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.core import mail
from django.db.models import F
from django.utils import timezone
from django_q.models import Task

from tmtp.delivery import checks, housekeeping, notices, stalled_devices, tasks
from tmtp.delivery.models import Attempt, LastRun, Notice, StalledDevice
from tmtp.delivery.private_errors import TaskFailed
from tmtp.models import Message, Node, QueueEntry, Report, SentMessage, ServerLease, SpentToken
from tmtp.models import User as TmtpUser
from tmtp.services.messages import posting
from tmtp.services.messages.mailbox import remove
from tmtp.services.messages.sending import send_message
from tmtp.services.people import linking
from tmtp.services.people.placeholders import mailbox_of
from tmtp.services.queue import reports
from tmtp.services.storage import locks
from tmtp.tests.people import forget, someone, waiting

pytestmark = pytest.mark.django_db
USER = get_user_model()
LONG_AGO = timezone.now() - timedelta(days=365)


@pytest.fixture
def lease():
    return ServerLease.objects.create(host="h", address="127.0.0.1:1", pid=1, seen=timezone.now())


def go_online(person, lease):
    Node.objects.filter(pk=person.node).update(server=lease)


def age(hours):
    """Make all messages and reports older by so many hours."""
    shift = int(hours * 3600e9)
    for model in (Report, QueueEntry):
        model.objects.update(message_id=F("message_id") - shift)
    for model in (Message, SentMessage):
        for pk in model.objects.values_list("pk", flat=True):
            model.objects.filter(pk=pk).update(id=pk - shift)


# retry


def start_over(person):
    return Node.objects.get(pk=person.node).start_over


def pause_ends():
    StalledDevice.objects.update(next_try=timezone.now())


def test_a_connected_device_that_takes_nothing_is_sent_it_again_with_growing_pauses(lease):
    ann = someone()
    go_online(ann, lease)
    send_message(ann.uid, "Sale", "Today")
    assert (tasks.retry(), tasks.retry()) == (0, 0)
    row = StalledDevice.objects.get()
    assert row.next_try - row.since == timedelta(seconds=60)
    pauses = []
    for _ in range(9):
        Node.objects.update(start_over=None)
        pause_ends()
        before = timezone.now()
        assert (tasks.retry(), tasks.retry()) == (1, 0)
        assert start_over(ann)
        pauses.append(round((StalledDevice.objects.get().next_try - before).total_seconds(), -1))
    assert pauses == [120, 240, 480, 960, 1920, 3600, 3600, 3600, 3600]


def test_a_queue_that_drains_is_left_alone(lease):
    ann = someone()
    go_online(ann, lease)
    for _ in range(3):
        send_message(ann.uid, "Sale", "Today")
        tasks.retry()
        pause_ends()
        remove(Node.objects.get(pk=ann.node), [QueueEntry.objects.earliest("message_id").message_id])
        send_message(ann.uid, "Sale", "Today")
    assert tasks.retry() == 0
    forget(ann)
    tasks.retry()
    assert not StalledDevice.objects.exists()
    assert start_over(ann) is None


def test_who_is_offline_is_not_sent_to(lease):
    ann, bob = someone(), someone()
    send_message([ann.uid, bob.uid], "Sale", "Today")
    go_online(bob, lease)
    tasks.retry()
    assert [row.node_id for row in StalledDevice.objects.all()] == [bob.node]
    Node.objects.update(server=None)
    pause_ends()
    assert tasks.retry() == 0
    assert not StalledDevice.objects.exists()


def test_of_two_workers_one_asks(lease):
    ann = someone()
    go_online(ann, lease)
    send_message(ann.uid, "Sale", "Today")
    tasks.retry()
    row = StalledDevice.objects.get()
    assert [stalled_devices._retry(row, timezone.now()), stalled_devices._retry(row, timezone.now())] == [True, False]


def test_many_connected_devices_page_by_page(lease, monkeypatch):
    monkeypatch.setattr(stalled_devices, "PAGE", 2)
    for _ in range(5):
        person = someone()
        go_online(person, lease)
        send_message(person.uid, "Sale", "Today")
    tasks.retry()
    pause_ends()
    assert tasks.retry() == 5


# expire


def test_nothing_expires_unless_the_site_says_so():
    ann = someone()
    send_message(ann.uid, "Sale", "Today")
    age(10_000)
    assert tasks.expire() == 0
    assert len(waiting(ann)) == 1


def test_what_is_older_than_allowed_expires(settings):
    settings.TMTP_DELIVERY = {"EXPIRE_AFTER": 3600}
    ann, bob = someone("ann of rome"), someone("bob of ulm")
    (msgid,) = send_message(ann.uid, "Sale", "Today")
    posting.ping(bob, "bob of ulm", "ann of rome", b"Hello?")
    age(2)
    send_message(ann.uid, "Sale", "Tomorrow")
    assert (tasks.expire(), tasks.expire()) == (1, 0)
    assert [header["op"] for header in waiting(ann)] == ["ping", "delivery"]
    assert Report.objects.get(end=Report.End.EXPIRED).message_id != msgid
    settings.TMTP_DELIVERY = {"EXPIRE_AFTER": 3600, "EXPIRE_MEMBERS": True}
    tasks.expire()
    assert [header["op"] for header in waiting(ann)] == ["delivery"]


def test_each_message_is_looked_at_once_and_all_of_them_each_day(settings):
    settings.TMTP_DELIVERY = {"EXPIRE_AFTER": 3600}
    ann = someone()
    tasks.expire()
    send_message(ann.uid, "Sale", "Today")
    age(2)
    assert tasks.expire() == 0, "it is said to be old by now, and was looked past"
    LastRun.objects.filter(name="expiry begun anew").update(at=LONG_AGO)
    assert tasks.expire() == 1


# sweep and purge


def test_leases_of_dead_servers_end_and_orphans_are_looked_for(lease, monkeypatch):
    ann = someone()
    go_online(ann, lease)
    locks.release(lease.pk)
    ServerLease.objects.update(seen=LONG_AGO, suspected=LONG_AGO)
    found = housekeeping.sweeping.Found(messages=[1])
    looks, removed = [], []
    monkeypatch.setattr(housekeeping._sweeper, "look", lambda: looks.append(1) or found)
    monkeypatch.setattr(housekeeping.sweeping, "apply", removed.append)
    tasks.sweep()
    assert Node.objects.get(pk=ann.node).server is None
    assert len(looks) == len(removed) == housekeeping.LOOKS


def test_what_is_kept_for_a_time_is_forgotten(settings):
    ann = someone()
    (gone,) = send_message(ann.uid, "Old", "and taken", key="old")
    forget(ann)
    send_message(ann.uid, "Old", "and waiting")
    age(100 * 24)
    send_message(ann.uid, "New", "and taken")
    Attempt.objects.create(message_id=7)
    SpentToken.objects.create(digest=b"x", expires=LONG_AGO)
    Task.objects.create(id="1", name="a failure", func="x", started=LONG_AGO, stopped=LONG_AGO, success=False)
    for _ in range(2):
        tasks.purge()
        assert set(SentMessage.objects.values_list("subject", "recalled")) == {("Old", None), ("New", None)}
        assert Report.objects.count() == 2
        assert not Attempt.objects.exists()
        assert not SpentToken.objects.exists()
        assert not Task.objects.exists()
    with pytest.raises(reports.Refused, match="no longer kept"):
        reports.report(gone)
    settings.TMTP_DELIVERY = {"REPORTS_KEPT": None}
    forget(ann)
    tasks.purge()
    assert SentMessage.objects.count() == 2


# notices


class Book:
    """A book in which everybody has an address, except for those in `without`."""

    @staticmethod
    def address_by_user(users):
        return {user.pk: f"{user.username}@example.org" for user in users if user.username != "nobody"}

    @staticmethod
    def users_by_address(addresses):
        return {}


@pytest.fixture
def notified(settings):
    settings.TMTP_DELIVERY = {
        "NOTICE_AFTER": 3600,
        "SITE_URL": "https://example.org",
        "EMAIL_ADDRESSES": f"{__name__}.Book",
        "FALLBACK_EMAIL_BACKEND": "django.core.mail.backends.locmem.EmailBackend",
    }
    LastRun.objects.create(name=notices.LAST_RUN, progress=1)

    def run():
        mail.outbox.clear()
        tasks.notify()
        return sorted(message.to[0].partition("@")[0] for message in mail.outbox)

    return run


def member(name):
    person, account = someone(), USER.objects.create(username=name)
    linking.link_account(TmtpUser.objects.get(pk=person.user), account)
    return person


def test_who_had_no_device_online_is_told_once_a_day(notified):
    ann = member("ann")
    send_message(ann.uid, "Secret", "of yours")
    assert notified() == []
    age(2)
    assert (notified(), notified()) == (["ann"], [])
    send_message(ann.uid, "Secret", "of yours")
    age(2)
    assert notified() == []
    Notice.objects.update(last=LONG_AGO)
    send_message(ann.uid, "Secret", "of yours")
    age(2)
    assert notified() == ["ann"]
    assert "Secret" not in mail.outbox[0].subject + mail.outbox[0].body


def test_who_is_not_told(notified, lease):
    online, lately, unknown, read, taken = (member(name) for name in ("online", "lately", "nobody", "read", "taken"))
    stranger = someone()
    waits = member("waits")
    go_online(online, lease)
    Node.objects.filter(pk=lately.node).update(last_seen=timezone.now())
    mailbox = mailbox_of(TmtpUser.objects.get(pk=read.user))
    everybody = [person.uid for person in (online, lately, unknown, read, taken, stranger, waits)]
    send_message(everybody, "Sale", "Today")
    forget(taken, read)
    reports.has_read(mailbox.pk, [])
    age(2)
    Node.objects.filter(pk=mailbox.pk).update(last_seen=timezone.now() - timedelta(hours=1, minutes=30))
    assert notified() == ["waits"]


def test_a_first_device_that_never_came(notified):
    account = USER.objects.create(username="ann")
    send_message(account, "Welcome", "to us")
    age(2)
    assert notified() == ["ann"]


def test_the_link_ends_notices_with_one_click(notified, client):
    send_message(member("ann").uid, "Sale", "Today")
    age(2)
    notified()
    (message,) = mail.outbox
    link = message.extra_headers["List-Unsubscribe"].strip("<>")
    assert link in message.body
    assert message.extra_headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    path = re.fullmatch(r"https://example\.org(/delivery/no-notices/.+/)", link)[1]
    assert "Stop e-mail notices" in client.get(path).text
    assert Notice.objects.get().unsubscribed is None, "programs follow links too"
    assert "no longer receive e-mail" in client.post(path, {"List-Unsubscribe": "One-Click"}).text
    assert Notice.objects.get().unsubscribed
    Notice.objects.update(last=LONG_AGO)
    send_message(TmtpUser.objects.get(account__username="ann"), "Sale", "Today")
    age(2)
    assert notified() == []


def test_a_link_that_is_cut_short_or_of_nobody(client):
    account = USER.objects.create(username="ann")
    token = notices.signing.dumps(account.pk, salt=notices.SALT)
    answer = client.post(f"/delivery/no-notices/{token[:-3]}/")
    assert answer.status_code == 404
    assert "link is incomplete" in answer.text
    account.delete()
    assert client.post(f"/delivery/no-notices/{token}/").status_code == 200
    assert not Notice.objects.exists()


def test_a_mail_server_that_is_away_is_asked_again(notified, monkeypatch):
    member_of = member("ann")
    send_message(member_of.uid, "Sale", "Today")
    age(2)

    def away(self, messages):
        raise OSError("away")

    with monkeypatch.context() as patch:
        patch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", away)
        with pytest.raises(TaskFailed, match="away"):
            notified()
    assert notified() == ["ann"]


def test_of_two_workers_one_tells(notified):
    account = USER.objects.create(username="ann")
    assert notices._mark_told(account)
    assert notices._mark_told(account) is None
    assert notices._tell([account]) == 0


def test_a_site_that_begins_with_it_does_not_tell_of_all_that_ever_waited(notified):
    LastRun.objects.all().delete()
    send_message(member("ann").uid, "Sale", "Today")
    age(2)
    assert notified() == []


def test_notices_need_a_site(settings, monkeypatch):
    settings.TMTP_DELIVERY = {"NOTICE_AFTER": 60}
    assert [found.id for found in checks.check_notices()] == ["tmtp_delivery.E006"]
    settings.TMTP_DELIVERY = {"NOTICE_AFTER": 60, "SITE_URL": "https://example.org"}
    assert checks.check_notices() == []
    settings.ROOT_URLCONF = "accounts.urls"
    assert [found.id for found in checks.check_notices()] == ["tmtp_delivery.E006"]


def test_a_task_ends_in_time(settings, monkeypatch):
    """The next run does the rest."""
    settings.TMTP_DELIVERY = {"EXPIRE_AFTER": 3600}
    monkeypatch.setattr(housekeeping, "Budget", lambda: False)
    began = time.thread_time()
    assert tasks.expire() == 0
    tasks.purge()
    assert time.thread_time() - began < 5
