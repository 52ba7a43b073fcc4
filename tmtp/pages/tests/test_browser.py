"""The pages about devices and people in a real browser, with devices that use the real protocol."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from accounts.tests.pages import connect_device, dial, sign_up, take
from tmtp.testing import Closed

pytestmark = pytest.mark.once


def test_a_device_is_connected_seen_and_dropped(site, page):
    sign_up(page, "devi")
    page.goto("/devices/new/")
    assert page.locator(".qr svg path").count() > 0
    device = connect_device(site, page, "Laptop")
    nodeid = page.locator("#nodeid").inner_text()
    page.get_by_role("link", name="Done").click()
    row = page.get_by_role("listitem").filter(has_text="Laptop")
    expect(row.get_by_text("online")).to_be_visible()

    page.get_by_role("link", name="Rename Laptop").click()
    page.get_by_label("Name of the device").fill("Old laptop")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("link", name="Remove Old laptop").click()
    page.get_by_role("button", name="Remove device").click()
    expect(page.get_by_role("heading", name="No device yet")).to_be_visible()
    with pytest.raises(Closed):
        while True:
            take(device, "nothing")
    again = dial(site)
    again.send({"op": 2, "uid": device.uid, "node": nodeid})
    assert again.receive().header == {"op": "quit", "error": "login failed"}


def test_a_group_a_block_and_who_sees_whom(site, new_page):
    ann, bob = new_page(), new_page()
    sign_up(ann, "anna", "anna of rome"), sign_up(bob, "bobby", "bobby of rome")
    anns, bobs = connect_device(site, ann, "Laptop"), connect_device(site, bob, "Phone")

    ann.goto("/groups/new/")
    ann.get_by_label("Group name").fill("friends of anna")
    ann.get_by_label("First member to invite").fill("bobby of rome")
    ann.get_by_role("button", name="Create").click()
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
    ann.get_by_role("link", name="Options for bobby of rome").click()
    ann.get_by_role("link", name="Block bobby of rome").click()
    ann.get_by_role("button", name="Block").click()
    expect(ann.get_by_text("“bobby of rome” has been blocked")).to_be_visible()
    assert take(anns, "ohi").header["status"] == 2
    bobs.send({"op": 9, "id": "2", "from": "bobby of rome", "to": "anna of rome"}, b"hi")
    refused = take(bobs, "ack").header
    assert refused == {"op": "ack", "id": "2", "error": "anna of rome cannot be reached now"}
    ann.get_by_role("button", name="Unblock bobby of rome").click()
    expect(ann.get_by_text("has been unblocked")).to_be_visible()
    bobs.send({"op": 9, "id": "3", "from": "bobby of rome", "to": "anna of rome"}, b"hi")
    assert take(anns, "ping").data == b"hi"
