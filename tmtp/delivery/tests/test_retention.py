"""What is kept for a limited time goes, and nothing else does."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.files.base import ContentFile
from django.utils import timezone

from tmtp.delivery import retention, tasks
from tmtp.models import AbuseReport, AuditEntry, Message, QueueEntry
from tmtp.services.messages.sending import send_message
from tmtp.services.people import abuse, audit, devices
from tmtp.services.people.linking import user_of
from tmtp.services.people.placeholders import mailbox_of

pytestmark = pytest.mark.django_db
DAY = 86400
ALL = {"MAILBOX_KEPT": DAY, "ABUSE_REPORTS_KEPT": DAY, "AUDIT_KEPT": DAY}


@pytest.fixture
def ann() -> Any:
    ann = user_of(get_user_model().objects.create_user("ann"))
    mailbox_of(ann)
    return ann


def let_days_pass(monkeypatch: pytest.MonkeyPatch, days: float) -> None:
    later = timezone.now() + timedelta(days=days)
    monkeypatch.setattr(retention.timezone, "now", lambda: later)


def test_nothing_is_deleted_before_its_time_or_without_a_setting(settings: Any, ann: Any, monkeypatch: Any) -> None:
    send_message(ann, "Hello", "x")
    let_days_pass(monkeypatch, 400)
    assert retention.delete_old() == {}
    monkeypatch.undo()
    settings.TMTP_DELIVERY = {**settings.TMTP_DELIVERY, **ALL}
    assert retention.delete_old() == {}
    assert Message.objects.exists()


def test_messages_leave_mailboxes_but_wait_for_devices(settings: Any, ann: Any, monkeypatch: Any) -> None:
    settings.TMTP_DELIVERY = {**settings.TMTP_DELIVERY, **ALL}
    send_message(ann, "Only here", "x")
    node, _ = devices.make_node(ann, "laptop")
    send_message(ann, "There, too", "x")
    let_days_pass(monkeypatch, 2)
    assert retention.delete_old() == {"messages in mailboxes": 2}
    entries = QueueEntry.objects.filter(message__op="delivery")
    assert list(entries.values_list("node", flat=True)) == [node.pk]
    assert Message.objects.filter(op="delivery").count() == 1
    assert retention.delete_old() == {}
    entry = AuditEntry.objects.get(action="retention")
    assert (entry.by, entry.details) == ("system", {"messages in mailboxes": 2})


def test_large_messages_may_go_first(settings: Any, ann: Any, monkeypatch: Any) -> None:
    settings.TMTP_DELIVERY = {**settings.TMTP_DELIVERY, "LARGE_KEPT": DAY}
    send_message(ann, "Small", "x")
    send_message(ann, "Large", "x", attachments=[ContentFile(bytes(100_000), "large.bin")])
    let_days_pass(monkeypatch, 2)
    assert retention.delete_old() == {"large messages in mailboxes": 1}
    assert [one.spool for one in Message.objects.filter(op="delivery")] == [""]


def test_reports_of_abuse_go_when_they_were_handled(settings: Any, ann: Any, monkeypatch: Any) -> None:
    settings.TMTP_DELIVERY = {**settings.TMTP_DELIVERY, **ALL}
    boss = get_user_model().objects.create_user("boss")
    bob, carl = (user_of(get_user_model().objects.create_user(name)) for name in ("bob", "carl"))
    handled, _open = (abuse.report(ann, AbuseReport.Reason.SPAM, name="somebody", user=other) for other in (bob, carl))
    abuse.handle(handled, AbuseReport.State.RESOLVED, "", boss)
    let_days_pass(monkeypatch, 2)
    assert retention.delete_old() == {"reports of abuse": 1, "audit entries": 1}
    assert [one.user for one in AbuseReport.objects.all()] == [carl]


def test_the_worker_does_it(settings: Any) -> None:
    settings.TMTP_DELIVERY = {**settings.TMTP_DELIVERY, "AUDIT_KEPT": 1e-6}
    audit.record(audit.Action.DELETED)
    tasks.purge()
    assert not AuditEntry.objects.filter(action="deleted").exists()
