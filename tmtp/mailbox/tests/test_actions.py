"""What members do with threads, one or many: archive, star, mute, mark as read or unread, delete, and undo each."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from tmtp.mailbox import actions, index, listing, search, sending, trash
from tmtp.mailbox.models import Entry, Mailbox, Thread
from tmtp.mailbox.unread import unread
from tmtp.messaging import send_message
from tmtp.models import Report
from tmtp.services.messages.recall import recall
from tmtp.signals import housekeeping

from .mailboxes import entries, letter, member, received, threads

pytestmark = pytest.mark.django_db


@pytest.fixture
def chess(ann, bob):
    """A thread of two messages by Bob. Return its first msgid."""
    first = letter(bob, "bob the second", "Chess", "Tonight?", ann.user)
    letter(bob, "bob the second", "", "At eight", ann.user, thread=first)
    return first


def listed(node, name=""):
    """Return the subjects of a list."""
    assert index.catch_up(node)
    return [thread.subject for thread in listing.part(node, name).threads]


def do(node, action, *which):
    """Do something with these threads, or with all."""
    return actions.act(node, action, [thread.pk for thread in which or threads(node)])


def state(node):
    """Return what actions can change."""
    marks = Thread.objects.filter(node=node).order_by("pk")
    counts = marks.values_list("archived", "starred", "muted", "messages", "unread", "latest", "sent", "deleted")
    read = Entry.objects.filter(node=node).order_by("number").values_list("number", "read", "deleted")
    return list(counts), [(number, when is not None, gone is not None) for number, when, gone in read]


# archive, star, mute


def test_an_archived_thread_returns_with_a_new_message(ann, bob, chess):
    do(ann, actions.ARCHIVE)
    assert (listed(ann), listed(ann, "archived"), unread(ann.account)) == ([], ["Chess"], 0)
    letter(bob, "bob the second", "", "Well?", ann.user, thread=chess)
    assert (listed(ann), listed(ann, "archived"), unread(ann.account)) == (["Chess"], [], 1)


def test_a_muted_thread_stays_archived_and_is_not_counted(ann, bob, chess):
    do(ann, actions.MUTE)
    assert (listed(ann), unread(ann.account), listed(ann, "unread")) == (["Chess"], 0, [])
    do(ann, actions.ARCHIVE)
    letter(bob, "bob the second", "", "Well?", ann.user, thread=chess)
    assert (listed(ann), listed(ann, "archived"), unread(ann.account)) == ([], ["Chess"], 0)


def test_the_member_s_own_answer_does_not_bring_a_thread_back(ann, bob, chess):
    do(ann, actions.ARCHIVE)
    (thread,) = threads(ann)
    sending.reply(ann, thread, sending.alias_in(ann, thread, sending.aliases(ann.user)), "Yes")
    assert (listed(ann), listed(ann, "sent")) == ([], ["Chess"])


def test_older_messages_that_are_indexed_later_do_not_bring_a_thread_back(ann, bob, chess, monkeypatch):
    monkeypatch.setattr(index, "LATE", 0)
    monkeypatch.setattr(index, "AT_ONCE", 1)
    monkeypatch.setattr(index, "PATIENCE", -1)
    assert not index.catch_up(ann)
    actions.act(ann, actions.ARCHIVE, Thread.objects.values_list("pk", flat=True))
    while not index.catch_up(ann):
        pass
    assert (listed(ann), listed(ann, "archived")) == ([], ["Chess"])


def test_a_star_is_a_list_of_its_own(ann, chess, bob):
    letter(bob, "bob", "Other", "text", ann.user)
    other, the = threads(ann)
    do(ann, actions.STAR, the)
    do(ann, actions.ARCHIVE, the, other)
    assert (listed(ann, "starred"), listed(ann, "archived")) == (["Chess"], ["Other", "Chess"])


@pytest.mark.parametrize("action", [actions.ARCHIVE, actions.STAR, actions.MUTE])
def test_the_search_finds_what_is_put_away(ann, chess, action):
    do(ann, action)
    assert [entry.thread.subject for entry in search.entries_with(ann.pk, "tonight")] == ["Chess"]


# delete and restore


def test_deleted_messages_are_kept_and_not_acknowledged(ann, chess):
    do(ann, actions.DELETE)
    assert (listed(ann), listed(ann, "deleted"), unread(ann.account)) == ([], ["Chess"], 0)
    assert not search.entries_with(ann.pk, "tonight")
    assert len(received(ann)) == 2
    do(ann, actions.RESTORE)
    assert (listed(ann), listed(ann, "deleted"), unread(ann.account)) == (["Chess"], [], 1)


@pytest.mark.once
def test_a_new_message_in_a_deleted_thread_is_alone_in_the_inbox(ann, bob, chess):
    do(ann, actions.DELETE)
    letter(bob, "bob the second", "", "Well?", ann.user, thread=chess)
    (thread,) = threads(ann)
    assert (thread.messages, thread.unread, listed(ann), listed(ann, "deleted")) == (1, 1, ["Chess"], ["Chess"])


def test_deleting_for_good_acknowledges(ann):
    (msgid,) = send_message(ann.account, "Gone", "some words")
    send_message(ann.account, "Kept", "some words")
    kept, gone = threads(ann)
    do(ann, actions.DELETE, gone)
    report = Report.objects.get(message_id=int(msgid, 16), node=ann)
    assert report.acknowledged is None
    assert trash.delete_for_good(ann) == 1
    report.refresh_from_db()
    assert report.acknowledged is not None
    assert [thread.subject for thread in threads(ann)] == [kept.subject]
    assert [message.subject for message in received(ann)] == ["Kept"]


def test_deleted_messages_go_after_thirty_days(ann, bob, chess):
    letter(bob, "bob", "Other", "text", ann.user)
    _other, the = threads(ann)
    do(ann, actions.DELETE)
    Entry.objects.filter(thread=the).update(deleted=timezone.now() - trash.KEPT - timedelta(minutes=1))
    housekeeping.send(None)
    assert trash.purge() == 0
    assert listed(ann, "deleted") == ["Other"]
    assert [message.subject for message in received(ann)] == ["Other"]


def test_a_deleted_message_can_be_recalled(ann, django_capture_on_commit_callbacks):
    (msgid,) = send_message(ann.account, "Mistake", "text")
    threads(ann)
    do(ann, actions.DELETE)
    recall(msgid)
    Mailbox.objects.update(checked=None)
    assert listed(ann, "deleted") == []
    assert not Thread.objects.filter(node=ann).exists()


# undo


@pytest.mark.parametrize("action", [action for action in actions.ACTIONS if action != actions.RESTORE])
@pytest.mark.parametrize("prepared", [(), (actions.READ,), (actions.STAR, actions.MUTE, actions.ARCHIVE)])
def test_each_action_can_be_undone(ann, bob, chess, action, prepared):
    letter(bob, "bob", "Other", "text", ann.user)
    other, _the = threads(ann)
    actions.act(ann, actions.READ, [other.pk])  # what has been done before is not undone
    for one in prepared:
        do(ann, one)
    before = state(ann)
    done = do(ann, action)
    letter(bob, "bob", "New", "text", ann.user)
    assert len(threads(ann)) == 3
    assert actions.undo(ann, done) == len(done.threads)
    index.delete(ann, [entries(ann)[-1].number])
    assert state(ann) == before


def test_what_arrives_before_undo_stays_as_it_is(ann, bob, chess):
    actions.act(ann, actions.READ, [threads(ann)[0].pk])
    done = do(ann, actions.UNREAD)
    letter(bob, "bob the second", "", "Well?", ann.user, thread=chess)
    index.catch_up(ann)
    actions.undo(ann, done)
    assert threads(ann)[0].unread == 1


def test_nobody_changes_another_s_threads(ann, bob, chess):
    _account, carl = member()
    threads(ann)
    before = state(ann)
    everything = list(Thread.objects.values_list("pk", flat=True))
    for action in actions.ACTIONS:
        done = actions.act(carl, action, everything)
        assert done.threads == ()
        assert actions.undo(carl, actions.Done(action, tuple(everything), done.at)) == 0
    assert state(ann) == before


# pages


def post(browser, name, fields, **options):
    return browser.post(reverse(f"tmtp_mailbox:{name}"), fields, **options)


def hidden(html):
    """Return the fields of the form with the button Undo."""
    form = re.search(r'<form class="undo".*?</form>', html, re.DOTALL)[0]
    return {name: unescape(value) for name, value in re.findall(r'name="(\w+)" value="(.*?)"', form)}


def test_selected_threads_are_archived_and_undone_without_javascript(browser, ann, bob, chess):
    letter(bob, "bob", "Other", "text", ann.user)
    pks = [thread.pk for thread in threads(ann)]
    answer = post(browser, "act", {"action": "archive", "thread": pks, "to": 1}, follow=True)
    assert answer.redirect_chain == [(reverse("tmtp_mailbox:mailbox") + "?to=1", 302)]
    assert "2 threads archived." in answer.text
    assert listed(ann) == []
    answer = post(browser, "undo", hidden(answer.text), follow=True)
    assert "Undone." in answer.text
    assert listed(ann) == ["Other", "Chess"]


@pytest.mark.once
def test_a_script_gets_the_list_and_what_was_done(browser, ann, chess):
    (thread,) = threads(ann)
    fields = {"action": "star", "thread": thread.pk, "show": "unread"}
    answer = post(browser, "act", fields, headers={"HX-Request": "true"})
    assert "1 thread starred." in answer.text
    assert 'aria-label="starred"' in answer.text
    answer = post(browser, "undo", hidden(answer.text), headers={"HX-Request": "true"})
    assert 'aria-label="starred"' not in answer.text


@pytest.mark.once
@pytest.mark.parametrize(("action", "stays"), [("star", True), ("mute", True), ("archive", False), ("delete", False)])
def test_the_page_of_a_thread_acts_on_it(browser, ann, chess, action, stays):
    (thread,) = threads(ann)
    answer = post(browser, "act", {"action": action, "thread": thread.pk, "here": thread.pk, "show": "starred"})
    where = reverse("tmtp_mailbox:thread", args=[thread.pk]) if stays else "/mailbox/?show=starred"
    assert answer["Location"] == where


@pytest.mark.once
@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"action": "archive"}, "Select threads first."),
        ({"action": "archive", "thread": ["x", "", "-1", "9" * 40]}, "Select threads first."),
        ({"action": "archive", "thread": "7000000"}, "Nothing has changed."),
    ],
)
def test_what_cannot_be_done_is_said(browser, fields, said):
    assert said in post(browser, "act", fields, follow=True).text


@pytest.mark.parametrize("fields", [{}, {"action": "x"}, {"action": "x", "at": "2026-01-01"}, {"action": "star"}])
def test_a_form_of_nobody_is_not_found(browser, fields):
    assert post(browser, "undo", fields).status_code == 404
    assert "at" in fields or post(browser, "act", {**fields, "action": "x"}).status_code == 404


@pytest.mark.once
@given(st.text(), st.text(), st.text())
def test_any_form_gets_an_answer(action, threads_given, at):
    from tmtp.mailbox.views.acting import _numbers

    assert all(0 < number < 2**63 for number in _numbers(threads_given.split(",")))


def test_a_page_shows_all_that_has_been_loaded(browser, ann, bob, monkeypatch):
    monkeypatch.setattr(listing, "AT_ONCE", 2)
    for place in range(5):
        letter(bob, "bob", f"No {place}", "text", ann.user)
    found = threads(ann)
    url = reverse("tmtp_mailbox:mailbox")
    more = browser.get(f"{url}?more=1&before={found[1].latest}", headers={"HX-Request": "true"})
    assert [f"No {place}" in more.text for place in range(5)] == [False, True, True, False, False]
    assert more["HX-Replace-Url"] == f"{url}?to={found[3].latest}"
    shown = browser.get(more["HX-Replace-Url"])
    assert [row.thread.subject for row in shown.context["rows"]] == ["No 4", "No 3", "No 2", "No 1"]
    assert "loaded=2" in more.text
    monkeypatch.setattr(listing, "MOST", 3)
    most = browser.get(f"{url}?more=1&loaded=2&before={found[1].latest}", headers={"HX-Request": "true"})
    assert ("Show more" in most.text, "hx-get" in most.text) == (True, False)
    assert len(browser.get(more["HX-Replace-Url"]).context["rows"]) == 3


def test_a_long_thread_shows_all_that_has_been_loaded(browser, ann, bob, monkeypatch):
    monkeypatch.setattr("tmtp.mailbox.conversation.AT_ONCE", 2)
    first = letter(bob, "bob", "Long", "text 0", ann.user)
    msgids = [first] + [letter(bob, "bob", "", f"text {place}", ann.user, thread=first) for place in range(1, 5)]
    url = reverse("tmtp_mailbox:thread", args=[threads(ann)[0].pk])
    more = browser.get(f"{url}?more=1&before={int(msgids[3], 16)}", headers={"HX-Request": "true"})
    assert [f"text {place}" in more.text for place in range(5)] == [False, True, True, False, False]
    assert more["HX-Replace-Url"] == f"{url}?since={int(msgids[1], 16)}"
    shown = browser.get(more["HX-Replace-Url"]).text
    assert [f"text {place}" in shown for place in range(5)] == [False, True, True, True, True]


def test_shortcuts_are_turned_off_and_on(browser, ann, chess):
    url = reverse("tmtp_mailbox:mailbox")
    assert "<dialog" in browser.get(url).text
    assert "are off" in post(browser, "shortcuts", {"shortcuts": "off"}, follow=True).text
    assert "<dialog" not in browser.get(url).text
    post(browser, "shortcuts", {"shortcuts": "on"})
    assert "<dialog" in browser.get(url).text


# speed


@pytest.mark.once
@pytest.mark.parametrize("name", listing.LISTS)
def test_each_list_has_an_index(ann, name):
    """PostgreSQL prefers to read a small table, so this is the plan of SQLite. docs/how-to/mailbox.md has figures."""
    if connection.vendor != "sqlite":
        pytest.skip("the plan of SQLite")
    queries = []
    with connection.execute_wrapper(lambda do, sql, *rest: (queries.append((sql, rest[0])), do(sql, *rest))[1]):
        listing.part(ann, name)
    sql, params = queries[0]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}", params)
        plan = " ".join(row[3] for row in cursor.fetchall())
    assert "SCAN" not in plan
    if name not in ("groups", "pings"):
        assert f"INDEX tmtp_mailbox_thread_{name or 'inbox'}" in plan
    if not listing.LISTS[name].searched:
        assert "TEMP B-TREE" not in plan
