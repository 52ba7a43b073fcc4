"""Every page can be used with the keyboard alone."""

import pytest
from playwright.sync_api import expect

from tmtp.tests.axe import violations
from tmtp.tests.keyboard import NARROW_DARK, WIDE_DARK, WIDE_LIGHT, Keyboard

pytestmark = pytest.mark.once


def test_the_keyboard_is_enough(page):
    """The first Tab key offers to skip the navigation."""
    page.goto("/")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()


def test_a_password_can_be_shown(page):
    keys = Keyboard(page, WIDE_DARK)
    page.goto("/sign-up/")
    field = keys.fill("Password", "correct horse", exact=True)
    keys.press("button", "Show")
    expect(field).to_have_attribute("type", "text")
    keys.press("button", "Hide")
    expect(field).to_have_attribute("type", "password")


def test_a_language_is_chosen_and_a_wrong_password_is_said(page):
    """The page is read again in Arabic, from right to left; the error has the focus."""
    keys = Keyboard(page, NARROW_DARK)
    page.goto("/sign-in/")
    keys.select("Language", "العربيّة")
    keys.press("button", "Use this language")
    expect(page.locator("html")).to_have_attribute("dir", "rtl")
    assert violations(page) == []
    keys.reach(page.locator("#id_username"))
    page.keyboard.type("nobody")
    keys.reach(page.locator("#id_password"))
    page.keyboard.type("wrong password")
    page.keyboard.press("Enter")
    expect(page.locator(".errorlist")).to_be_focused()
    assert violations(page) == []
    keys.look(WIDE_LIGHT)
    keys.select(page.locator("#language"), "English")
    keys.reach(page.locator(".language button"))
    page.keyboard.press("Enter")
    expect(page.locator("html")).to_have_attribute("dir", "ltr")
