"""A member's use of the whole site in a real browser. Website, service, device and OpenID provider are real processes.

Ann signs up with a password, and Bob with the provider. She has a wide and light screen, he has a narrow and dark one,
and neither has a mouse. The details of each step have tests of their own, beside the pages.
"""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import expect

from accounts.tests.pages import dial, sign_up
from accounts.tests.provider import PASSWORD
from mnmsite.tests.browser import running_site
from tmtp.testing import Closed
from tmtp.tests.axe import violations
from tmtp.tests.keyboard import NARROW_DARK, WIDE_LIGHT, Keyboard

pytestmark = pytest.mark.once

SEND = """
from django.contrib.auth import get_user_model
from tmtp.messaging import send_message
send_message(get_user_model().objects.get(username="ann-of-rome"), "The hall is closed", "On *Monday*.")
"""
ANSWERS = """
from tmtp.models import Node
from tmtp.services.messages.mailbox import Received, messages_of
site = Node.objects.get(user__is_site=True, kind=Node.Kind.MAILBOX)
result = [Received(message).text for message in messages_of(site)]
"""
UID = """
from tmtp.models import User
result = User.objects.get(account__username="ann-of-rome").uid
"""


@pytest.fixture(scope="module")
def place(provider):
    """Run a site where members and devices can sign in with the provider."""
    entry = provider.entry(site={"client_id": "walk", "client_secret": "hush", "scope": "openid email"})
    with running_site({"no_proxy": "127.0.0.1"}, OPENID={"auth": 1, "authby": [entry]}) as running:
        provider.add_client("walk", f"{running.url}sign-in/example-university/callback/", "hush")
        yield running


@pytest.fixture(scope="module")
def other(place):
    """Return another process of the site."""
    with place.other_process() as process:
        yield process


def mailed_link(place):
    """Return the link in the mail, which the website writes to its log if there is no mail server."""
    until = time.monotonic() + 10
    while not (found := re.findall(r"http://\S+/account/confirm/\S+/", place.log)):
        assert time.monotonic() < until, place.log
        time.sleep(0.05)
    return found[-1]


def enter(page, username):
    """Sign in at the provider."""
    expect(page.get_by_role("heading", name="University")).to_be_visible()
    keys = Keyboard(page)
    keys.fill("Username", username)
    keys.fill("Password", PASSWORD)
    keys.press("button", "Enter")


def mailbox(page):
    Keyboard(page).follow("Mailbox", within=page.get_by_role("navigation", name="Main"))
    expect(page.get_by_role("heading", level=1, name="Mailbox")).to_be_visible()


def register(place, token):
    """Register a device that shows a token. Return its link and the answer."""
    device = dial(place)
    device.send({"op": 1, "newnode": "Phone", "newalias": "_", "oidc": {"id_token": token}})
    return device, device.receive().header


def sign_up_with_the_provider(page, username, name):
    keys = Keyboard(page)
    page.goto("/")
    keys.follow("Sign in", within=page.get_by_role("navigation", name="Main"))
    keys.follow("Sign in with Example University")
    enter(page, username)
    expect(page.get_by_role("heading", name="Welcome")).to_be_visible()
    keys.fill("Name (optional)", name)
    keys.press("button", "Sign up")
    expect(page.get_by_role("heading", name="No messages in the inbox")).to_be_visible()


def confirm_the_address(ann, place):
    """Follow the link in the mail."""
    ann.goto(mailed_link(place))
    Keyboard(ann).press("button", "Confirm")
    expect(ann.get_by_text("ann-of-rome@example.org has been confirmed.")).to_be_visible()


def answer_the_site(ann, other):
    """Answer a message that the site sends in another process: it appears by itself, and the answer arrives."""
    mailbox(ann)
    other.run(SEND)
    keys = Keyboard(ann)
    keys.follow("The hall is closed")
    expect(ann.locator("em", has_text="Monday")).to_be_visible()
    keys.fill("Message", "Then in the library.", exact=True)
    keys.press("button", "Send")
    expect(ann.locator(".letter.own")).to_contain_text("Then in the library.")
    assert other.run(ANSWERS) == ["Then in the library."]


