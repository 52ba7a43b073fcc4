"""Files can be looked at, and never act as a page of the site. Messages are quoted."""

from __future__ import annotations

import pytest
from django.urls import reverse

from .mailboxes import letter, person, threads
from .test_pictures import encoded

pytestmark = [pytest.mark.once, pytest.mark.django_db]

FILES = [
    ("board.png", encoded("PNG")),
    ("notes.txt", b"<script>alert(1)</script> \xff"),
    ("paper.pdf", b"%PDF-1.4"),
    ("page.svg", b"<svg/>"),
    ("false.png", b"<html>"),
    ("false.pdf", b"<html>"),
]


@pytest.fixture
def msgid(ann, bob):
    readers = [person(bob, "bob the second")]
    made = letter(bob, "bob the second", "Chess", "On Friday?\n\n> no", ann.user, readers=readers, files=FILES)
    threads(ann)
    return made


def url(name, *args):
    return reverse(f"tmtp_mailbox:{name}", args=args)


def test_a_picture_is_shown_small_and_large_as_the_site_made_it(browser, ann, msgid):
    for size in ("small", "large"):
        answer = browser.get(url("attachment_picture", msgid, 0, size))
        assert (answer["Content-Type"], answer.content[8:12]) == ("image/webp", b"WEBP")
        assert "sandbox" in answer["Content-Security-Policy"] and answer["X-Content-Type-Options"] == "nosniff"
        assert answer["Cache-Control"] == "private, max-age=86400" and "Cookie" in answer["Vary"]
    assert url("attachment_picture", msgid, 0, "large") in browser.get(url("attachment_view", msgid, 0)).text
    thread = browser.get(url("thread", threads(ann)[0].pk)).text
    assert url("attachment_picture", msgid, 0, "small") in thread


def test_a_text_is_escaped(browser, msgid):
    page = browser.get(url("attachment_view", msgid, 1)).text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; �" in page and "<script>alert" not in page


def test_a_pdf_is_nothing_else(browser, msgid):
    answer = browser.get(url("attachment_pdf", msgid, 2))
    assert answer["Content-Type"] == "application/pdf" and answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"].startswith("default-src 'none'")
    assert answer["Content-Disposition"].startswith("inline")


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("attachment_view", (3,)),
        ("attachment_picture", (3, "small")),
        ("attachment_picture", (4, "small")),
        ("attachment_picture", (0, "huge")),
        ("attachment_picture", (1, "small")),
        ("attachment_pdf", (5,)),
        ("attachment_pdf", (0,)),
        ("attachment_view", (9,)),
    ],
)
def test_anything_else_can_only_be_saved(browser, msgid, name, args):
    assert browser.get(url(name, msgid, *args)).status_code == 404


def test_a_quote_is_below_what_is_written_already(browser, ann, msgid):
    (the,) = threads(ann)
    browser.post(url("thread", the.pk), {"text": "Half written", "save": ""})
    text = browser.get(url("thread", the.pk) + f"?quote={msgid}").context["form"].initial["text"]
    assert text == "Half written\n\nbob the second wrote:\n\n> On Friday?\n>\n> > no\n\n"
    assert browser.get(url("thread", the.pk) + "?quote=nonsense").status_code == 200


def test_the_preview_is_safe(browser, ann):
    answer = browser.post(url("preview"), {"text": "*a* <b>"})
    assert answer.text == "<p><em>a</em> &lt;b&gt;</p>\n"
