"""The pages of the mailbox: who sees what, reading, invitations, deleting, search."""

from __future__ import annotations

import re

import pytest

from tmtp.mailbox.models import Entry, Thread
from tmtp.mailbox.positions import end_of
from tmtp.mailbox.unread import unread
from tmtp.models import Member, Message, QueueEntry, Report
from tmtp.services.groups import groups
from tmtp.services.messages.fanout import LATE
from tmtp.services.messages.recall import recall
from tmtp.services.messages.sending import send_message
from tmtp.tests.people import forget, unique, waiting

from .mailboxes import kept_back, letter, member, page, received, threads, url

pytestmark = pytest.mark.django_db


# access


@pytest.mark.parametrize("name", ["mailbox", "search", "compose", "ping"])
def test_who_is_not_signed_in_is_asked_to(client, name):
    answer = client.get(url(name))
    assert answer.status_code == 302
    assert answer["Location"].endswith(f"?next={url(name)}")


def test_an_open_page_of_who_has_signed_out_is_loaded_again(client):
    answer = client.get(url("mailbox"), headers={"HX-Request": "true"})
    assert answer["HX-Refresh"] == "true"
    assert answer.content == b""


@pytest.mark.once
def test_another_member_s_messages_are_not_there(client, ann, bob):
    msgid = letter(bob, "bob", "For Ann", "text", ann.user, files=[("a.txt", "content")])
    (thread,) = threads(ann)
    other, _node = member()
    client.force_login(other)
    for name, *args in (
        ("thread", thread.pk),
        ("thread_delete", thread.pk),
        ("message", msgid),
        ("message_text", msgid),
        ("attachment", msgid, 0),
    ):
        assert client.get(url(name, *args)).status_code == 404, name
    for name, *args in (
        ("thread", thread.pk),
        ("thread_delete", thread.pk),
        ("message_delete", msgid),
        ("invitation_accept", msgid),
        ("invitation_decline", msgid),
    ):
        assert client.post(url(name, *args), {"text": "mine"}).status_code == 404, name
    assert len(received(ann)) == 1


@pytest.mark.parametrize("msgid", ["x", "ffffffffffffffff", "0000000000000001", "7" * 40])
def test_an_address_that_leads_nowhere(browser, msgid):
    assert browser.get(url("message", msgid)).status_code == 404
    assert browser.get(url("attachment", msgid, 0)).status_code == 404


@pytest.mark.parametrize("number", ["x", "-1", "9" * 30, "", "¹"])
def test_a_place_that_is_none(browser, ann, bob, number):
    letter(bob, "bob", "Here", "text", ann.user)
    assert "Here" in page(browser, "mailbox", query=f"?before={number}")


# reading


def test_an_empty_mailbox_says_what_to_do(browser):
    shown = page(browser, "mailbox")
    assert "No messages in the inbox" in shown
    assert url("compose") in shown


def test_threads_newest_first_a_page_at_a_time(browser, ann, bob, monkeypatch):
    monkeypatch.setattr("tmtp.mailbox.listing.AT_ONCE", 2)
    for place in range(5):
        letter(bob, "bob", f"No {place}", "text", ann.user)
    shown, query = [], ""
    while query is not None:
        answer = browser.get(url("mailbox", query=query))
        shown.append([row.thread.subject for row in answer.context["rows"]])
        query = f"?before={answer.context['next']}" if answer.context["next"] else None
    assert shown == [["No 4", "No 3"], ["No 2", "No 1"], ["No 0"]]


def test_a_page_costs_the_same_however_much_is_on_it(browser, ann, bob, django_assert_max_num_queries):
    for place in range(35):
        letter(bob, "bob", f"No {place}", "text", ann.user)
    page(browser, "mailbox")
    with django_assert_max_num_queries(10):
        page(browser, "mailbox")
    first = letter(bob, "bob", "Long", "text", ann.user)
    for _ in range(35):
        letter(bob, "bob", "", "text", ann.user, thread=first)
    thread = threads(ann)[0]
    with django_assert_max_num_queries(27):
        page(browser, "thread", thread.pk)


def test_a_script_gets_the_part_of_the_page_that_it_shows(browser, ann, bob):
    letter(bob, "bob", "New", "text", ann.user)
    part = page(browser, "mailbox", headers={"HX-Request": "true"})
    assert "New" in part
    assert "<html" not in part


@pytest.mark.once
def test_opening_a_thread_reads_it(browser, ann):
    (msgid,) = send_message(ann.account, "Read me", "Some *text*")
    (thread,) = threads(ann)
    assert '<li class="row unread"' in page(browser, "mailbox")
    assert "<title>(1) Mailbox" in page(browser, "mailbox")
    assert unread(ann.account) == 1
    assert "Some <em>text</em>" in page(browser, "thread", thread.pk)
    assert '<li class="row unread"' not in page(browser, "mailbox")
    assert "<title>Mailbox" in page(browser, "mailbox")
    assert unread(ann.account) == 0
    assert Report.objects.get(message_id=int(msgid, 16), node=ann).read is not None


