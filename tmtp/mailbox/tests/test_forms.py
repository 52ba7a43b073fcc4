"""The mailbox's forms: what is wrong is said beside the field, and nothing that was typed is lost."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from tmtp.tests.people import waiting

pytestmark = [pytest.mark.once, pytest.mark.django_db]


def url(name):
    return reverse(f"tmtp_mailbox:{name}")


def deliveries(node):
    """The posts that wait for a node, without their heads."""
    return [message["data"][message["datahead"] :] for message in waiting(node) if message["op"] == "delivery"]


@pytest.fixture
def strict():
    """A browser whose forms need the token against cross-site requests."""
    return Client(enforce_csrf_checks=True)


def send(strict, ann, **fields):
    """Write a message as a browser does: with the token, and the files last."""
    strict.force_login(ann.account)
    form = strict.get(url("compose"))
    token = re.search('name="csrfmiddlewaretoken" value="([^"]+)"', form.text)[1]
    files = fields.pop("files", [])
    given = {"csrfmiddlewaretoken": token, "to": "bob the second", "subject": "Subject", "text": "Text", **fields}
    return strict.post(url("compose"), {**given, "files": files})


def test_too_many_files_are_an_error_beside_the_field(strict, ann, bob):
    files = [SimpleUploadedFile(f"{place}.txt", b"octets") for place in range(101)]
    answer = send(strict, ann, text="what I wrote", files=files)
    assert answer.status_code == 200
    assert answer.context["form"].errors == {"files": ["At most 100 files can be sent at once."]}
    assert "what I wrote</textarea>" in answer.text and 'value="bob the second"' in answer.text
    assert deliveries(bob) == []
    assert send(strict, ann, files=files[:100]).status_code == 302


@pytest.mark.parametrize("text", ["x" * 3_000_000, "字" * 1_000_000])
def test_too_long_a_text_is_an_error_beside_the_field(strict, ann, bob, text):
    answer = send(strict, ann, text=text, files=[SimpleUploadedFile("a.txt", b"octets")])
    assert answer.status_code == 200
    assert "The form contains too much data." in answer.context["form"].errors["text"]
    assert list(answer.context["form"].errors) == ["text"]
    assert f"{text}</textarea>" in answer.text and 'value="Subject"' in answer.text
    assert deliveries(bob) == []


def test_too_long_a_ping_is_an_error_beside_the_field(browser, bob):
    answer = browser.post(url("ping"), {"to": "bob the second", "text": "x" * 3_000_000})
    assert "The form contains too much data." in answer.context["form"].errors["text"]
    urlencoded = urlencode({"to": "bob the second", "text": "x" * 3_000_000})
    answer = browser.post(url("ping"), urlencoded, content_type="application/x-www-form-urlencoded")
    assert list(answer.context["form"].errors) == ["text"]
    assert 'value="bob the second"' in answer.text
    fields = "&".join(f"f{place}=1" for place in range(2000))
    answer = browser.post(url("ping"), f"to=x&{fields}", content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 200 and "too many fields" in answer.text


@pytest.mark.parametrize("too_long", [False, True])
def test_a_form_without_the_token_is_refused(strict, ann, bob, too_long):
    strict.force_login(ann.account)
    fields = {"to": "bob the second", "subject": "Subject", "text": "x" * (3_000_000 if too_long else 3)}
    assert strict.post(url("compose"), fields).status_code == 403
    assert deliveries(bob) == []


def test_a_first_line_of_code_stays_code(browser, bob):
    form = {"to": "bob the second", "subject": "Subject", "text": "\r\n    code\r\n    more\r\n\r\ntext  \r\n"}
    browser.post(url("compose"), form)
    assert deliveries(bob) == [b"    code\n    more\n\ntext"]
    assert "This field is required" in browser.post(url("compose"), {**form, "text": " \n  \n "}).text


NO_NUMBERS = ["9" * 5000, str(2**63), "-1", "²", "٣"]


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_what_is_no_number_is_ignored_or_is_not_found(browser, text):
    lists = urlencode({"before": text, "to": text, "loaded": text})
    assert browser.get(f"{url('mailbox')}?{lists}").status_code == 200
    assert browser.get(f"{url('search')}?{lists}&q=chess").status_code == 200
    assert browser.post(url("act"), {"action": "archive", "thread": text, "here": text}).status_code == 302
    undone = {"action": "archive", "threads": text, "at": "0001-01-01T00:00:00+14:00"}
    assert browser.post(url("undo"), undone).status_code == 302
    assert browser.post(url("compose"), {"text": "what I wrote", "remove": text}).status_code == 302
    assert browser.post(f"{url('draft_save')}?{urlencode({'thread': text})}", {"text": "more"}).status_code == 404
