"""The lists of threads and of search results: a line of text in each row, filters, marking as unread."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from tmtp.mailbox import sending
from tmtp.mailbox.preview import SHOWN_MAX, around, as_line
from tmtp.mailbox.templatetags.tmtp_mailbox import moment
from tmtp.services.messages.recall import recall
from tmtp.services.messages.sending import send_message
from tmtp.tests.people import unique
from tmtp.web.time_zone import COOKIE, readers_zone

from .mailboxes import group, member, sender_of, threads

NOON = int(datetime(2026, 7, 1, 12, tzinfo=UTC).timestamp()) * 10**9

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann():
    """Return the mailbox of Ann."""
    _, node = member(unique("ann the reader "))
    return node


@pytest.fixture
def browser(client, ann):
    client.force_login(ann.user.account)
    return client


def rows(browser, query="", name="mailbox"):
    """Return the (subject, text) of each row of a list."""
    page = browser.get(reverse(f"tmtp_mailbox:{name}") + query).text
    found = re.findall(r'<li class="row.*?</li>', page, re.DOTALL)
    texts = [re.search(r'class="preview" dir="auto">(.*?)</div>', row, re.DOTALL) for row in found]
    return [
        (re.sub("<.*?>", "", re.search(r"<a.*?</a>", row, re.DOTALL)[0]), text[1] if text else "")
        for row, text in zip(found, texts, strict=True)
    ]


@pytest.mark.once
def test_a_row_shows_the_beginning_of_the_newest_message(browser, ann):
    (first,) = send_message(ann.user.account, "Tonight", "Chess at *eight*?\n\n> quoted & <b>bold</b>")
    assert rows(browser) == [("Tonight", "Chess at eight? quoted &amp; &lt;b&gt;bold&lt;/b&gt;")]
    send_message(ann.user.account, "Tonight", "Bring the clock", thread=first)
    assert rows(browser) == [("Tonight", "Bring the clock")]


def test_what_was_found_is_shown_with_the_text_around_it(browser, ann):
    send_message(ann.user.account, "Minutes", "word " * 60 + "then the **Café** closed. " + "more " * 60)
    ((subject, text),) = rows(browser, "?q=cafe", "search")
    assert subject == "Minutes"
    assert text.startswith("… word")
    assert "then the Café closed." in text
    assert len(text) < SHOWN_MAX + 10


def test_a_filter_shows_its_threads_only(browser, ann):
    _, bob = member(unique("bob the writer "))
    gid = group(sender_of(ann), sender_of(bob))
    (alias,), (to,) = sending.aliases(bob.user), sending.aliases(ann.user)
    sending.write(bob, alias, sending.named([to]), "To you", "text")
    sending.write(bob, alias, sending.named([gid]), "To the group", "text")
    sending.ping(bob, alias, to, "hello")
    assert len(rows(browser)) == 3
    assert [subject for subject, _ in rows(browser, "?show=groups")] == ["To the group"]
    assert [text for _, text in rows(browser, "?show=pings")] == ["hello"]
    browser.get(reverse("tmtp_mailbox:thread", args=[threads(ann)[0].pk]))  # the ping
    assert [subject for subject, _ in rows(browser, "?show=unread")] == ["To the group", "To you"]
    assert len(rows(browser, "?show=nonsense")) == 3


@pytest.mark.once
def test_a_thread_can_be_marked_as_unread(browser, ann):
    send_message(ann.user.account, "Later", "text")
    (thread,) = threads(ann)
    browser.get(reverse("tmtp_mailbox:thread", args=[thread.pk]))
    assert rows(browser, "?show=unread") == []
    answer = browser.post(reverse("tmtp_mailbox:act"), {"action": "unread", "thread": thread.pk, "here": thread.pk})
    assert answer.url == reverse("tmtp_mailbox:mailbox")
    assert rows(browser, "?show=unread") == [("Later", "text")]


@pytest.mark.once
def test_a_recalled_message_shows_no_text(browser, ann):
    (msgid,) = send_message(ann.user.account, "Wrong", "secret words")
    assert rows(browser) == [("Wrong", "secret words")]
    recall(msgid)
    assert "secret words" not in browser.get(reverse("tmtp_mailbox:mailbox")).text


@pytest.mark.parametrize(
    ("cookie", "hour"),
    [("", "noon"), ("Asia/Tokyo", "9 p.m."), ("../nowhere", "noon"), ("America/New_York", "8 a.m.")],
)
def test_times_are_in_the_readers_zone(rf, settings, cookie, hour):
    settings.USE_TZ, settings.TIME_ZONE = True, "UTC"
    request = rf.get("/")
    request.COOKIES[COOKIE] = quote(cookie, safe="")
    with readers_zone(request):
        assert hour in moment(NOON)
    assert "noon" in moment(NOON)


@pytest.mark.once
@given(st.text(), st.text(max_size=20))
def test_any_text_becomes_a_short_line(text, wanted):
    line = around(as_line(text), wanted)
    assert len(line) <= SHOWN_MAX + 3
    assert "\n" not in line
