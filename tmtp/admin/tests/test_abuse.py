"""Reports of abuse in the admin."""

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission

from tmtp.admin.tests import admin_pages
from tmtp.admin.tests.admin_pages import text, url
from tmtp.models import AbuseReport, Block, User
from tmtp.services.people import abuse
from tmtp.services.people.linking import link_account

pytestmark = [pytest.mark.django_db, pytest.mark.once]
ann, bob, choir = admin_pages.ann, admin_pages.bob, admin_pages.choir
State = AbuseReport.State


@pytest.fixture
def report(ann, bob):
    reporter, user = (User.objects.get(pk=sender.user) for sender in (ann, bob))
    link_account(user, get_user_model().objects.create_user("bob"))
    user.refresh_from_db()
    return abuse.report(reporter, 2, "He is rude", user=user, name="bob of rome", message=255, text="<b>You\n fool")


def test_a_report_shows_what_is_needed_to_decide(admin_client, choir, report, ann, bob):
    assert "bob of rome" in text(admin_client.get(url("abusereport_changelist")))
    shown = admin_client.get(url("abusereport_change", report.pk)).text
    assert "&lt;b&gt;You\n fool" in shown
    for expected in ("He is rude", ">ann of rome</a>", ">bob of rome</a>", f"{255:016x}", "harassment or threats"):
        assert expected in shown
    account = report.user.account
    links = [
        url("user_change", ann.user),
        url("user_change", bob.user),
        f"/admin/auth/user/{account.pk}/change/",
        url("node_changelist") + "?q=",
        url("member_changelist") + "?q=",
    ]
    for link in links:
        assert link in shown, link
    for changelist in ("node_changelist", "member_changelist"):
        assert "bob" in text(admin_client.get(url(changelist), {"q": report.user.uid})).lower()


def test_a_text_that_was_not_sent_along(admin_client, report):
    AbuseReport.objects.update(text="")
    assert "Not included in the report" in text(admin_client.get(url("abusereport_change", report.pk)))


def test_handling_is_recorded(admin_client, admin_user, report):
    page = url("abusereport_change", report.pk)
    admin_client.post(page, {"state": State.RESOLVED, "note": "Barred him", "name": "someone else"})
    report.refresh_from_db()
    assert (report.state, report.note, report.handled_by) == (State.RESOLVED, "Barred him", admin_user)
    assert report.name == "bob of rome"
    admin_client.post(url("abusereport_changelist"), {"action": "dismiss", "_selected_action": [report.pk]})
    report.refresh_from_db()
    assert (report.state, report.note) == (State.DISMISSED, "Barred him")
    assert "errornote" in admin_client.post(page, {"state": 7, "note": ""}).text


def test_block_for_the_reporter(admin_client, report):
    data = {"action": "block", "_selected_action": [report.pk]}
    assert "1 user is blocked." in text(admin_client.post(url("abusereport_changelist"), data, follow=True))
    block = Block.objects.get()
    assert (block.user, block.blocked, block.name) == (report.reporter, report.user, "bob of rome")


def test_people_who_are_gone(admin_client, report):
    User.objects.all().delete()
    shown = text(admin_client.get(url("abusereport_change", report.pk)))
    assert "bob of rome" in shown


def test_who_may_only_look_changes_nothing(client, report):
    reader = get_user_model().objects.create_user("reader", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_abusereport"))
    client.force_login(reader)
    page = url("abusereport_change", report.pk)
    assert client.get(page).status_code == 200
    assert client.post(page, {"state": State.DISMISSED, "note": ""}).status_code == 403
    data = {"action": "dismiss", "_selected_action": [report.pk]}
    client.post(url("abusereport_changelist"), data)
    assert client.post(url("abusereport_delete", report.pk), {"post": "yes"}).status_code == 403
    report.refresh_from_db()
    assert report.state == State.OPEN
