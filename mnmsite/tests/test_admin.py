"""The administration of the site."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

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
    page.get_by_label("Username").fill("editor")
    page.get_by_label("Password").fill("an editor's password")
    page.locator("main").get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Hello")).to_be_visible()
    page.get_by_role("button", name="Send now to 5 members").click()
    bar = page.get_by_role("progressbar")
    expect(bar).not_to_have_attribute("value", "0")
    page.evaluate("document.title = 'not loaded anew'")
    other.run(SEND % {"pk": pk, "until": 2})
    expect(bar).to_have_attribute("value", "2")
    expect(page).to_have_title("not loaded anew")
    other.run(SEND % {"pk": pk, "until": 5})
    expect(page.get_by_text("done", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Pause")).to_have_count(0)
