"""What the keyboard alone does on every page."""

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.once


def test_the_keyboard_is_enough(page):
    """The first Tab offers to skip what is on every page."""
    page.goto("/")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
