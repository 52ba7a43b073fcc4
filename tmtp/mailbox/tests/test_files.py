"""Files and long texts of messages: they are saved, in pieces, and never shown or run."""

from __future__ import annotations

import json
import os

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.test import AsyncClient

from tmtp.services.messages.sending import send_message
from tmtp.services.storage import copies
from tmtp.tests.buckets import use_bucket
from tmtp.tests.people import someone

from .mailboxes import letter, member, octets, page, received, threads, url

pytestmark = pytest.mark.django_db


def test_a_file_is_saved_and_never_shown(browser, ann, bob):
    files = [("../../ev\\il\r\nname.html", "<script>"), ("a.bin", bytes(300_000))]
    msgid = letter(bob, "bob", "Files", "text", ann.user, files=files)
    answer = browser.get(url("attachment", msgid, 0))
    assert answer.getvalue() == b"<script>"
    assert answer["Content-Type"] == "application/octet-stream"
    assert answer["Content-Disposition"] == 'attachment; filename="ilname.html"'
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert browser.get(url("attachment", msgid, 1)).getvalue() == bytes(300_000)
    assert browser.get(url("attachment", msgid, 2)).status_code == 404


HARMFUL = {
    "a.html": b"<!doctype html><script>alert(1)</script>",
    "a.xhtml": b'<html xmlns="http://www.w3.org/1999/xhtml"><script>alert(1)</script></html>',
    "a.svg": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>',
    "a.xml": b'<?xml-stylesheet href="data:text/xsl,x" type="text/xsl"?><a/>',
    "a.pdf": b"%PDF-1.7 /OpenAction << /S /JavaScript /JS (app.alert(1)) >>",
    "a.js": b"alert(1)",
    "a.css": b"body { background: red }",
    "a.swf": b"FWS\x09",
    "a.mht": b"MIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n<script>alert(1)</script>",
    "a.txt": b"<script>alert(1)</script>",
    "a.png": b"\x89PNG\r\n\x1a\n<script>alert(1)</script>",
    "a.jpg": b"\xff\xd8\xff<html><body onload=alert(1)>",
    "a": b"\xef\xbb\xbf <html><script>alert(1)</script>",
}


@pytest.mark.once
def test_no_file_runs_in_the_sites_origin(browser, ann, bob):
    """Whatever it contains and is called: HTML, SVG, XML, PDF, scripts, and what a browser would take for these."""
    msgid = letter(bob, "bob", "Files", "<script>", ann.user, files=list(HARMFUL.items()))
    answers = [browser.get(url("attachment", msgid, place)) for place in range(len(HARMFUL))]
    assert [answer.getvalue() for answer in answers] == list(HARMFUL.values())
    for answer in [*answers, browser.get(url("message_text", msgid))]:
        assert answer["Content-Type"] == "application/octet-stream"
        assert answer["Content-Disposition"].startswith("attachment; ")
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'; sandbox"
        assert answer["Cross-Origin-Resource-Policy"] == "same-origin"


def test_names_of_files_are_theirs_to_choose_and_harm_nobody(browser, ann, bob):
    head = json.dumps(
        {"attach": [{"name": 'u:../x"; \r\nSet-Cookie: a\u202e.exe', "size": 3}, {"name": "f:form", "size": 1}]}
    ).encode()
    msgid = octets(bob, head + b"abc{", len(head), ann.user)
    answer = browser.get(url("attachment", msgid, 0))
    assert answer.getvalue() == b"abc"
    assert "\n" not in answer["Content-Disposition"]
    assert "/" not in answer["Content-Disposition"]
    assert "\u202e" not in answer["Content-Disposition"]
    assert browser.get(url("attachment", msgid, 1)).status_code == 404  # a form, which is not a file


@pytest.mark.django_db(transaction=True)
async def test_a_file_goes_out_in_pieces():
    """Under ASGI, the whole file is never in memory."""

    def send():
        account, node = member()
        return account, letter(someone(), "bob", "Big", "text", node.user, files=[("big", os.urandom(1_000_000))])

    account, msgid = await sync_to_async(send)()
    client = AsyncClient()
    await client.aforce_login(account)
    answer = await client.get(url("attachment", msgid, 0))
    pieces = [piece async for piece in answer]
    await sync_to_async(connections.close_all)()  # connections of the thread, which other tests use as well
    assert sum(map(len, pieces)) == 1_000_000
    assert max(map(len, pieces)) <= 256 * 1024


@pytest.mark.once
def test_a_long_text_is_cut_and_can_be_saved(browser, ann, bob):
    text = "word " * 20_000 + "end of it"
    msgid = letter(bob, "bob", "Long", text, ann.user)
    (thread,) = threads(ann)
    shown = page(browser, "thread", thread.pk)
    assert "end of it" not in shown
    assert url("message_text", msgid) in shown
    assert browser.get(url("message_text", msgid)).getvalue().decode() == text


def test_a_message_in_a_bucket_that_is_away_is_shown_when_it_is_back(browser, ann, settings, tmp_path, monkeypatch):
    bucket = use_bucket(settings, tmp_path, monkeypatch)
    (msgid,) = send_message(ann.account, "A photo", "See it", attachments=[("photo.jpg", bytes(100_000))])
    (message,) = received(ann)
    copies.path(message.message.spool).unlink()
    bucket.is_away = True
    assert "A photo" not in page(browser, "mailbox")
    answer = browser.get(url("attachment", msgid, 0))
    assert answer.status_code == 503
    assert "Try again" in answer.text
    bucket.is_away = False
    assert "A photo" in page(browser, "mailbox")
    assert browser.get(url("attachment", msgid, 0)).getvalue() == bytes(100_000)
