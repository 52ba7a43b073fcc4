"""Drafts: nothing that was typed or uploaded is lost, sent twice, or overwritten unseen."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone

from tmtp.mailbox import drafts
from tmtp.mailbox.drafts import Content, Version
from tmtp.mailbox.models import Draft, DraftFile
from tmtp.services.errors import Refused
from tmtp.services.messages import spool_sweeping
from tmtp.services.storage import spool
from tmtp.signals import housekeeping

from .mailboxes import letter, member, person, received, threads

pytestmark = pytest.mark.django_db

HELLO = Content("bob the second", "", "Chess", "On *Friday*?")
LARGE = b"x" * (spool.INLINE_OCTETS + 1)


def url(name, *args):
    return reverse(f"tmtp_mailbox:{name}", args=args)


def refusal(code, act, *args):
    with pytest.raises(Refused) as refused:
        act(*args)
    assert refused.value.code == code


def add(node, draft, content=b"octets", name="notes.txt"):
    return drafts.add_file(node, draft, name, len(content), [content])


def form(**fields):
    return {"to": "bob the second", "subject": "Chess", "text": "On *Friday*?", "once": "page", **fields}


def spooled():
    return {file.name for file in drafts.conf.spool_dir.glob("*/*")}


# saving


def test_a_page_saves_again_and_again_and_another_page_overwrites_only_what_it_has_seen(ann):
    first = drafts.save(ann, HELLO, Version(editor="one"))
    again = drafts.save(ann, Content(text="On Saturday"), Version(first.pk, first.revision, "one"))
    assert (again.pk, again.text) == (first.pk, "On Saturday")
    drafts.save(ann, Content(text="On Sunday"), Version(first.pk, first.revision, "one"))  # its answer was lost

    refusal("draft_changed", drafts.save, ann, HELLO, Version(first.pk, first.revision, "two"))
    assert Draft.objects.get().text == "On Sunday"
    there = drafts.newest(ann, Version(first.pk))
    drafts.save(ann, Content(text="On Monday"), Version(there.pk, there.revision, "two"))
    refusal("draft_changed", drafts.save, ann, HELLO, Version(first.pk, 1, "one"))
    refusal("draft_changed", drafts.save, ann, HELLO, Version(first.pk, there.revision, ""))
    assert Draft.objects.get().text == "On Monday"


def test_a_draft_that_was_deleted_elsewhere_is_created_again(ann):
    draft = drafts.save(ann, HELLO, Version(editor="one"))
    drafts.delete(ann, draft.pk)
    assert drafts.save(ann, HELLO, Version(draft.pk, 1, "one")).text == HELLO.text
    # a page whose first save was not answered saves again, and makes no second draft
    assert drafts.save(ann, Content(text="More"), Version(editor="one")).text == "More"
    assert Draft.objects.count() == 1


def test_a_thread_has_one_draft(ann):
    draft = drafts.save(ann, Content(text="Yes"), Version(editor="one"), "key")
    refusal("draft_changed", drafts.save, ann, Content(text="No"), Version(editor="two"), "key")
    assert drafts.of_thread(ann, "key") == draft


@pytest.mark.once
def test_drafts_and_files_are_limited(ann, settings):
    settings.TMTP = {**settings.TMTP, "LIMITS": {"drafts_per_user": 2, "draft_octets_per_user": 10}}
    draft = drafts.save(ann, HELLO, Version())
    other = drafts.save(ann, HELLO, Version())
    refusal("too_many_drafts", drafts.save, ann, HELLO, Version())
    add(ann, draft, b"123456")
    refusal("drafts_too_large", add, ann, other, b"12345")
    kept = add(ann, other, b"1234")
    drafts.remove_file(other, kept.pk)
    add(ann, other, b"1234")
    settings.TMTP = {**settings.TMTP, "LIMITS": None, "MAX_BODY": 10}
    refusal("message_too_large", add, ann, draft, b"12345")


def test_a_large_file_is_in_the_spool_until_it_is_not_needed(ann, django_capture_on_commit_callbacks):
    spool_sweeping.sweep(older_than=-1)  # what other tests have left there
    before = spooled()
    draft = drafts.save(ann, HELLO, Version())
    file = add(ann, draft, LARGE)
    assert b"".join(drafts.pieces_of(file)) == LARGE
    spool_sweeping.sweep(older_than=-1)
    assert file.spool in spooled()
    with django_capture_on_commit_callbacks(execute=True):
        drafts.delete(ann, draft.pk)
    assert spooled() == before
    refusal("draft_sent", add, ann, draft, LARGE)
    with pytest.raises(ValueError, match="octets instead of"):
        drafts.add_file(ann, drafts.save(ann, HELLO, Version()), "cut.txt", len(LARGE), [LARGE[1:]])
    assert spooled() == before


def test_old_drafts_are_deleted_by_housekeeping(ann, settings):
    old, new, sent = (drafts.save(ann, HELLO, Version()) for _ in range(3))
    add(ann, old)
    Draft.objects.filter(pk=old.pk).update(changed=timezone.now() - timedelta(days=91))
    Draft.objects.filter(pk=sent.pk).update(sent=1, changed=timezone.now() - timedelta(days=2))
    settings.TMTP = {**settings.TMTP, "DRAFTS_KEPT": None}
    housekeeping.send(None)
    assert set(Draft.objects.all()) == {old, new}
    del settings.TMTP["DRAFTS_KEPT"]
    housekeeping.send(None)
    assert list(Draft.objects.all()) == [new]
    assert not DraftFile.objects.exists()


# pages, without JavaScript


def test_save_draft_keeps_what_was_typed_and_the_files(browser, ann, bob):
    given = form(to="nobody of this name", save="", files=[SimpleUploadedFile("notes.txt", b"octets")])
    page = browser.post(url("compose"), given, follow=True)
    draft = Draft.objects.get()
    assert page.redirect_chain[-1][0] == url("draft", draft.pk)
    assert "nobody of this name" in page.text and "On *Friday*?</textarea>" in page.text and "notes.txt" in page.text
    assert "Chess" in browser.get(url("drafts")).text
    version = {"draft": draft.pk, "revision": draft.revision, "once": "another page"}
    answer = browser.post(url("draft", draft.pk), form(**version), follow=True)
    assert "Sent." in answer.text
    (message,) = received(ann)
    assert (message.text, [file.name for file in message.attachments]) == ("On *Friday*?", ["notes.txt"])
    assert not drafts.open_drafts(ann).exists() and not DraftFile.objects.exists()
    # the same form again leads to the same message, in whatever tab
    again = browser.post(url("draft", draft.pk), form(**version, text="something else"))
    assert again["Location"] == url("message", message.msgid)
    assert browser.get(url("draft", draft.pk))["Location"] == url("message", message.msgid)
    assert len(received(ann)) == 1


def test_a_button_removes_a_file(browser, ann):
    draft = drafts.save(ann, HELLO, Version())
    file = add(ann, draft)
    page = browser.post(
        url("draft", draft.pk), form(remove=file.pk, draft=draft.pk, revision=1, text="More"), follow=True
    )
    assert "notes.txt" not in page.text and "More</textarea>" in page.text


def test_two_tabs_do_not_send_or_save_over_each_other(browser, ann, bob):
    draft = drafts.save(ann, HELLO, Version())
    stale = form(draft=draft.pk, revision=0, text="Something else")
    for button in ({}, {"save": ""}):
        page = browser.post(url("draft", draft.pk), {**stale, **button})
        assert "This draft was changed in another tab" in page.text and "Something else</textarea>" in page.text
        assert f'name="revision" value="{draft.revision}"' in page.text  # so that the next attempt is deliberate
    assert received(ann) == []
    drafts.delete(ann, draft.pk)
    page = browser.post(url("compose"), stale)
    assert "This draft was deleted in another tab" in page.text
    again = re.search(r'name="draft"[^>]*', page.text)[0]
    assert "value" not in again


def test_the_draft_of_a_reply_returns_in_its_thread(browser, ann, bob):
    letter(bob, "bob the second", "Chess", "When?", ann.user, readers=[person(bob, "bob the second")])
    (the,) = threads(ann)
    page = browser.post(url("thread", the.pk), {"text": "On Friday", "save": ""}, follow=True)
    assert "On Friday</textarea>" in page.text
    draft = Draft.objects.get()
    assert browser.get(url("draft", draft.pk))["Location"] == url("thread", the.pk) + "#reply"
    sent = {"text": "On Friday", "draft": draft.pk, "revision": draft.revision}
    assert browser.post(url("thread", the.pk), sent).status_code == 302
    assert "On Friday</textarea>" not in browser.get(url("thread", the.pk)).text
    assert [message.text for message in received(ann)] == ["When?", "On Friday"]


@pytest.mark.once
def test_preview_shows_the_text_as_it_will_be_read(browser, ann):
    page = browser.post(url("compose"), form(preview=""), follow=True)
    assert "<em>Friday</em>" in page.text and "On *Friday*?</textarea>" in page.text


# what the page's script asks for


def test_a_page_saves_and_uploads_by_itself(browser, ann):
    saved = browser.post(url("draft_save"), form()).json()
    assert saved["text"].startswith("Draft saved at")
    again = browser.post(url("draft_save"), form(draft=saved["draft"], revision=saved["revision"], text="More")).json()
    assert again["revision"] == saved["revision"] + 1
    path = url("draft_file_add", saved["draft"]) + "?name=a%2Fgame.pgn"
    answer = browser.post(path, b"1. e4", content_type="application/octet-stream").json()
    file = DraftFile.objects.get()
    assert "game.pgn" in answer["row"] and answer["total"].startswith("The files have 5")
    there = browser.get(url("draft_file", saved["draft"], file.pk))
    assert b"".join(there.streaming_content) == b"1. e4"
    assert "sandbox" in there["Content-Security-Policy"] and there["Content-Type"] == "application/octet-stream"
    browser.post(url("draft_file_remove", saved["draft"], file.pk))
    assert not DraftFile.objects.exists()
    stale = browser.post(url("draft_save"), form(draft=saved["draft"], revision=1, once="other"))
    assert stale.status_code == 409
    assert (stale.json()["code"], int(stale.json()["revision"])) == ("draft_changed", again["revision"])


def test_what_is_no_number_is_no_draft(browser, ann):
    saved = browser.post(url("draft_save"), form(draft="x", revision=str(2**70)))
    assert saved.status_code == 200
    assert browser.post(url("compose"), form(draft="-1", save="", text="\0")).status_code == 302
    assert browser.post(url("draft_save"), form(once="9" * 5000)).status_code == 200


@pytest.mark.once
@pytest.mark.parametrize(
    ("kind", "octets", "status"),
    [
        ("text/plain", None, 411),
        ("text/plain", "9" * 5000, 411),
        ("multipart/form-data; boundary=x", "3", 400),
    ],
)
def test_an_upload_that_is_cut_off_or_no_file_is_refused(browser, ann, kind, octets, status):
    draft = drafts.save(ann, HELLO, Version())
    headers = {"CONTENT_LENGTH": octets or ""}
    answer = browser.generic("POST", url("draft_file_add", draft.pk), b"a=b", content_type=kind, **headers)
    assert answer.status_code == status
    assert not DraftFile.objects.exists()


@pytest.mark.once
def test_nobody_sees_or_changes_the_draft_of_another(browser, ann):
    _, other = member()
    draft = drafts.save(other, HELLO, Version())
    file = add(other, draft)
    assert browser.get(url("draft", draft.pk)).status_code == 404
    assert browser.get(url("draft_file", draft.pk, file.pk)).status_code == 404
    assert browser.post(url("draft_file_remove", draft.pk, file.pk)).status_code == 404
    assert browser.post(url("draft_file_add", draft.pk), b"x", content_type="text/plain").status_code == 404
    browser.post(url("draft_delete", draft.pk))
    browser.post(url("draft_save"), form(draft=draft.pk, revision=1, text="mine"))
    browser.post(url("compose"), form(draft=draft.pk, revision=1))
    draft.refresh_from_db()
    assert draft.text == HELLO.text and draft.sent is None
