"""A member says of which messages they are told, with the keyboard alone."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tmtp.mailbox.tests.test_browser import MEMBER, SENT
from tmtp.tests.axe import violations
from tmtp.tests.keyboard import NARROW_DARK, WIDE_LIGHT, Keyboard
from tmtp.tests.people import unique

pytestmark = pytest.mark.once
GROUP = """
from django.contrib.auth import get_user_model
from tmtp.models import Group, Member
from tmtp.services.people.linking import user_of
user = user_of(get_user_model().objects.get(username={name!r}))
there = Group.objects.create(gid={gid!r})
Member.objects.create(group=there, user=user, alias={gid!r}, status=Member.Status.JOINED)
result = True
"""


def test_of_all_messages_of_a_conversation_and_of_a_group(other, site, new_page):
    name = unique("reader")
    session, _uid = other.run(MEMBER.format(name=name))
    other.run(GROUP.format(name=name, gid=f"friends of {name}"))
    other.run(SENT.format(name=name, subject="Shipped", text="Today"))
    page = new_page()
    page.context.add_cookies([{"name": "sessionid", "value": session, "url": site.url}])
    keys = Keyboard(page, WIDE_LIGHT)
    page.goto("/mailbox/")
    keys.follow("Shipped")
    keys.follow("Notifications")
    keys.choose("Never")
    keys.press("button", "Save")
    keys.follow("Notifications")
    expect(page.get_by_role("radio", name="Never")).to_be_checked()
    keys.follow("All notification settings")
    keys.press("button", "Remove the exception for Shipped")
    expect(page.get_by_text("There are no exceptions.")).to_be_visible()
    keys.look(NARROW_DARK)
    keys.toggle("Pings")
    keys.choose("Every day")
    quiet = page.get_by_label("Quiet from")
    keys.reach(quiet)
    page.keyboard.type("1000PM")
    keys.press("button", "Save")
    expect(page.get_by_label("Quiet until")).to_be_focused()  # it is missing
    assert violations(page) == []
    page.keyboard.type("0700AM")
    keys.press("button", "Save")
    expect(quiet).to_have_value("22:00")
    expect(page.get_by_role("radio", name="Every day")).to_be_checked()
    keys.press("button", "Add", exact=True)
    expect(page.get_by_role("button", name=f"Remove the exception for friends of {name}")).to_be_visible()
