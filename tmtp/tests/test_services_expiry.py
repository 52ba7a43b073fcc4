"""Messages that have waited too long are dropped, and the site gets a signal."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connection

from tmtp.models import Message, Node, QueueEntry, Report, ServerLease
from tmtp.models import User as TmtpUser
from tmtp.services.groups import groups
from tmtp.services.messages import expiry, posting
from tmtp.services.messages.expiry import expire
from tmtp.services.messages.mailbox import messages_of, remove
from tmtp.services.messages.sending import send_message
from tmtp.services.people.placeholders import mailbox_of
from tmtp.services.queue import reports
from tmtp.services.queue.reports import State
from tmtp.services.storage import spool
from tmtp.signals import messages_expired

from .people import ops, someone, waiting

pytestmark = pytest.mark.django_db
FAR = 2**62


@pytest.fixture
def notified() -> Iterator[list[str]]:
    msgids: list[str] = []

    def receive(msgids: list[str], **_: object) -> None:
        heard.extend(msgids)

    heard = msgids
    messages_expired.connect(receive)
    yield msgids
    messages_expired.disconnect(receive)


def test_the_sites_messages_expire_and_their_reports_say_so(notified, django_capture_on_commit_callbacks) -> None:
    ann, bob = someone(nodes=2), someone()
    (msgid,) = send_message([ann.uid, bob.uid], "Sale", "Today", together=True)
    number = Message.objects.get(tracked=True).pk
    with django_capture_on_commit_callbacks(execute=True):
        assert expire(0, number, members=True) == (number - 1, 0)
        assert expire(0, FAR, members=False) == (FAR - 1, 3)
    assert waiting(ann) == []
    assert {recipient.state for recipient in reports.report(msgid)} == {State.UNDELIVERABLE}
    assert set(Report.objects.values_list("end", flat=True)) == {Report.End.EXPIRED}
    assert notified == [msgid]
    assert not Message.objects.filter(pk=number).exists()
    assert expire(0, FAR, members=True).entries == 0


def test_members_own_posts_are_exempt_unless_asked_for(notified) -> None:
    ann, bob = someone("ann of rome"), someone("bob of ulm")
    posting.ping(ann, "ann of rome", "bob of ulm", b"Hello?")
    assert expire(0, FAR, members=False).entries == 0
    assert ops(bob) == ["ping"]
    expire(0, FAR, members=True)
    assert ops(bob) == []
    assert notified == []


def test_what_a_device_must_know_stays() -> None:
    ann = someone("ann of rome", nodes=2)
    someone("bob of ulm")
    groups.invite(ann, "friends of ann", "ann of rome", "bob of ulm", b"")
    before = set(ops(ann))
    expire(0, FAR, members=True)
    assert set(ops(ann)) == before - set(expiry.OPS)
    assert "member" in ops(ann)


def test_nothing_leaves_a_mailbox() -> None:
    ann = someone()
    mailbox = mailbox_of(TmtpUser.objects.get(pk=ann.user))
    send_message(ann.uid, "Sale", "Today")
    expire(0, FAR, members=True)
    assert waiting(ann) == []
    assert messages_of(mailbox).count() == 1
    assert dict(Report.objects.values_list("node_id", "end")) == {ann.node: Report.End.EXPIRED, mailbox.pk: None}


def test_what_a_device_has_acknowledged_stays_so() -> None:
    ann = someone(nodes=2)
    send_message(ann.uid, "Sale", "Today")
    node = Node.objects.get(pk=ann.node)
    remove(node, [Message.objects.get(tracked=True).pk])
    expire(0, FAR, members=True)
    assert sorted(filter(None, Report.objects.values_list("end", flat=True))) == [Report.End.EXPIRED]


def test_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "MESSAGES", 2)
    monkeypatch.setattr(expiry, "ENTRIES", 3)
    people = [someone(nodes=2), someone(nodes=2), someone()]
    for _ in range(3):
        send_message([person.uid for person in people], "Sale", "Today", together=True)
    up_to, steps = 0, []
    while up_to < FAR - 1:
        up_to, entries = expire(up_to, FAR, members=True)
        steps.append(entries)
    assert sum(steps) == 15
    assert max(steps) == 3
    assert not QueueEntry.objects.filter(message__tracked=True).exists()
    assert not Report.objects.filter(end=None).exists()


def test_connected_devices_and_the_spool(tmp_path, settings, lease, django_capture_on_commit_callbacks) -> None:
    settings.TMTP = {**settings.TMTP, "SPOOL_DIR": tmp_path}
    ann = someone()
    Node.objects.filter(pk=ann.node).update(server=ServerLease.objects.get(pk=lease))
    send_message(ann.uid, "Sale", "x" * 100_000)
    file = spool.path(Message.objects.get(tracked=True).spool)
    assert file.exists()
    with django_capture_on_commit_callbacks(execute=True):
        expire(0, FAR, members=False)
    assert not file.exists()
    assert Node.objects.get(pk=ann.node).start_over


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the plan of SQLite")
def test_messages_are_found_by_their_number() -> None:
    old = Message.objects.filter(pk__gt=5, pk__lt=9, op__in=expiry.OPS).order_by("pk")
    assert "SEARCH tmtp_message USING INTEGER PRIMARY KEY" in old.explain()
    entries = QueueEntry.objects.filter(message_id__in=[1, 2]).exclude(node__kind=2).order_by("message_id")
    assert "SCAN" not in entries.explain()
