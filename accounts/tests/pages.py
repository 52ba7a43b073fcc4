"""Helpers for tests of pages in a browser: sign up, connect a device, with the keyboard alone."""

from __future__ import annotations

from playwright.sync_api import expect

from tmtp.testing import Client
from tmtp.tests.keyboard import Keyboard
from tmtp.tests.raw_client import TLS

PASSWORD = "correct horse battery"


def sign_up(page, name, alias=""):
    keys = Keyboard(page)
    page.goto("/sign-up/")
    keys.fill("Username", name)
    keys.fill("Name (optional)", alias)
    keys.fill("E-mail address", f"{name}@example.org")
    keys.fill("Password", PASSWORD, exact=True)
    keys.press("button", "Sign up")
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def dial(site):
    """A device's program, over TLS."""
    client = Client(("127.0.0.1", site.server.port), TLS)
    client.greet()
    return client


def connect_device(site, page, label):
    """Create a node on the page, log in with the secret that it shows, and return the link."""
    keys = Keyboard(page)
    page.goto("/devices/new/")
    if page.locator("summary").count():
        keys.open("The program asks for")
    keys.fill("Name of the device", label)
    keys.press("button", "Create device key")
    device = dial(site)
    uid, nodeid = page.locator("#uid").inner_text(), page.locator("#nodeid").inner_text()
    assert device.log_in(uid, nodeid)["info"] == "login ok"
    return device


def take(device, op):
    """Return the next message of a kind. Acknowledge it and all messages before it."""
    while True:
        message = device.receive()
        if message.is_queued:
            device.acknowledge(message)
        if message.op == op:
            return message
