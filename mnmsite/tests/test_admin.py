"""The administration of the site; in a browser, with the keyboard alone."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tmtp.tests.axe import load_with_pages, violations
from tmtp.tests.keyboard import NARROW_DARK, NARROW_LIGHT, WIDE_DARK, WIDE_LIGHT, Keyboard

pytestmark = pytest.mark.once

# What Django's templates and its select2 get wrong on these pages: rule, elements. All the rest is ours.
DJANGOS = [
    ("empty-table-header", ".inline-group .tabular th"),  # the columns of the row's name and of “Delete?”
    ("label", ".datetime input"),  # date and time have a label beside them that is not theirs
    ("label", ".select2-search__field"),  # the label is that of the hidden list
    ("label-title-only", "#searchbar"),  # the label is a picture
    ("link-in-text-block", ".breadcrumbs a, #changelist-search .quiet a"),  # in another colour, not underlined
    ("list", ".select2-selection__rendered"),  # what was chosen, and an item without that role to type in
    ("target-size", "#changelist-filter a"),  # 20 pixels high
]

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


def check(keys, heading):
    """Check the page as it is shown, and what depends on the look in the other colours and on another screen."""
    expect(keys.page.locator("#content h1")).to_have_text(heading)
    look = keys.shown
    found = violations(keys.page, excused=DJANGOS)
    keys.look(NARROW_DARK if look.scheme == "light" else WIDE_LIGHT)
    keys.page.evaluate("document.getAnimations().forEach((one) => one.finish())")  # colours change slowly
    found += violations(keys.page, look_alone=True, excused=DJANGOS)
    keys.look(look)
    assert found == [], keys.page.url


@pytest.mark.django_db
def test_it_bears_the_sites_name(admin_client, settings):
    page = admin_client.get("/admin/").content.decode()
    assert f"{settings.TMTP['SITE_NAME']} administration" in page
    assert "Django administration" not in page


def test_a_broadcast_in_a_browser(other, page):
    """From its preview to the end: the page shows the progress, and reloads when it is done."""
    pk = other.run(BEGIN)
    load_with_pages(page)
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
    check(keys, "The news")
    expect(page).to_have_title("not loaded anew")
    other.run(SEND % {"pk": pk, "until": 5})
    expect(page.get_by_text("done", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Pause")).to_have_count(0)


@pytest.fixture
def owner(other, site, new_page):
    """Sign the owner of the site in. Return the keyboard."""
    page = new_page(permissions=["clipboard-read", "clipboard-write"])
    load_with_pages(page)
    page.context.add_cookies([{"name": "sessionid", "value": other.run(OWNER), "url": site.url}])
    return Keyboard(page)


def test_the_owner_of_the_site_in_a_browser(owner):
    prepare_a_repeated_broadcast(owner)
    delete_a_member_and_look_it_up(owner)
    look_at_people_and_servers(owner)
    give_a_program_a_token(owner)
    read_about_the_api(owner)


def prepare_a_repeated_broadcast(keys):
    """Make a template and a segment; schedule a broadcast from them every week, and cancel it."""
    page, said = keys.page, keys.page.locator(".messagelist .success")
    main = page.get_by_role("main")
    keys.look(NARROW_DARK)
    page.goto("/admin/")
    keys.follow("Broadcast templates", within=main)
    keys.follow("Add broadcast template", within=main)
    check(keys, "Add broadcast template")
    keys.fill("Name:", "Weekly")
    keys.fill("Subject:", "The news of the week")
    keys.fill("Text:", "Hello {{ name }}")
    keys.press("button", "Save", exact=True)
    expect(said).to_be_visible()
    page.goto("/admin/tmtp_delivery/segment/add/")
    check(keys, "Add segment")
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
    check(keys, "Add broadcast")
    keys.follow("Weekly")
    expect(page.get_by_label("Subject:")).to_have_value("The news of the week")
    keys.select("Segment:", "The staff")
    keys.press("button", "Save and preview")
    keys.reach(page.get_by_label("Send at:"))
    check(keys, "Preview")
    page.keyboard.type("01312030")
    page.keyboard.press("Tab")
    page.keyboard.type("0900AM")
    keys.select("Repeat:", "every week")
    keys.press("button", "Schedule", exact=True)
    keys.open("Message")
    check(keys, "The news of the week")
    keys.follow("Cancel the broadcast")
    check(keys, "Cancel the broadcast")
    keys.press("button", "Cancel the broadcast")
    expect(page.get_by_text("cancelled").first).to_be_visible()


def delete_a_member_and_look_it_up(keys):
    page = keys.page
    page.goto("/admin/auth/user/?q=leaving")
    keys.toggle("Select this object for an action - leaving reader")
    keys.select("Action:", "Delete the account later")
    keys.press("button", "Go", exact=True)
    check(keys, "Delete the accounts later")
    keys.press("button", "Delete the account")
    expect(page.locator(".messagelist .success")).to_be_visible()
    keys.look(NARROW_DARK)
    page.goto("/admin/tmtp/auditentry/")
    check(keys, "Select audit entry to view")
    keys.follow("deletion requested")
    expect(page.get_by_text("leaving reader").first).to_be_visible()


def look_at_people_and_servers(keys):
    page, main = keys.page, keys.page.get_by_role("main")
    page.goto("/admin/tmtp/group/")
    keys.follow("Tuesday night readers", within=main)
    keys.choose("the owner and moderators invite")
    check(keys, "Change messaging group")
    keys.press("button", "Save", exact=True)
    expect(page.locator(".messagelist .success")).to_be_visible()
    keys.look(WIDE_LIGHT)
    page.goto("/admin/tmtp/user/?q=mnm+website")
    check(keys, "Select messaging user to change")
    keys.follow("mnm website", within=main)
    keys.press("button", "Add another Alias")
    expect(page.locator("#id_aliases-1-name")).to_be_focused()
    check(keys, "Change messaging user")
    page.goto("/admin/tmtp/serverlease/")
    keys.follow("Figures", within=main)
    keys.reach(page.get_by_role("region", name="Servers"))
    check(keys, "Figures")


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
    check(keys, "Add API token")
    keys.press("button", "Save", exact=True)
    expect(page.get_by_text("The secret of “CRM”")).to_be_visible()
    check(keys, "Select API token to change")


def read_about_the_api(keys):
    """Copy the address; go to an operation, and from there to what it takes."""
    page = keys.page
    page.goto("/api/")
    for look in (WIDE_LIGHT, NARROW_DARK):
        keys.look(look)
        keys.press("button", "Copy address")
        expect(page.get_by_role("button", name="Copied")).to_be_focused()
        assert page.evaluate("navigator.clipboard.readText()") == page.url.partition("#")[0] + "v1/"
        keys.follow("Send a message", exact=True)
        operation = page.get_by_role("region", name="Send a message", exact=True)
        expect(operation).to_be_focused()
        expect(operation.get_by_role("heading")).to_be_in_viewport()
        keys.follow("NewMessage", within=operation)
        expect(page.get_by_role("region", name="NewMessage")).to_be_focused()
        page.evaluate("navigator.clipboard.writeText('')")
        page.go_back()
