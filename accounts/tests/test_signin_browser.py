"""Every page can be used with the keyboard alone."""

import pytest
from playwright.sync_api import expect

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
    page.goto("/sign-up/")
    field = page.get_by_label("Password", exact=True)
    field.fill("correct horse")
    page.get_by_role("button", name="Show").click()
    expect(field).to_have_attribute("type", "text")
    page.get_by_role("button", name="Hide").click()
    expect(field).to_have_attribute("type", "password")
