"""Tokens: in the admin, by command, and when they are used."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from tmtp.api import checks, errors, tokens
from tmtp.api.models import Token
from tmtp.models import AuditEntry
from tmtp.tests.people import someone
from tmtp.tests.refusals import check_page, check_refusals

from .conftest import Program

pytestmark = [pytest.mark.once, pytest.mark.django_db]


def run(capsys, *args):
    call_command("tmtptoken", *args)
    return capsys.readouterr().out.strip()


def test_only_the_hash_is_stored(program):
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM tmtp_api_token")
        assert program.secret not in str(cursor.fetchall())
    assert len(program.secret) > 40


def test_a_command_makes_a_token(capsys, db):
    secret = run(capsys, "create", "CRM", "--scope", "send", "--scope", "report", "--days", "30", "--rate", "60")
    token = tokens.authenticate(secret)
    assert (token.scopes, token.requests_per_minute) == (["report", "send"], 60)
    assert token.expires > timezone.now() + timedelta(days=29)
    assert "CRM\tin use\treport,send" in run(capsys, "list")
    again = run(capsys, "renew", "CRM")
    with pytest.raises(errors.Refused):
        tokens.authenticate(secret)
    assert tokens.authenticate(again) == token
    assert run(capsys, "revoke", "CRM") == ""
    with pytest.raises(errors.Refused):
        tokens.authenticate(again)
    assert "CRM\trevoked" in run(capsys, "list")


@pytest.mark.parametrize(
    "args",
    [
        ["create", "CRM", "--scope", "send"],
        ["create", "Shop"],
        ["create", "Shop", "--scope", "everything"],
        ["create", "Shop", "--scope", "send", "--days", "0"],
        ["create", "Shop", "--scope", "send", "--rate", "-1"],
        ["create", "", "--scope", "send"],
        ["create", "x" * 101, "--scope", "send"],
        ["create", "nul\0", "--scope", "send"],
        ["renew", "Shop"],
        ["revoke", "Shop"],
        [],
    ],
)
def test_a_command_that_cannot_be(program, args):
    with pytest.raises((CommandError, SystemExit)):
        call_command("tmtptoken", *args)
    assert Token.objects.count() == 1


def test_the_admin_shows_a_secret_once(admin_client):
    new = {"name": "CRM", "scopes": ["send"], "expires_0": "", "expires_1": "", "requests_per_minute": ""}
    page = admin_client.post(reverse("admin:tmtp_api_token_add"), new, follow=True).content.decode()
    (secret,) = re.findall("<code>(tmtp_[^<]+)</code>", page)
    token = Token.objects.get()
    assert tokens.authenticate(secret) == token
    where = reverse("admin:tmtp_api_token_change", args=[token.pk])
    assert secret not in admin_client.get(where).content.decode()
    changed = admin_client.post(where, {**new, "scopes": ["report"]}, follow=True).content.decode()
    assert "tmtp_api" in changed
    assert tokens.authenticate(secret).scopes == ["report"]  # it stays
    chosen = {"action": "renew", "_selected_action": [token.pk]}
    listed = reverse("admin:tmtp_api_token_changelist")
    assert "Make new secrets" in admin_client.post(listed, chosen).content.decode()
    page = admin_client.post(listed, {**chosen, "confirmed": "1"}, follow=True).content.decode()
    (again,) = re.findall("<code>(tmtp_[^<]+)</code>", page)
    assert tokens.authenticate(again) == token
    admin_client.post(listed, {**chosen, "action": "revoke", "confirmed": "1"})
    assert Token.objects.get().revoked
    assert "revoked" in admin_client.get(listed).content.decode()


def test_the_admin_shows_what_programs_do(admin_client, program):
    someone("ann of rome")
    program.post("/messages", {"to": {"names": ["ann of rome"]}, "subject": "News", "text": ""})
    page = admin_client.get(reverse("admin:tmtp_api_tokenmessage_changelist")).content.decode()
    assert "News" in page
    assert "CRM" in page


def test_changes_are_in_the_audit_log(program):
    program.post("/groups", {"gid": "friends of rome"})
    program.post("/users", {"external_id": "customer 17"})
    program.post("/users/devices", {"external_id": "customer 17", "label": "phone"})
    program.post("/users/delete", {"external_id": "customer 17"})
    program.post("/groups", {"gid": "short"})  # which is refused
    entries = AuditEntry.objects.order_by("pk").values_list("by", "actor", "action", "details__what")
    made = [("program", "CRM", "api", what) for what in ("create group", "create user", "create device")]
    assert list(entries) == [*made, ("program", "CRM", "deleted", None)]


def test_staff_without_the_permission_cannot_revoke(client, program):
    viewer = get_user_model().objects.create_user("viewer", password="x", is_staff=True)
    from django.contrib.auth.models import Permission

    viewer.user_permissions.add(Permission.objects.get(codename="view_token", content_type__app_label="tmtp_api"))
    client.force_login(viewer)
    chosen = {"action": "revoke", "_selected_action": [program.token.pk], "confirmed": "1"}
    client.post(reverse("admin:tmtp_api_token_changelist"), chosen)
    assert Token.objects.get().revoked is None


def test_the_last_use_is_noted_once_a_minute(program):
    program.get("/groups")
    first = Token.objects.get().last_used
    program.get("/groups")
    assert Token.objects.get().last_used == first
    Token.objects.update(last_used=first - timedelta(minutes=2))
    program.get("/groups")
    assert Token.objects.get().last_used > first


def test_a_browser_without_a_token_gets_nothing(client, admin_user):
    """Who is signed in on the website, even as an admin, is nobody here."""
    client.force_login(admin_user)
    assert Program.read(client.get("/api/v1/groups"))[0] == 401


# checks and errors


@pytest.mark.parametrize(
    ("given", "number"),
    [
        ({"MAX_REQUEST": 0}, "E003"),
        ({"REQUESTS_PER_MINUTE": "many"}, "E003"),
        ({"NOTHING": 1}, "E002"),
        (7, "E001"),
    ],
)
def test_wrong_settings_are_reported(settings, given, number):
    settings.TMTP_API = given
    assert [found.id for found in checks.check_options()] == [f"tmtp_api.{number}"]


def test_addresses_that_cannot_be_looked_up_are_reported(settings):
    assert checks.check_addresses() == []
    settings.TMTP_API = {"EMAIL_ADDRESSES": "accounts.nothing"}
    assert [found.id for found in checks.check_addresses()] == ["tmtp_api.E004"]


def test_each_refusal_fits_the_table():
    check_refusals(errors.TEXTS, "tmtp/api")


def test_each_code_is_documented():
    check_page(errors.TEXTS, "Codes of `tmtp.api`")