@pytest.mark.once
def test_what_is_in_a_text_stays_a_text(browser, ann, bob):
    letter(bob, "<b>bob</b>", "<i>subject", "<script>x</script> ![p](https://far/p.png) [l](javascript:x)", ann.user)
    (thread,) = threads(ann)
    for shown in (page(browser, "thread", thread.pk), page(browser, "mailbox"), page(browser, "search", query="?q=x")):
        body = shown.split("<main")[1]
        assert not [tag for tag in ("<script", "<img", "<i>", "<b>", 'href="javascript', " style=") if tag in body]


@pytest.mark.once
def test_a_long_thread_begins_with_its_end(browser, ann, bob, monkeypatch):
    monkeypatch.setattr("tmtp.mailbox.conversation.AT_ONCE", 2)
    first = letter(bob, "bob", "Long", "text 0", ann.user)
    msgids = [first] + [letter(bob, "bob", "", f"text {place}", ann.user, thread=first) for place in range(1, 5)]
    (thread,) = threads(ann)
    shown = page(browser, "thread", thread.pk)
    assert ["text 2" in shown, "text 3" in shown, "text 4" in shown] == [False, True, True]
    earlier = page(browser, "thread", thread.pk, query=f"?before={int(msgids[3], 16)}")
    assert ["text 1" in earlier, "text 2" in earlier, "text 3" in earlier] == [True, True, False]
    assert "newest" in earlier
    lead = browser.get(url("message", msgids[1]))
    assert "text 1" in browser.get(lead["Location"].split("#")[0]).text


def test_what_comes_while_a_thread_is_open_is_added(browser, ann, bob):
    first = letter(bob, "bob", "Open", "text 0", ann.user)
    (thread,) = threads(ann)
    after = url("thread", thread.pk, query=f"?after={end_of(ann)}")
    assert browser.get(after).status_code == 204
    with kept_back(ann, letter(bob, "bob", "", "text 1", ann.user, thread=first)):
        letter(bob, "bob", "", "text 2", ann.user, thread=first)
        news = browser.get(after).text
        assert [text in news for text in ("text 0", "text 1", "text 2")] == [False, False, True]
        after = live(news)
        assert browser.get(after).status_code == 204
    news = browser.get(after).text
    assert [text in news for text in ("text 0", "text 1", "text 2")] == [False, True, False]
    assert browser.get(live(news)).status_code == 204
    assert threads(ann)[0].unread == 1  # the first one, which has not been opened


@pytest.mark.once
def test_many_messages_that_come_at_once_are_all_added(browser, ann, bob, monkeypatch):
    monkeypatch.setattr("tmtp.mailbox.conversation.AT_ONCE", 2)
    first = letter(bob, "bob", "Open", "text 0", ann.user)
    (thread,) = threads(ann)
    after = url("thread", thread.pk, query=f"?after={end_of(ann)}")
    taken_back = [letter(bob, "bob", "", "mistake", ann.user, thread=first) for _ in range(2)]
    for place in range(1, 4):
        letter(bob, "bob", "", f"text {place}", ann.user, thread=first)
    assert threads(ann)[0].messages == 6
    QueueEntry.objects.filter(node=ann, message_id__in=[int(msgid, 16) for msgid in taken_back]).delete()
    news = browser.get(after).text
    assert [text in news for text in ("mistake", "text 1", "text 2", "text 3")] == [False, True, True, False]
    assert "from:body, load" in news  # the page asks for the rest at once
    rest = browser.get(live(news)).text
    assert "text 3" in rest
    assert ", load" not in rest


