"""Members of a real provider, in a real browser, with a real device: all in processes of their own."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from accounts.tests.axe import violations
from accounts.tests.provider import PASSWORD
from mnmsite.tests.browser import running_site
from tmtp.testing import Client
from tmtp.tests.real import TLS

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def place(provider):
    """A site that offers the provider, and asks devices for it."""
    entry = provider.entry(site={"client_id": "browser", "client_secret": "hush", "scope": "openid email"})
    with running_site({"no_proxy": "127.0.0.1"}, OPENID={"auth": 1, "authby": [entry]}) as running:
        provider.add_client("browser", f"{running.url}sign-in/example-university/callback/", "hush")
        yield running


@pytest.fixture
def page(browser, place):
    with browser.new_context(base_url=place.url) as context:
        context.set_default_timeout(15_000)
        page = context.new_page()
        wrong = []

        def note(message):
            """An error on a page of ours; the provider's are its own."""
            if message.type == "error" and page.url.startswith(place.url):
                wrong.append(message.text)

        page.on("console", note)
        yield page
        assert not wrong


def enter(page, username):
    """Sign in at the provider."""
    expect(page.get_by_role("heading", name="University")).to_be_visible()
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Enter").click()


def test_a_member_and_their_device(place, provider, page):
    page.goto("/sign-in/?next=/account/")
    page.get_by_role("link", name="Sign in with Example University").click()
    enter(page, "ann")
    expect(page.get_by_role("heading", name="Welcome")).to_be_visible()
    expect(page.get_by_label("Username")).to_have_value("ann")
    assert violations(page) == []
    page.get_by_label("Username").fill("ann-of-rome")
    page.get_by_role("button", name="Sign up").click()
    expect(page.get_by_role("heading", name="Account")).to_be_visible()

    with Client(("127.0.0.1", place.server.port), TLS) as device:
        said = device.greet()
        assert [one["label"] for one in said["authby"]] == ["Example University"]
        assert "hush" not in json.dumps(said)
        device.send({"op": 1, "newnode": "phone", "newalias": "ann of rome", "oidc": {"id_token": "a.b.c"}})
        assert device.receive().header["error"] == "authentication required"
    with Client(("127.0.0.1", place.server.port), TLS) as device:
        device.greet()
        token = provider.device_token("ann")
        device.send({"op": 1, "newnode": "phone", "newalias": "ann of rome", "oidc": {"id_token": token}})
        uid = device.receive().header["uid"]
    with place.other_process() as other:
        whose = f"from tmtp.models import User\nresult = User.objects.get(uid={uid!r}).account.username"
        assert other.run(whose) == "ann-of-rome"

    page.get_by_role("button", name="Sign out").click()
    page.goto("/sign-in/")
    page.get_by_role("link", name="Sign in with Example University").click()
    page.goto("/account/")
    expect(page.get_by_text("ann-of-rome")).to_be_visible()


def test_a_member_links_and_unlinks(place, page):
    page.goto("/sign-up/")
    page.get_by_label("Username").fill("bob-of-old")
    page.get_by_label("E-mail address").fill("bob@example.org")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password confirmation").fill(PASSWORD)
    page.get_by_role("button", name="Sign up").click()
    page.get_by_role("link", name="Account").click()
    page.get_by_role("button", name="Link Example University").click()
    enter(page, "bob")
    expect(page.get_by_text("You can sign in with Example University now.")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("link", name="Unlink Example University").click()
    assert violations(page) == []
    page.get_by_role("button", name="Unlink").click()
    expect(page.get_by_text("You no longer sign in with Example University.")).to_be_visible()
