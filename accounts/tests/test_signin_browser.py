"""The pages of sign-in in a browser, wide and narrow, in light and in dark: nothing for axe-core to find."""

import pytest
from playwright.sync_api import expect

from accounts.tests.axe import violations

pytestmark = pytest.mark.once

PASSWORD = "correct horse battery"
LOOKS = [("light", 1280), ("dark", 360)]


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_pages_are_accessible(new_page, scheme, width):
    page = new_page(color_scheme=scheme, viewport={"width": width, "height": 800})

    def check(path=None):
        if path:
            page.goto(path)
        assert violations(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{path} is wider than the screen"

    for path in ("/", "/sign-in/?next=/account/", "/password/forgotten/", "/nowhere/"):
        check(path)
    page.goto("/sign-up/")
    page.get_by_label("Username").fill("a@b")
    page.get_by_label("E-mail address").fill("reader@example.org")
    page.get_by_label("Password", exact=True).fill("12345678")
    page.get_by_label("Password confirmation").fill("12345678")
    page.locator("main").get_by_role("button", name="Sign up").click()
    expect(page.get_by_text("A username has no “@” in it.")).to_be_visible()
    check()
    page.get_by_label("Username").fill(f"reader-{scheme}")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password confirmation").fill(PASSWORD)
    page.locator("main").get_by_role("button", name="Sign up").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    for path in ("/account/", "/account/password/"):
        check(path)


def test_the_keyboard_is_enough(page):
    """The first Tab offers to skip what is on every page."""
    page.goto("/")
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
