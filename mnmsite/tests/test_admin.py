"""The administration of the site; in a browser, with the keyboard alone."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tmtp.tests.keyboard import NARROW_DARK, NARROW_LIGHT, WIDE_DARK, WIDE_LIGHT, Keyboard

pytestmark = pytest.mark.once

BEGIN = """
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from tmtp.delivery.models import Broadcast

Account = get_user_model()
Account.objects.create_superuser("editor", password="an editor's password")
readers = Group.objects.create(name="readers of the news")
for number in range(5):
    Account.objects.create(username=f"reader {number}").groups.add(readers)
broadcast = Broadcast.objects.create(subject="The news", body="# Hello")
broadcast.account_groups.add(readers)
result = broadcast.pk
"""
OWNER = """
from django.contrib.auth import get_user_model
from mnmsite.tests.stage import _session
from tmtp.models import Group

Group.objects.create(gid="Tuesday night readers")
get_user_model().objects.create_user("leaving reader")
result = _session(get_user_model().objects.create_superuser("owner of the site"))
"""
SEND = """
from tmtp.delivery.broadcasts import sending
from tmtp.delivery.models import Broadcast

sending.PORTION = 2
sending.send(%(pk)d, lambda: Broadcast.objects.get(pk=%(pk)d).sent < %(until)d)
"""


@pytest.mark.django_db
def test_it_bears_the_sites_name(admin_client, settings):
    page = admin_client.get("/admin/").content.decode()
    assert f"{settings.TMTP['SITE_NAME']} administration" in page
    assert "Django administration" not in page


def test_a_broadcast_in_a_browser(other, page):
    """From its preview to the end: the page shows the progress, and reloads when it is done."""
    pk = other.run(BEGIN)
    page.goto(f"/admin/login/?next=/admin/tmtp_delivery/broadcast/{pk}/review/")
    keys = Keyboard(page, NARROW_LIGHT)
    keys.fill("Username", "editor")
    keys.fill("Password", "an editor's password")
    keys.press("button", "Sign in")
    expect(page.get_by_role("heading", name="Hello")).to_be_visible()
    keys.press("button", "Send a test to me")
    expect(page.get_by_text("A test was sent to you.")).to_be_visible()
    keys.press("button", "Send now to 5 members")
    bar = page.get_by_role("progressbar")
    expect(bar).not_to_have_attribute("value", "0")
    page.evaluate("document.title = 'not loaded anew'")
    other.run(SEND % {"pk": pk, "until": 2})
    expect(bar).to_have_attribute("value", "2")
    expect(page).to_have_title("not loaded anew")
    other.run(SEND % {"pk": pk, "until": 5})
    expect(page.get_by_text("done", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Pause")).to_have_count(0)


@pytest.fixture
def owner(other, site, new_page):
    """Sign the owner of the site in. Return the keyboard."""
    page = new_page()
    page.context.add_cookies([{"name": "sessionid", "value": other.run(OWNER), "url": site.url}])
    return Keyboard(page)


def test_the_owner_of_the_site_in_a_browser(owner):
    prepare_a_repeated_broadcast(owner)
    delete_a_member_and_look_it_up(owner)
    give_a_program_a_token(owner)


def prepare_a_repeated_broadcast(keys):
    """Make a template and a segment; schedule a broadcast from them every week, and cancel it."""
    page, said = keys.page, keys.page.locator(".messagelist .success")
    main = page.get_by_role("main")
    keys.look(NARROW_DARK)
    page.goto("/admin/")
    keys.follow("Broadcast templates", within=main)
    keys.follow("Add broadcast template", within=main)
    keys.fill("Name:", "Weekly")
    keys.fill("Subject:", "The news of the week")
    keys.fill("Text:", "Hello {{ name }}")
    keys.press("button", "Save", exact=True)
    expect(said).to_be_visible()
    page.goto("/admin/tmtp_delivery/segment/add/")
    keys.fill("Name:", "The staff")
    keys.select("Condition:", "is staff")
    keys.press("button", "Add another Condition")
    expect(page.locator("#id_conditions-1-kind")).to_be_focused()
    keys.press("button", "Remove", within=page.locator("#conditions-1"))
    expect(page.get_by_role("button", name="Add another Condition")).to_be_focused()
    keys.press("button", "Save", exact=True)
    expect(said).to_be_visible()
    keys.look(WIDE_LIGHT)
    page.goto("/admin/tmtp_delivery/broadcast/add/")
    keys.follow("Weekly")
    expect(page.get_by_label("Subject:")).to_have_value("The news of the week")
    keys.select("Segment:", "The staff")
    keys.press("button", "Save and preview")
    keys.reach(page.get_by_label("Send at:"))
    page.keyboard.type("01312030")
    page.keyboard.press("Tab")
    page.keyboard.type("0900AM")
    keys.select("Repeat:", "every week")
    keys.press("button", "Schedule", exact=True)
    keys.open("Message")
    keys.follow("Cancel the broadcast")
    keys.press("button", "Cancel the broadcast")
    expect(page.get_by_text("cancelled").first).to_be_visible()


def delete_a_member_and_look_it_up(keys):
    page = keys.page
    page.goto("/admin/auth/user/?q=leaving")
    keys.toggle("Select this object for an action - leaving reader")
    keys.select("Action:", "Delete the account later")
    keys.press("button", "Go", exact=True)
    keys.press("button", "Delete the account")
    expect(page.locator(".messagelist .success")).to_be_visible()
    keys.look(NARROW_DARK)
    page.goto("/admin/tmtp/auditentry/")
    keys.follow("deletion requested")
    expect(page.get_by_text("leaving reader").first).to_be_visible()


def give_a_program_a_token(keys):
    """Groups are completed while one types."""
    page = keys.page
    keys.look(WIDE_DARK)
    page.goto("/admin/tmtp_api/token/add/")
    keys.fill("Name:", "CRM")
    keys.toggle("manage groups")
    keys.reach(page.locator("#token_form").get_by_role("searchbox"))
    page.keyboard.type("Tues")
    expect(page.get_by_role("option", name="Tuesday night readers")).to_be_visible()
    page.keyboard.press("Enter")
    keys.press("button", "Save", exact=True)
    expect(page.get_by_text("The secret of “CRM”")).to_be_visible()
