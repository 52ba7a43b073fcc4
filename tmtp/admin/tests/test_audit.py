"""The audit log: it outlives what it speaks about, and nobody changes it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tmtp.models import AbuseReport, AuditEntry, Group
from tmtp.services.people import abuse, audit, devices
from tmtp.services.people.linking import user_of

pytestmark = [pytest.mark.django_db, pytest.mark.once]


@pytest.fixture
def boss(client: Client) -> Any:
    boss = get_user_model().objects.create_superuser("boss", password="x")
    client.force_login(boss)
    return boss


def entries() -> list[tuple[str, str, str, str]]:
    return list(AuditEntry.objects.order_by("pk").values_list("action", "by", "actor", "about"))


def test_an_entry_outlives_the_account_and_the_staff(client: Client, boss: Any) -> None:
    ann = get_user_model().objects.create_user("ann")
    uid = user_of(ann).uid
    url = reverse("admin:auth_user_delete", args=[ann.pk])
    assert client.post(url, {"post": "yes"}).status_code == 302
    boss.delete()
    assert not LogEntry.objects.exists()
    assert entries() == [("deleted", "staff", "boss", "ann"), ("deleted", "system", "", "boss")]
    assert AuditEntry.objects.get(about="ann").about_key == uid


def test_the_admins_changes_are_recorded_without_values(client: Client, boss: Any) -> None:
    ann = get_user_model().objects.create_user("ann")
    data = {"username": "anna", "email": "ann@secret.example", "date_joined_0": "2026-01-01", "date_joined_1": "10:00"}
    data |= {f"addresses-{name}_FORMS": "0" for name in ("TOTAL", "INITIAL")}
    assert client.post(reverse("admin:auth_user_change", args=[ann.pk]), data).status_code == 302
    node, _ = devices.make_node(user_of(ann), "laptop")
    data = {"action": "drop", "_selected_action": [str(node.pk)], "confirmed": "1"}
    assert client.post(reverse("admin:tmtp_node_changelist"), data).status_code == 302
    assert entries() == [("changed", "staff", "boss", "anna"), ("changed", "staff", "boss", "laptop")]
    assert "secret.example" not in str(list(AuditEntry.objects.values_list("details", flat=True)))


def test_a_handled_report_is_recorded_once(boss: Any) -> None:
    ann, bob = (user_of(get_user_model().objects.create_user(name)) for name in ("ann", "bob"))
    reported = abuse.report(ann, AbuseReport.Reason.SPAM, name="bob of rome", user=bob)
    for note in ("seen", "seen again"):
        abuse.handle(reported, AbuseReport.State.DISMISSED, note, boss)
    assert entries() == [("abuse", "staff", "boss", "bob")]


def test_nobody_changes_it(client: Client, boss: Any) -> None:
    group = Group.objects.create(gid="friends of rome")
    entry = audit.record(audit.Action.REMOVED, group, members=3)
    for change in (entry.save, entry.delete, AuditEntry.objects.all().delete):
        with pytest.raises(TypeError, match="append-only"):
            change()
    with pytest.raises(TypeError, match="append-only"):
        AuditEntry.objects.update(actor="nobody")
    page = client.get(reverse("admin:tmtp_auditentry_changelist"), {"q": "friends"}).content.decode()
    assert "friends of rome" in page
    assert "members: 3" in page
    url = reverse("admin:tmtp_auditentry_change", args=[entry.pk])
    assert client.get(url).status_code == 200
    assert client.post(url, {"actor": "nobody"}).status_code == 403
    assert client.get(reverse("admin:tmtp_auditentry_add")).status_code == 403
    assert client.post(reverse("admin:tmtp_auditentry_delete", args=[entry.pk]), {"post": "yes"}).status_code == 403


def test_old_entries_go() -> None:
    audit.record(audit.Action.RETENTION)
    assert audit.purge(timezone.now() - timedelta(days=1), 10) == 0
    assert audit.purge(timezone.now() + timedelta(days=1), 10) == 1