@pytest.mark.once
def test_a_message_that_is_committed_late_makes_no_older_ones_new(browser, ann, bob):
    first = letter(bob, "bob", "Open", "text 0", ann.user)
    (thread,) = threads(ann)
    after = url("thread", thread.pk, query=f"?after={end_of(ann)}")
    letter(bob, "bob", "", "late", ann.user, thread=first)
    threads(ann)
    _date_back(Entry.objects.order_by("pk").last(), LATE // 2)
    after = live(browser.get(after).text)
    letter(bob, "bob", "", "old", ann.user, thread=first)
    threads(ann)
    _date_back(Entry.objects.order_by("pk").last(), LATE + LATE // 4)
    assert browser.get(after).status_code == 204


def _date_back(entry, nanoseconds):
    """Let a message have been numbered before."""
    before, after = entry.number, entry.number - nanoseconds
    Message.objects.filter(id=before).update(id=after)
    QueueEntry.objects.filter(message_id=before).update(message_id=after)
    Entry.objects.filter(pk=entry.pk).update(number=after)


def live(page):
    """Return the URL from which an open page gets what comes after it."""
    (path,) = re.findall(r'data-live hx-get="([^"]+)"', page)
    return path


@pytest.mark.once
@pytest.mark.parametrize("after", ["0", "1-", "-1", "x-1", "9" * 30 + "-1", "1-2-3", ""])
def test_a_thread_after_a_position_that_is_none_is_the_page(browser, ann, bob, after):
    letter(bob, "bob", "Open", "text 0", ann.user)
    (thread,) = threads(ann)
    assert "<main" in page(browser, "thread", thread.pk, query=f"?after={after}")


def test_a_thread_that_was_taken_back_is_said_to_be_gone(browser, ann):
    (msgid,) = send_message(ann.account, "Mistake", "text")
    (thread,) = threads(ann)
    recall(msgid)
    answer = browser.get(url("thread", thread.pk), follow=True)
    assert "These messages have been deleted" in answer.text
    assert "Mistake" not in answer.text
    assert not Thread.objects.filter(pk=thread.pk).exists()


# invitations


@pytest.fixture
def invitation(ann, bob):
    gid = unique("circle of no ")
    number = groups.invite(bob, gid, "bob the second", "ann the first", b"Do join")
    forget(bob.node)
    (thread,) = threads(ann)
    return f"{number:016x}", gid, thread


@pytest.mark.once
def test_an_invitation_is_accepted(browser, ann, bob, invitation):
    msgid, gid, thread = invitation
    shown = page(browser, "thread", thread.pk)
    assert "Do join" in shown
    assert "Accept" in shown
    answer = browser.post(url("invitation_accept", msgid), follow=True)
    assert "You are a member of this group." in answer.text
    assert "ann the first joined." in answer.text
    assert Member.objects.get(user=ann.user, group__gid=gid).status == Member.Status.JOINED
    assert [(message["op"], message["act"]) for message in waiting(bob)] == [("member", "join")]


@pytest.mark.once
def test_an_invitation_is_declined_and_nobody_told(browser, ann, bob, invitation):
    msgid, gid, _thread = invitation
    answer = browser.post(url("invitation_decline", msgid), follow=True)
    assert "Nobody is told" in answer.text
    assert received(ann) == []
    assert waiting(bob) == []
    assert Member.objects.get(user=ann.user, group__gid=gid).status == Member.Status.INVITED


def test_an_invitation_that_is_no_longer_good_says_so(browser, ann, bob, invitation):
    msgid, gid, thread = invitation
    groups.drop(bob, gid, "ann the first")
    assert "no longer valid" in page(browser, "thread", thread.pk)
    answer = browser.post(url("invitation_accept", msgid), follow=True)
    assert f"You are not invited to “{gid}”." in answer.text


# deleting


def test_deleting_keeps_messages_until_they_are_deleted_for_good(browser, ann, bob):
    first = letter(bob, "bob", "Chess", "text 0", ann.user)
    second = letter(bob, "bob", "", "text 1", ann.user, thread=first)
    (thread,) = threads(ann)
    assert browser.post(url("message_delete", second))["Location"] == url("thread", thread.pk)
    assert "text 1" not in page(browser, "thread", thread.pk)
    assert browser.post(url("message_delete", first))["Location"] == url("mailbox")
    assert len(received(ann)) == 2
    assert "Chess" in page(browser, "mailbox", query="?show=deleted")
    shown = page(browser, "thread", thread.pk, query="?show=deleted")
    assert ["text 0" in shown, "text 1" in shown] == [True, True]
    assert "for good?" in page(browser, "thread_delete", thread.pk)
    assert len(received(ann)) == 2
    assert browser.post(url("thread_delete", thread.pk))["Location"] == url("mailbox") + "?show=deleted"
    assert received(ann) == []
    assert not Entry.objects.filter(node=ann).exists()


# search


def test_search_leads_to_the_message(browser, ann, bob):
    first = letter(bob, "bob the second", "Chess", "Bring the clock", ann.user)
    letter(bob, "bob the second", "Other", "Bring nothing", ann.user)
    shown = page(browser, "search", query="?q=clock")
    assert url("message", first) in shown
    assert "Other" not in shown
    assert "No results" in page(browser, "search", query="?q=clock&where=people")
    assert "Search for words in subjects" in page(browser, "search")
    assert "Other" in page(browser, "search", query="?q=bob&where=everywhere")


def test_search_a_page_at_a_time(browser, ann, bob, monkeypatch):
    monkeypatch.setattr("tmtp.mailbox.views.reading.AT_ONCE", 2)
    for place in range(3):
        letter(bob, "bob", f"No {place}", "text & more", ann.user)
    shown = page(browser, "search", query="?q=text+more")
    assert ["No 0" in shown, "No 1" in shown, "No 2" in shown] == [False, True, True]
    (older,) = [link.split('"')[0] for link in shown.split('href="') if "before=" in link]
    assert "No 0" in browser.get(url("search") + older.replace("&amp;", "&")).text
