"""axe-core finds no problems on any page, light or dark, each control shows the focus, and no page is too wide.

The list of pages is compared with the site's URLs: a new page must be added in `mnmsite/tests/scene_pages.py`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.urls import URLPattern, get_resolver
from playwright.sync_api import expect

from mnmsite.tests import pseudo
from mnmsite.tests.browser import UNDRAWN, launch, pages_in, running_loop
from mnmsite.tests.people import ANNA, VISITOR
from mnmsite.tests.scene import Scene, staged_site
from mnmsite.tests.shown_text import ShownText
from tmtp.tests.axe import load_with_pages, violations
from tmtp.tests.keyboard import focus_problems

pytestmark = pytest.mark.once

NO_PAGES = {
    "leads elsewhere": "start message openid_sign_in openid_callback",
    "takes what a form sends, and leads elsewhere": "sign_out link add_address mail_again remove_address unblock "
    "group_join group_name group_invite session_end sessions_end keep_account group_role group_bar invitation_accept "
    "invitation_decline act undo message_delete group_add override_remove "
    "draft_save draft_delete draft_file_add draft_file_remove message_recall preview language",
    "a file": "message_text attachment draft_file attachment_picture attachment_pdf",
    "for scripts and browsers": "subscribe unsubscribe looking new manifest worker",
    "operations of the API": "send send_multipart list_messages get_message list_recipients recall create list_groups "
    "get_group set_rules list_members add_members remove_members set_role create_user get_user create_device "
    "remove_user openapi nothing",
    "for programs": "token oidc-connect-discovery-info jwks-info healthz readyz metrics known",
}
LOOKS = [("light", 1280), ("dark", 360)]
HEADINGS = """() => [...document.querySelectorAll("h1, [role=heading][aria-level='1']")].filter(
  (one) => one.checkVisibility({ visibilityProperty: true })).length"""


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    """Run the example site."""
    with staged_site() as staged:
        yield staged


@pytest.fixture
def undrawn(shared_chromium: Any, scene: Scene) -> Iterator[Any]:
    """Return a page of a browser that draws nothing."""
    shared, loop = shared_chromium
    with contextlib.ExitStack() as stack:
        stack.enter_context(running_loop(loop))
        browser = stack.enter_context(contextlib.closing(launch(shared.browser_type, UNDRAWN)))
        yield stack.enter_context(pages_in(browser, scene.site.url))()


def addresses(resolver: Any = None, namespace: str = "") -> Iterator[str]:
    """Return the names of all URL patterns of the site, except for those of the admin."""
    for entry in (resolver or get_resolver()).url_patterns:
        if isinstance(entry, URLPattern):
            yield f"{namespace}{entry.name}"
        elif entry.app_name != "admin":
            yield from addresses(entry, f"{entry.namespace}:" if entry.namespace else namespace)


def problems(page: Any) -> list[str]:
    """Return the problems of the open page."""
    found = []
    for scheme, width in LOOKS:
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # no colour transitions
        page.set_viewport_size({"width": width, "height": 800})
        found += [f"{scheme}: {one}" for one in violations(page, look_alone=scheme == "dark")]
        found += [f"{scheme}: {one}" for one in focus_problems(page)]
        if page.evaluate("document.documentElement.scrollWidth") > width:
            found.append(f"wider than {width}")
    if (count := page.evaluate(HEADINGS)) != 1:  # a locator of Playwright would load its own script into each page
        found.append(f"{count} headings of level 1")
    return found


def test_every_page_is_accessible(scene: Scene, undrawn: Any) -> None:
    load_with_pages(undrawn)
    found = {}
    for shown in sorted(scene.every_page(), key=lambda shown: shown.who):  # to sign in takes as long as a page
        scene.open(undrawn, shown)
        found[shown.name] = problems(undrawn)
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_answers_to_forms_are_accessible(scene: Scene, new_page: Any) -> None:
    page = new_page(base_url=scene.site.url)
    scene.sign_in(page, VISITOR)
    page.goto("/sign-up/")
    page.get_by_label("Username").fill("a@b")
    page.get_by_label("E-mail address").fill("reader@example.org")
    page.get_by_label("Password", exact=True).fill("12345678")
    page.locator("main").get_by_role("button", name="Sign up").click()
    expect(page.get_by_text("A username cannot contain “@”.")).to_be_visible()
    assert problems(page) == []

    scene.sign_in(page, ANNA)
    page.goto("/account/aliases/")
    page.get_by_label("New name").fill("short")
    page.get_by_role("button", name="Add name").click()
    expect(page.locator(".errorlist")).to_be_visible()
    assert problems(page) == []
    page.goto("/devices/new/")
    page.locator("summary").click()
    page.get_by_label("Name of the device").fill("A new one")
    page.get_by_role("button", name="Create device key").click()
    expect(page.locator("#nodeid")).to_be_visible()
    assert problems(page) == []


def test_the_list_of_pages_is_whole(scene: Scene) -> None:
    excused = {name for names in NO_PAGES.values() for name in names.split()}
    missing = {name for name in addresses() if name not in scene.pages and name.partition(":")[2] not in excused}
    assert missing == set(), "put these on in mnmsite/tests/scene_pages.py, or say in NO_PAGES why they are no pages"


def test_the_documentation_shows_every_page(scene: Scene) -> None:
    pictures = {shown.name for shown in scene.every_page()}
    there = {file.stem for file in Path("docs/images/pages").iterdir()}
    assert there == pictures, "`make screenshots` makes docs/pages.md and its pictures again"


def test_every_text_is_translated_as_a_whole(scene: Scene) -> None:
    """In a language with brackets around each text, all that is not written by people is in brackets, and once."""
    untranslated, pieces = {}, {}
    for shown in scene.every_page():
        if shown.path not in scene.rendered:
            texts = ShownText()
            texts.feed(scene.read(shown, pseudo.CODE))
            untranslated[shown.name], pieces[shown.name] = texts.untranslated, texts.pieces
    assert {name: wrong for name, wrong in untranslated.items() if wrong} == {}
    assert {name: wrong for name, wrong in pieces.items() if wrong} == {}