def ping_each_other(ann, bob):
    """Send a ping, and answer with one. Both see the other's at once."""
    mailbox(ann)
    anns, bobs = Keyboard(ann), Keyboard(bob)
    bobs.follow("Ping", exact=True)
    bobs.fill("To", "ann of rome", exact=True)
    bobs.fill("Text", "Are you there?")
    bobs.press("button", "Send")
    anns.follow("Pings with bob of rome")
    anns.fill("Text", "I am")
    anns.press("button", "Send")
    expect(bob.get_by_text("I am")).to_be_visible()


def write_to_a_group(ann, bob):
    """Create a group as Ann, accept as Bob, and read as Bob what she writes to it."""
    anns, bobs = Keyboard(ann), Keyboard(bob)
    mailbox(bob)
    anns.follow("Groups")
    anns.follow("Create group")
    anns.fill("Group name", "friends of ann")
    anns.fill("First member to invite", "bob of rome")
    anns.press("button", "Create")
    bobs.follow("Group friends of ann")
    bobs.press("button", "Accept")
    expect(bob.get_by_text("bob of rome joined.")).to_be_visible()
    mailbox(bob)
    anns.follow("Write to the group")
    anns.fill("Subject", "Friday at eight")
    anns.fill("Message", "Who brings the clock?", exact=True)
    anns.press("button", "Send")
    bobs.follow("Friday at eight")
    expect(bob.get_by_text("To friends of ann")).to_be_visible()


def connect_a_device(ann, place, provider, other):
    """Link the provider: a device that shows its token becomes Ann's. Return its link and its login."""
    keys = Keyboard(ann)
    keys.follow("Account")
    keys.press("button", "Link Example University")
    enter(ann, "ann")
    expect(ann.get_by_text("You can now sign in with Example University.")).to_be_visible()
    stranger, said = register(place, "a.b.c")
    assert said == {"op": "quit", "error": "authentication required"}
    stranger.close()
    device, said = register(place, provider.device_token("ann"))
    assert (said["op"], said["uid"]) == ("registered", other.run(UID))
    return device, (said["uid"], said["nodeid"])


def drop_the_device(ann, place, device, login):
    """Drop it on the page that shows it online. Its link is closed, and it cannot log in any more."""
    keys = Keyboard(ann)
    keys.follow("Devices")
    expect(ann.get_by_role("listitem").filter(has_text="Phone").get_by_text("online")).to_be_visible()
    assert violations(ann) == []
    keys.follow("Remove Phone")
    keys.press("button", "Remove device")
    expect(ann.get_by_text("Device “Phone” removed.")).to_be_visible()
    with pytest.raises(Closed):
        while True:
            device.receive()
    again = dial(place)
    assert again.log_in(*login) == {"op": "quit", "error": "login failed"}


def sign_in_with_the_provider(ann):
    """Sign in again: the provider remembers her."""
    keys = Keyboard(ann)
    keys.press("button", "Sign out")
    keys.follow("Sign in", within=ann.get_by_role("navigation", name="Main"))
    keys.follow("Sign in with Example University")
    expect(ann.get_by_role("heading", level=1, name="Mailbox")).to_be_visible()
    expect(ann.get_by_role("link", name="Friday at eight")).to_be_visible()


def test_the_whole_way(place, provider, other, new_page):
    ann, bob = (new_page(base_url=place.url) for _ in range(2))
    Keyboard(ann, WIDE_LIGHT), Keyboard(bob, NARROW_DARK)
    sign_up(ann, "ann-of-rome", "ann of rome")
    expect(ann.get_by_role("heading", name="No messages in the inbox")).to_be_visible()
    confirm_the_address(ann, place)
    answer_the_site(ann, other)
    sign_up_with_the_provider(bob, "bob", "bob of rome")
    ping_each_other(ann, bob)
    write_to_a_group(ann, bob)
    device, login = connect_a_device(ann, place, provider, other)
    keys = Keyboard(bob)
    keys.fill("Message", "I do.", exact=True)
    keys.press("button", "Send")
    assert device.next_queued("delivery").data.endswith(b"I do.")
    drop_the_device(ann, place, device, login)
    sign_in_with_the_provider(ann)
