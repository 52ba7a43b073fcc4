"""The pages about devices and people in a real browser, with the keyboard alone, and devices of the real protocol."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from accounts.tests.pages import connect_device, dial, sign_up, take
from tmtp.testing import Closed
from tmtp.tests.keyboard import NARROW_DARK, NARROW_LIGHT, WIDE_DARK, WIDE_LIGHT, Keyboard

pytestmark = pytest.mark.once


def test_a_device_is_connected_seen_and_dropped(site, page):
    keys = Keyboard(page, NARROW_DARK)
    sign_up(page, "devi")
    keys.follow("Devices")
    keys.follow("Connect a device")
    expect(page.locator(".qr svg path").first).to_be_visible()
    device = connect_device(site, page, "Laptop")
    nodeid = page.locator("#nodeid").inner_text()
    keys.follow("Done")
    row = page.get_by_role("listitem").filter(has_text="Laptop")
    expect(row.get_by_text("online")).to_be_visible()

    keys.look(WIDE_LIGHT)
    keys.follow("Rename Laptop")
    keys.fill("Name of the device", "Old laptop")
    keys.press("button", "Save")
    keys.follow("Remove Old laptop")
    keys.press("button", "Remove device")
    expect(page.get_by_role("heading", name="No device yet")).to_be_visible()
    with pytest.raises(Closed):
        while True:
            take(device, "nothing")
    again = dial(site)
    again.send({"op": 2, "uid": device.uid, "node": nodeid})
    assert again.receive().header == {"op": "quit", "error": "login failed"}


def test_a_group_a_block_and_who_sees_whom(site, new_page):
    ann, bob = new_page(), new_page()
    ann_keys, bob_keys = Keyboard(ann, WIDE_DARK), Keyboard(bob, NARROW_LIGHT)
    sign_up(ann, "anna", "anna of rome"), sign_up(bob, "bobby", "bobby of rome")
    anns, bobs = connect_device(site, ann, "Laptop"), connect_device(site, bob, "Phone")

    ann_keys.follow("Groups")
    ann_keys.follow("Create group")
    ann_keys.fill("Group name", "friends of anna")
    ann_keys.fill("First member to invite", "bobby of rome")
    ann_keys.press("button", "Create")
    assert take(bobs, "invite").header["gid"] == "friends of anna"
    bob_keys.follow("Groups")
    bob_keys.follow("Join friends of anna")
    bob_keys.press("button", "Join")
    expect(bob.get_by_text("anna of rome")).to_be_visible()

    bobs.send({"op": 4, "id": "1", "type": "init", "for": [{"id": anns.uid}]})
    anns.send({"op": 4, "id": "1", "type": "init", "for": [{"id": bobs.uid}]})
    assert take(bobs, "ohi").header["status"] == 1
    assert take(anns, "ohi").header["status"] == 1

    ann_keys.follow("Account")
    ann_keys.follow("Visibility")
    ann_keys.choose("Nobody")
    ann_keys.press("button", "Save")
    assert take(bobs, "ohi").header["status"] == 2

    ann_keys.look(NARROW_DARK)
    ann_keys.follow("Groups")
    ann_keys.follow("friends of anna")
    ann_keys.follow("Options for bobby of rome")
    ann_keys.follow("Block bobby of rome")
    ann_keys.press("button", "Block")
    expect(ann.get_by_text("“bobby of rome” has been blocked")).to_be_visible()
    assert take(anns, "ohi").header["status"] == 2
    bobs.send({"op": 9, "id": "2", "from": "bobby of rome", "to": "anna of rome"}, b"hi")
    refused = take(bobs, "ack").header
    assert refused == {"op": "ack", "id": "2", "error": "anna of rome cannot be reached now"}
    ann_keys.press("button", "Unblock bobby of rome")
    expect(ann.get_by_text("has been unblocked")).to_be_visible()
    bobs.send({"op": 9, "id": "3", "from": "bobby of rome", "to": "anna of rome"}, b"hi")
    assert take(anns, "ping").data == b"hi"

    a_name_that_is_too_short(bob, bob_keys)
    export_and_deletion(bob, bob_keys)


def a_name_that_is_too_short(page, keys):
    """The error has the focus. A name is added and deleted again."""
    keys.follow("Account")
    keys.follow("Names")
    keys.fill("New name", "bob")
    keys.press("button", "Add name")
    expect(page.locator(".errorlist")).to_be_visible()
    expect(page.get_by_label("New name")).to_be_focused()
    keys.fill("New name", "bobby at home")
    keys.press("button", "Add name")
    keys.follow("Delete bobby at home")
    keys.press("button", "Delete name")
    expect(page.get_by_text("bobby at home")).to_have_count(1)  # in the message that says so


def export_and_deletion(page, keys):
    """Export everything; ask for the deletion of the account, and keep it."""
    keys.follow("Data", exact=True)
    keys.follow("Export your data")
    with page.expect_download() as download:
        keys.press("button", "Download")
    assert download.value.suggested_filename.endswith(".zip")
    keys.look(WIDE_DARK)
    keys.follow("Back")
    keys.follow("Delete your account …")
    keys.press("button", "Delete account")
    keys.press("button", "Keep my account")
    expect(page.get_by_role("link", name="Delete your account …")).to_be_visible()
