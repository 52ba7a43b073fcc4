"""A member deletes the account, with a time to think."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core import mail
from django.db import IntegrityError
from django.db.models.deletion import ProtectedError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import email_addresses
from tmtp.delivery import deletions, tasks
from tmtp.members_data import deletion
from tmtp.models import AuditEntry, Deletion, Node, QueueEntry, User
from tmtp.pages.checks import check_pages
from tmtp.services.errors import Refused
from tmtp.services.messages.mailbox import Received
from tmtp.services.people import devices
from tmtp.services.people.linking import user_of

pytestmark = [pytest.mark.django_db, pytest.mark.once]


def url(name: str, *args: Any) -> str:
    return reverse(f"tmtp_pages:{name}", args=args)


@pytest.fixture
def ann(client: Client) -> Any:
    ann = get_user_model().objects.create_user("ann")
    devices.make_node(user_of(ann), "laptop")
    client.force_login(ann)
    return ann


def entries() -> list[tuple[str, str, str]]:
    return list(AuditEntry.objects.order_by("pk").values_list("action", "by", "actor"))


def let_the_time_pass() -> None:
    Deletion.objects.update(due=timezone.now() - timedelta(seconds=1))


def test_the_account_goes_when_the_time_is_over(client: Client, ann: Any) -> None:
    assert "ann" in client.get(url("delete_account")).content.decode()
    assert client.post(url("delete_account")).status_code == 302
    assert tasks.delete_accounts() == 0
    node = Node.objects.get(user__account=ann)
    (entry,) = QueueEntry.objects.filter(node=node, rank=1)
    received = Received(entry.message)
    assert "will be deleted on" in received.subject
    assert url("deletion_cancel", "x")[:-2] in received.text
    let_the_time_pass()
    assert tasks.delete_accounts() == 1
    assert not get_user_model().objects.exists()
    assert not User.objects.filter(is_site=False).exists()
    assert entries() == [("requested", "member", "ann"), ("deleted", "system", "")]
    assert tasks.delete_accounts() == 0
    assert client.get(url("data")).status_code == 302


def test_a_member_changes_their_mind(client: Client, ann: Any) -> None:
    client.post(url("delete_account"))
    assert "Keep my account" in client.get(url("data")).content.decode()
    assert client.post(url("keep_account"), follow=True).status_code == 200
    let_the_time_pass()
    assert tasks.delete_accounts() == 0
    assert get_user_model().objects.filter(pk=ann.pk).exists()
    assert [action for action, _by, _name in entries()] == ["requested", "cancelled"]


def test_the_link_works_without_signing_in_and_for_this_deletion_only(client: Client, ann: Any) -> None:
    token = deletion.token_of(deletion.request(ann))
    visitor = Client(enforce_csrf_checks=True)
    assert "ann" in visitor.get(url("deletion_cancel", token)).content.decode()
    assert Deletion.objects.exists()
    assert visitor.post(url("deletion_cancel", token)).status_code == 200
    assert not Deletion.objects.exists()
    deletion.request(ann)
    for wrong in (token, token[:-1], "nonsense"):
        assert visitor.post(url("deletion_cancel", wrong)).status_code == 404
    assert Deletion.objects.exists()


def test_it_goes_by_email_too(ann: Any, settings: Any) -> None:
    settings.TMTP_DELIVERY = {
        **settings.TMTP_DELIVERY,
        "FALLBACK_EMAIL_BACKEND": "django.core.mail.backends.locmem.EmailBackend",
    }
    email_addresses.confirm(email_addresses.add(ann, "ann@example.org"))
    deletions.send_email(ann.pk, "https://example.org/keep")
    assert not mail.outbox
    deletion.request(ann)
    deletions.send_email(ann.pk, "https://example.org/keep")
    assert mail.outbox[0].to == ["ann@example.org"]
    assert "https://example.org/keep" in mail.outbox[0].body


def test_signing_in_offers_to_keep_the_account(client: Client, ann: Any) -> None:
    ann.set_password("correct horse battery")
    ann.save()
    deletion.request(ann)
    visitor = Client()
    form = {"username": "ann", "password": "correct horse battery"}
    page = visitor.post(reverse("accounts:sign_in"), form, follow=True).content.decode()
    assert re.search(r'will be deleted on .* <a href="/account/data/">', page)


def test_a_session_is_not_enough(client: Client, ann: Any) -> None:
    session = client.session
    session["confirmed_at"] = 0
    session.save()
    assert client.post(url("delete_account"))["Location"].startswith(reverse("accounts:reauthenticate"))
    assert not Deletion.objects.exists()


def test_without_a_page_for_it_the_member_signs_in_again(client: Client, ann: Any, settings: Any) -> None:
    settings.TMTP = {**settings.TMTP, "CONFIRMATION": "tmtp.web.confirmation.by_signing_in"}
    assert client.get(url("delete_account")).context["day"]
    session = client.session
    session["tmtp_signed_in"] = 0
    session.save()
    assert "Is it you?" in client.post(url("delete_account")).content.decode()
    answer = client.post(url("delete_account"), {"sign_in_again": "yes"})
    assert answer["Location"] == f"{reverse('accounts:sign_in')}?next={url('delete_account')}"
    assert client.get(url("data")).status_code == 302
    assert not Deletion.objects.exists()


def test_a_wrong_function_for_it_is_found_before(settings: Any) -> None:
    settings.TMTP = {**settings.TMTP, "CONFIRMATION": "nothing.there"}
    assert "tmtp_pages.E003" in [found.id for found in check_pages()]


def test_the_staff_arranges_it_and_deletes_at_once(client: Client, ann: Any) -> None:
    boss = get_user_model().objects.create_superuser("boss")
    client.force_login(boss)
    chosen = {"action": "delete_later", "_selected_action": [str(ann.pk)]}
    where = reverse("admin:auth_user_changelist")
    assert "a time to think" in client.post(where, chosen).content.decode()
    assert client.post(where, {**chosen, "confirmed": "yes"}).status_code == 302
    assert Deletion.objects.get().by_staff
    where = reverse("admin:tmtp_deletion_changelist")
    assert "ann" in client.get(where).content.decode()
    client.post(where, {"action": "delete_now", "_selected_action": [str(ann.pk)], "confirmed": "yes"})
    assert not get_user_model().objects.filter(username="ann").exists()
    assert entries() == [("requested", "staff", "boss"), ("deleted", "staff", "boss")]


def test_the_staff_exports(client: Client, ann: Any) -> None:
    boss = get_user_model().objects.create_user("boss", is_staff=True)
    client.force_login(boss)
    chosen = {"action": "export_data", "_selected_action": [str(user_of(ann).pk)]}
    where = reverse("admin:tmtp_user_changelist")
    assert client.post(where, chosen).status_code == 403
    get_user_model().objects.filter(pk=boss.pk).update(is_superuser=True)
    answer = client.post(where, chosen)
    assert b"".join(answer.streaming_content)[:2] == b"PK"
    assert entries() == [("exported", "staff", "boss")]


def test_what_ends_in_the_middle_has_deleted_nothing(ann: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    deletion.request(ann)
    let_the_time_pass()
    with monkeypatch.context() as patch:
        patch.setattr(User, "delete", lambda self: exit())
        with pytest.raises(SystemExit):
            tasks.delete_accounts()
    assert get_user_model().objects.get().tmtp_user.nodes.filter(dropped=None).exists()
    assert tasks.delete_accounts() == 1
    assert not User.objects.filter(is_site=False).exists()


@pytest.mark.parametrize(
    "error",
    [ProtectedError("orders refer to it", set()), IntegrityError("orders"), KeyError("orders"), Refused("not_found")],
    ids=repr,
)
def test_an_account_that_cannot_be_deleted_keeps_nobody_else_waiting(
    ann: Any, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def protected(self: Any, *args: Any, **options: Any) -> None:
        if self.username == "ann":
            raise error
        original(self, *args, **options)

    original = get_user_model().delete
    monkeypatch.setattr(get_user_model(), "delete", protected)
    bob = get_user_model().objects.create_user("bob")
    deletion.request(ann), deletion.request(bob)
    let_the_time_pass()
    assert tasks.delete_accounts() == 2
    assert [one.username for one in get_user_model().objects.all()] == ["ann"]
    assert Deletion.objects.get().due > timezone.now()
