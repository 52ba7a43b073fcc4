"""The pages about devices and people in a real browser, and what they do to devices on the real protocol."""

from __future__ import annotations

import ssl
from itertools import cycle

import pytest
from playwright.sync_api import expect

from accounts.tests.axe import violations
from tmtp.testing import Client, Closed

pytestmark = pytest.mark.once

PASSWORD = "correct horse battery"


def sign_up(page, name):
    page.goto("/sign-up/")
    page.get_by_label("Username").fill(name)
    page.get_by_label("E-mail address").fill(f"{name}@example.org")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password confirmation").fill(PASSWORD)
    page.locator("main").get_by_role("button", name="Sign up").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def dial(site):
    """A device's program, over TLS with the service's own certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client = Client(("127.0.0.1", site.server.port), context)
    client.greet()
    return client


def connect_device(site, page, label):
    """Make a node on the page, and log in with what it shows; gives the link."""
    page.goto("/devices/new/")
    if page.locator("summary").count():
        page.locator("summary").click()
    page.get_by_label("Name of the device").fill(label)
    page.get_by_role("button", name="Get its secret").click()
    device = dial(site)
    uid, nodeid = page.locator("#uid").inner_text(), page.locator("#nodeid").inner_text()
    assert device.log_in(uid, nodeid)["info"] == "login ok"
    return device


def take(device, op):
    """The next message of a kind; what comes before it is acknowledged, and so is it."""
    while True:
        message = device.receive()
        if message.is_queued:
            device.acknowledge(message)
        if message.op == op:
            return message


def alias(page, name):
    page.goto("/account/aliases/")
    page.get_by_label("New alias").fill(name)
    page.get_by_role("button", name="Take this name").click()
    expect(page.get_by_text(f"You are “{name}” now")).to_be_visible()


def test_a_device_is_connected_seen_and_dropped(site, page):
    sign_up(page, "devi")
    page.goto("/devices/new/")
    assert page.locator(".qr svg path").count() > 0
    device = connect_device(site, page, "Laptop")
    nodeid = page.locator("#nodeid").inner_text()
    page.get_by_role("link", name="Done: the device has it").click()
    row = page.get_by_role("listitem").filter(has_text="Laptop")
    expect(row.get_by_text("online")).to_be_visible()

    page.get_by_role("link", name="Rename Laptop").click()
    page.get_by_label("Name of the device").fill("Old laptop")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("link", name="Disconnect Old laptop for good").click()
    page.get_by_role("button", name="Disconnect it").click()
    expect(page.get_by_role("heading", name="No device yet")).to_be_visible()
    with pytest.raises(Closed):
        while True:
            take(device, "nothing")
    again = dial(site)
    again.send({"op": 2, "uid": device.uid, "node": nodeid})
    assert again.receive().header == {"op": "quit", "error": "login failed"}


def test_a_group_a_block_and_who_sees_whom(site, new_page):
    ann, bob = new_page(), new_page()
    sign_up(ann, "anna"), sign_up(bob, "bobby")
    alias(ann, "anna of rome"), alias(bob, "bobby of rome")
    anns, bobs = connect_device(site, ann, "Laptop"), connect_device(site, bob, "Phone")

    ann.goto("/groups/new/")
    ann.get_by_label("Name of the group").fill("friends of anna")
    ann.get_by_label("Whom to invite first").fill("bobby of rome")
    ann.get_by_role("button", name="Found it").click()
    assert take(bobs, "invite").header["gid"] == "friends of anna"
    bob.goto("/groups/")
    bob.get_by_role("link", name="Join friends of anna").click()
    bob.get_by_role("button", name="Join").click()
    expect(bob.get_by_text("anna of rome")).to_be_visible()

    bobs.send({"op": 4, "id": "1", "type": "init", "for": [{"id": anns.uid}]})
    anns.send({"op": 4, "id": "1", "type": "init", "for": [{"id": bobs.uid}]})
    assert take(bobs, "ohi").header["status"] == 1
    assert take(anns, "ohi").header["status"] == 1

    ann.goto("/account/presence/")
    ann.get_by_label("Nobody").check()
    ann.get_by_role("button", name="Save").click()
    assert take(bobs, "ohi").header["status"] == 2

    ann.goto("/groups/")
    ann.get_by_role("link", name="friends of anna").click()
    ann.get_by_role("link", name="Block bobby of rome").click()
    ann.get_by_role("button", name="Block").click()
    expect(ann.get_by_text("“bobby of rome” cannot write to you any more")).to_be_visible()
    assert take(anns, "ohi").header["status"] == 2
    bobs.send({"op": 9, "id": "2", "from": "bobby of rome", "to": "anna of rome"}, b"hi")
    refused = take(bobs, "ack").header
    assert refused == {"op": "ack", "id": "2", "error": "anna of rome cannot be reached now"}
    ann.get_by_role("button", name="Unblock bobby of rome").click()
    expect(ann.get_by_text("can write to you again")).to_be_visible()
    bobs.send({"op": 9, "id": "3", "from": "bobby of rome", "to": "anna of rome"}, b"hi")
    assert take(anns, "ping").data == b"hi"


def test_pages_are_accessible(site, page):
    """One page wide and light, the next narrow and dark: they are made of the same parts."""
    looks = cycle([("light", 1280), ("dark", 360)])

    def check(path=None):
        scheme, width = next(looks)
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # colours that do not fade
        page.set_viewport_size({"width": width, "height": 800})
        if path:
            page.goto(path)
        assert violations(page) == [], page.url
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{page.url} is wider than the screen"

    sign_up(page, "axel")
    for path in ("/devices/", "/devices/new/", "/groups/new/", "/account/blocked/", "/account/presence/"):
        check(path)
    connect_device(site, page, "Laptop").close()
    check()
    alias(page, "axel of rome")
    page.get_by_label("New alias").fill("short")
    page.get_by_role("button", name="Take this name").click()
    check()
    page.goto("/groups/new/")
    page.get_by_label("Name of the group").fill("group of axel")
    page.get_by_role("button", name="Found it").click()
    expect(page.get_by_role("heading", name="Members")).to_be_visible()
    check()
    check("/devices/")
    page.get_by_role("link", name="Disconnect Laptop for good").click()
    check()
