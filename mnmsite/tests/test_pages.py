"""The site's pages in a real browser."""

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.once


def test_the_landing_page_in_a_browser(site, page):
    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
