"""Passkeys in a browser, with the keyboard alone: Chromium's virtual authenticator makes and uses them."""

from __future__ import annotations

import re
import time
from typing import Any

import pyotp
import pytest
from playwright.sync_api import expect

from accounts.tests.pages import PASSWORD, sign_up
from tmtp.tests.axe import violations
from tmtp.tests.keyboard import NARROW_DARK, NARROW_LIGHT, WIDE_DARK, WIDE_LIGHT, Keyboard

pytestmark = pytest.mark.once

KEY = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}
FORGET = """
from accounts.models import Passkey
result = Passkey.objects.filter(user__username={name!r}).update(counter=1_000_000)
"""


class Authenticator:
    """A virtual authenticator of a page."""

    def __init__(self, page: Any, **options: Any) -> None:
        self.session = page.context.new_cdp_session(page)
        self.session.send("WebAuthn.enable")
        added = self.session.send("WebAuthn.addVirtualAuthenticator", {"options": {**KEY, **options}})
        self.id = added["authenticatorId"]

    def verifies(self, verified: bool) -> None:
        """Set whether the finger on it is the owner's."""
        self.session.send("WebAuthn.setUserVerified", {"authenticatorId": self.id, "isUserVerified": verified})


def named(site: Any) -> str:
    """Return the site's URL with a host name: there are no passkeys for addresses."""
    return site.url.replace("127.0.0.1", "localhost")


def add_passkey(page: Any, name: str) -> None:
    keys = Keyboard(page)
    page.goto("/account/second-factor/")
    keys.follow("Add a passkey")
    keys.fill("Name of the passkey", name)
    keys.press("button", "Create passkey")


def use_passkey(page: Any) -> None:
    Keyboard(page).press("button", "Use a passkey")


def sign_out(page: Any) -> None:
    Keyboard(page).press("button", "Sign out")
    expect(page.get_by_role("button", name="Sign out")).to_have_count(0)


def enter_password(page: Any, name: str) -> None:
    page.goto("/sign-in/?next=/account/")
    keys = Keyboard(page)
    keys.fill("Username or e-mail address", name)
    keys.fill("Password", PASSWORD)
    keys.press("button", "Sign in", exact=True)


def is_in(page: Any) -> None:
    expect(page.get_by_role("heading", level=1, name="Account")).to_be_visible()


def test_a_passkey_is_made_and_signs_in_alone_and_as_the_second_step(site: Any, other: Any, new_page: Any) -> None:
    page = new_page(base_url=named(site), permissions=["clipboard-read", "clipboard-write"])
    keys = Keyboard(page, NARROW_LIGHT)
    authenticator = Authenticator(page)
    sign_up(page, "paula")
    add_passkey(page, "My laptop")
    expect(page.get_by_role("heading", level=1, name="Your recovery codes")).to_be_visible()
    assert violations(page) == []
    code = re.findall(r"[a-z2-7]{4}(?:-[a-z2-7]{4}){3}", page.locator("#codes").inner_text())[0]
    keys.follow("I have saved the codes")
    expect(page.get_by_text("My laptop", exact=True)).to_be_visible()

    add_passkey(page, "My laptop again")  # the browser knows that it has one
    expect(page.get_by_text("This passkey has already been added.")).to_be_visible()

    # alone: two factors in one
    sign_out(page)
    page.goto("/sign-in/?next=/account/")
    keys.look(WIDE_DARK)
    keys.follow("Sign in with a passkey")
    use_passkey(page)
    is_in(page)

    # the second step, which does without the finger
    sign_out(page)
    authenticator.verifies(False)
    enter_password(page, "paula")
    expect(page.get_by_role("heading", level=1, name="The second step")).to_be_visible()
    use_passkey(page)
    is_in(page)

    # alone, it does not do without
    sign_out(page)
    page.goto("/sign-in-passkey/")
    use_passkey(page)
    expect(page.get_by_text("No passkey was received from the browser. Please try again.")).to_be_visible()
    assert violations(page) == []

    # and a recovery code instead of it
    enter_password(page, "paula")
    keys.fill(page.get_by_role("textbox", name="Code"), code)
    keys.press("button", "Continue")
    is_in(page)

    sign_in_with_an_app(keys, "paula")

    # somebody else who has stolen a copy: the counter shows it
    sign_out(page)
    authenticator.verifies(True)
    assert other.run(FORGET.format(name="paula")) == 1
    page.goto("/sign-in-passkey/")
    use_passkey(page)
    expect(page.get_by_text("This passkey is not valid here.")).to_be_visible()


def sign_in_with_an_app(keys: Keyboard, name: str) -> None:
    """Add an authenticator app with the code that it shows, and sign in with its next one after a wrong one."""
    page = keys.page
    page.goto("/account/second-factor/")
    keys.look(NARROW_DARK)
    keys.follow("Add an authenticator app")
    keys.press("button", "Copy the secret")
    app = pyotp.TOTP(page.evaluate("navigator.clipboard.readText()").replace(" ", ""))
    now = int(time.time())
    keys.fill(page.get_by_role("textbox", name="Code"), "none")
    keys.press("button", "Add app")
    expect(page.get_by_role("textbox", name="Code")).to_be_focused()
    assert violations(page) == []
    keys.fill(page.get_by_role("textbox", name="Code"), app.at(now))
    keys.press("button", "Add app")
    expect(page.get_by_role("heading", level=1, name="Second factor")).to_be_visible()
    sign_out(page)
    keys.look(WIDE_LIGHT)
    enter_password(page, name)
    keys.fill(page.get_by_role("textbox", name="Code"), "none")
    keys.press("button", "Continue")
    expect(page.get_by_role("textbox", name="Code")).to_be_focused()
    assert violations(page) == []
    keys.fill(page.get_by_role("textbox", name="Code"), app.at(now, counter_offset=1))
    keys.press("button", "Continue")
    is_in(page)


ANSWER = """options => navigator.credentials.get({
  publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options)
}).then(found => JSON.stringify(found.toJSON()))"""
OPTIONS = "JSON.parse(document.getElementById('passkey_options').textContent)"
POST = """form => {
  const element = document.querySelector("form[data-passkey]");
  element.elements.answer.value = form;
  element.submit();
}"""


def test_an_answer_proves_nothing_elsewhere(site: Any, new_page: Any) -> None:
    """A challenge is answered once, in the session that asked, for the purpose for which it asked."""
    page = new_page(base_url=named(site))
    Authenticator(page)
    sign_up(page, "petra")
    add_passkey(page, "key")
    expect(page.get_by_role("heading", level=1, name="Your recovery codes")).to_be_visible()
    sign_out(page)

    def answer() -> str:
        return page.evaluate(ANSWER, page.evaluate(OPTIONS))

    def post(form: str) -> None:
        with page.expect_navigation():  # to a page that may look the same
            page.evaluate(POST, form)

    page.goto("/sign-in-passkey/")
    once = answer()
    page.goto("/sign-in-passkey/")  # asks anew
    post(once)
    expect(page.get_by_text("This passkey is not valid here.")).to_be_visible()

    enter_password(page, "petra")
    expect(page.get_by_role("heading", level=1, name="The second step")).to_be_visible()
    second = answer()
    page.goto("/sign-in-passkey/")
    post(second)
    expect(page.get_by_text("This passkey is not valid here.")).to_be_visible()

    right = answer()
    broken = right.replace('"signature":"', '"signature":"AAAA')
    post(broken)
    expect(page.get_by_text("This passkey is not valid here.")).to_be_visible()
    post(answer())
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
