"""The index of a mailbox: how it is built from the queue, and that it stays in step with it."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from tmtp.mailbox import actions, index, search
from tmtp.mailbox.models import Entry, Mailbox, Thread
from tmtp.mailbox.polling import QueueChanges
from tmtp.models import QueueEntry, Report
from tmtp.services.groups import groups
from tmtp.services.messages import posting, recall
from tmtp.services.messages.posts import Notification, Post
from tmtp.services.messages.sending import send_message
from tmtp.services.people import actors
from tmtp.services.people.users import add_alias
from tmtp.services.queue.queue import Outgoing, acknowledge, publish
from tmtp.tests.people import own, to, unique

from .mailboxes import entries, kept_back, letter, member, octets, received, sender_of, subjects, threads

pytestmark = pytest.mark.django_db
NORMAL = QueueEntry.Rank.NORMAL


def found(node, text, *fields):
    """Return the subjects of the threads in which a search finds messages."""
    assert index.catch_up(node)
    entries = search.entries_with(node.pk, text, fields or search.FIELDS)
    return [entry.thread.subject for entry in entries.select_related("thread")]


def kept_words():
    """Return how many entries have words in the database's full-text index."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT count(*) FROM tmtp_mailbox_entry WHERE words IS NOT NULL")
        else:
            columns = "fts5vocab(main, tmtp_mailbox_words, instance)"
            cursor.execute(f"CREATE VIRTUAL TABLE IF NOT EXISTS temp.kept USING {columns}")
            cursor.execute("SELECT count(DISTINCT doc) FROM temp.kept")
        return cursor.fetchone()[0]


# threads


def test_messages_with_one_threadid_are_one_thread(ann, bob):
    first = letter(bob, "bob the second", "Chess", "Tonight?", ann.user)
    letter(bob, "bob the second", "Other", "Something else", ann.user)
    letter(bob, "bob the second", "", "At eight", ann.user, thread=first)
    chess, other = threads(ann)
    assert (chess.subject, chess.messages, chess.unread, chess.people) == ("Chess", 2, 2, ["bob the second"])
    assert (other.subject, other.messages, other.unread) == ("Other", 1, 1)


def test_an_answer_that_comes_before_its_question_is_in_its_thread(ann, bob):
    """A member gets a message of an older thread, and then the rest of the thread."""
    first = letter(bob, "bob the second", "Chess", "Tonight?", bob)
    letter(bob, "bob the second", "Re: Chess", "At eight", ann.user, thread=first)
    assert [(one.key, one.subject) for one in threads(ann)] == [(first, "Re: Chess")]


@pytest.mark.parametrize("thread", ["ffffffffffffffff", "group:of nobody", "0", "x" * 5000, "\0"])
def test_a_thread_that_cannot_be_is_the_message_s_own(ann, bob, thread):
    msgid = letter(bob, "bob", "Odd", "text", ann.user, thread=thread)
    assert [one.key for one in threads(ann)] == [msgid]


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"\xff\xfe", b"[1]", b'{"subject": 7, "alias": ["x"]}', b'{"subject": "a\\u0000b"}']
)
def test_no_head_stops_the_mailbox(ann, bob, body):
    octets(bob, body + b"text\0", len(body), ann.user)
    (thread,) = threads(ann)
    assert thread.messages == 1
    assert "\0" not in thread.subject


def test_what_the_member_wrote_is_read(ann, bob):
    (number,) = posting.post([Post(sender_of(ann), to(bob, sender_of(ann)), b"{}text", 2)])
    (entry,) = entries(ann)
    assert entry.number == number
    assert entry.read is not None
    assert threads(ann)[0].unread == 0


def test_pings_with_one_person_are_one_thread(ann, bob):
    posting.ping(bob, "bob the second", "ann the first", b"Hello?")
    posting.ping(actors.Sender(ann.user.uid, ann.user_id), "ann the first", "bob the second", b"Yes?")
    (thread,) = threads(ann)
    assert thread.key == f"ping:{bob.uid}"
    assert (thread.messages, thread.unread, thread.people) == (2, 1, ["bob the second"])


def test_what_happens_in_a_group_is_one_thread_without_noise(ann, bob):
    gid = unique("circle of no ")
    groups.invite(bob, gid, "bob the second", "ann the first", b"Do join")
    groups.join(sender_of(ann), gid)
    (thread,) = threads(ann)
    assert thread.key == f"group:{gid}"
    assert [entry.kind for entry in entries(ann)] == ["invite", "member"]
    assert thread.unread == 1  # the invitation; the message that somebody joined does not count as unread


def test_what_says_nothing_to_a_person_is_acknowledged(ann, bob):
    note = Notification([], b"{}note", notehead=2)
    head = json.dumps({"nodesync": True}).encode()
    posting.post([Post(bob, to(ann.user), b"{}text", 2, notification=note)])
    octets(bob, head, len(head), ann.user)
    assert [entry.kind for entry in entries(ann)] == ["delivery"]
    assert [message.op for message in received(ann)] == ["delivery"]


# new messages, and those that are gone


def test_nothing_is_done_twice(ann, bob, django_assert_num_queries):
    letter(bob, "bob", "One", "text", ann.user)
    assert subjects(ann) == ["One"]
    with django_assert_num_queries(2):
        assert index.catch_up(ann)


def test_a_lower_number_that_commits_later_is_taken_in(ann, bob):
    with kept_back(ann, letter(bob, "bob", "First", "text", ann.user)):
        letter(bob, "bob", "Second", "text", ann.user)
        assert subjects(ann) == ["Second"]
    assert subjects(ann) == ["Second", "First"]


def test_what_is_much_older_is_found_when_all_is_compared(ann, bob, monkeypatch):
    """For example, messages that waited at another node."""
    monkeypatch.setattr(index, "LATE", 0)
    with kept_back(ann, letter(bob, "bob", "First", "text", ann.user)):
        letter(bob, "bob", "Second", "text", ann.user)
        assert subjects(ann) == ["Second"]
    assert subjects(ann) == ["Second"]
    Mailbox.objects.update(checked=timezone.now() - timedelta(hours=1))
    assert subjects(ann) == ["Second", "First"]


def test_a_large_mailbox_is_indexed_little_by_little_the_newest_first(ann, bob, monkeypatch):
    monkeypatch.setattr(index, "AT_ONCE", 3)
    monkeypatch.setattr(index, "PATIENCE", -1)
    for place in range(8):
        letter(bob, "bob", f"No {place}", "text", ann.user)

    def subjects_now():
        return list(Thread.objects.filter(node=ann).order_by("-latest").values_list("subject", flat=True))

    assert not index.catch_up(ann)
    assert subjects_now() == ["No 7", "No 6", "No 5"]
    letter(bob, "bob", "No 8", "text", ann.user)
    while not index.catch_up(ann):
        pass
    assert index.catch_up(ann)
    assert subjects_now() == [f"No {place}" for place in range(8, -1, -1)]


def test_what_is_recalled_is_forgotten_with_its_words(ann, django_capture_on_commit_callbacks):
    (msgid,) = send_message(ann.account, "Mistake", "never mind")
    send_message(ann.account, "Right", "do mind")
    assert found(ann, "mind") == ["Right", "Mistake"]
    recall.recall(msgid)
    Mailbox.objects.update(checked=None)
    assert subjects(ann) == ["Right"]
    assert found(ann, "mind") == ["Right"]
    assert kept_words() == 1


def test_deleting_acknowledges_and_leaves_nothing(ann, bob):
    letter(bob, "bob", "Gone", "some words", ann.user)
    kept = letter(bob, "bob", "Kept", "some words", ann.user)
    (number, _) = [entry.number for entry in entries(ann)]
    index.delete(ann, [number])
    assert [message.msgid for message in received(ann)] == [kept]
    assert found(ann, "some words") == ["Kept"]
    assert kept_words() == 1
    assert subjects(ann) == ["Kept"]


def test_another_s_messages_cannot_be_deleted(ann, bob):
    _account, carl = member()
    letter(bob, "bob", "Mine", "text", ann.user)
    (entry,) = entries(ann)
    index.delete(carl, [entry.number])
    assert subjects(ann) == ["Mine"]
    assert len(received(ann)) == 1


def test_reading_is_reported(ann):
    (msgid,) = send_message(ann.account, "Read me", "text")
    (entry,) = entries(ann)
    actions.mark_read(ann, [entry.number])
    report = Report.objects.get(message_id=int(msgid, 16), node=ann)
    assert report.read is not None
    assert threads(ann)[0].unread == 0
    assert Entry.objects.get(pk=entry.pk).read is not None


def test_a_device_s_acknowledgment_is_the_device_s(ann, bob):
    """The mailbox keeps a message that all devices have acknowledged."""
    letter(bob, "bob", "Mine", "text", ann.user)
    for node in set(own(sender_of(ann))) - {ann.pk}:
        acknowledge([(node, NORMAL, entries(ann)[0].number)])
    assert subjects(ann) == ["Mine"]


# search


def test_search(ann, bob):
    letter(bob, "bob the second", "Schachabend", "Wir spielen im Café, um acht_uhr", ann.user)
    letter(bob, "bob the second", "會議", "明天上午開會", ann.user)
    add_alias(bob, "robert of rome")
    letter(bob, "robert of rome", "Numbers", "12345 and x7", ann.user)
    assert found(ann, "schach") == ["Schachabend"]
    assert found(ann, "CAFE spielen") == ["Schachabend"]
    assert found(ann, "uhr") == ["Schachabend"]
    assert found(ann, "spiel abend") == []
    assert found(ann, "上午") == ["會議"]
    assert found(ann, "123") == ["Numbers"]
    assert found(ann, "bob", "people") == ["會議", "Schachabend"]
    assert found(ann, "bob", "text") == []
    assert found(ann, "numbers", "subject") == ["Numbers"]
    assert found(ann, "numbers", "text") == []


@pytest.mark.parametrize("text", ["", "  ", "'", '"', "* OR NOT", "a & b | !c", "box", "\0", "NEAR(", ":" * 300, "%_"])
def test_anything_can_be_searched_for(ann, bob, text):
    letter(bob, "bob", "Quiet", "nothing of the kind", ann.user)
    assert found(ann, text) == []


def test_search_finds_the_member_s_own_messages_alone(ann, bob):
    _account, carl = member()
    letter(bob, "bob", "For Carl", "secret", carl.user)
    letter(bob, "bob", "For Ann", "secret", ann.user)
    assert found(carl, "secret") == ["For Carl"]
    assert found(ann, "secret") == ["For Ann"]
    assert found(ann, f"box{carl.pk}") == []


@pytest.mark.once
def test_without_a_full_text_index_subjects_and_names_are_searched(ann, bob, monkeypatch):
    monkeypatch.setattr(search, "is_there", lambda: False)
    letter(bob, "bob the second", "Chess tonight", "some words", ann.user)
    assert found(ann, "chess") == found(ann, "second") == ["Chess tonight"]
    assert found(ann, "some words") == []


# news


def test_a_look_says_which_mailboxes_have_changed(ann, bob, monkeypatch):
    _account, carl = member()
    monkeypatch.setattr("tmtp.mailbox.polling.others_wrote", lambda seen: (seen, True))
    look = QueueChanges()
    assert look.changed([ann.pk]) == [ann.pk]  # a message may have arrived since its page was rendered
    assert look.changed([ann.pk]) == []
    letter(bob, "bob", "News", "text", ann.user)
    assert look.changed([ann.pk]) == [ann.pk]
    assert look.changed([ann.pk]) == []
    assert look.changed([ann.pk, carl.pk]) == [carl.pk]
    letter(bob, "bob", "News", "text", carl.user)
    assert look.changed([ann.pk, carl.pk]) == [carl.pk]
    index.delete(ann, [entry.number for entry in entries(ann)])
    assert look.changed([ann.pk, carl.pk]) == [ann.pk]


def test_a_message_that_comes_while_another_goes_is_news(ann, bob, monkeypatch):
    """As many wait as before, and the newest one is the same."""
    monkeypatch.setattr("tmtp.mailbox.polling.others_wrote", lambda seen: (seen, True))
    look = QueueChanges()
    letter(bob, "bob", "First", "text", ann.user)
    late = posting.numbers.next()
    letter(bob, "bob", "Newest", "text", ann.user)
    look.changed([ann.pk])
    index.catch_up(ann)
    index.delete(ann, [entry.number for entry in entries(ann) if entry.subject == "First"])
    monkeypatch.setattr(posting.numbers, "next", lambda: late)
    letter(bob, "bob", "Late", "text", ann.user)
    assert look.changed([ann.pk]) == [ann.pk]
    assert look.changed([ann.pk]) == []


def test_a_post_to_many_is_news_when_its_message_is_there(ann, bob, monkeypatch):
    """Its entries are written before its message (services.messages.fanout)."""
    monkeypatch.setattr("tmtp.mailbox.polling.others_wrote", lambda seen: (seen, True))
    look = QueueChanges()
    look.changed([ann.pk])
    number = posting.numbers.next()
    letter(bob, "bob", "Meanwhile", "text", ann.user)
    assert look.changed([ann.pk]) == [ann.pk]
    QueueEntry.objects.create(node=ann, rank=NORMAL, message_id=number)
    assert look.changed([ann.pk]) == []
    assert subjects(ann) == ["Meanwhile"]
    outgoing = Outgoing("delivery", bob.uid, bob.user, [ann.pk], {"datahead": 2}, b"{}text", number=number)
    publish([outgoing], None)
    assert look.changed([ann.pk]) == [ann.pk]
    assert subjects(ann) == ["Meanwhile", ""]


def test_nothing_is_missed_when_a_look_begins_to_count_anew(ann, bob, monkeypatch):
    monkeypatch.setattr("tmtp.mailbox.polling.others_wrote", lambda seen: (seen, True))
    monkeypatch.setattr("tmtp.mailbox.polling.REBASE_SECONDS", -1)
    look = QueueChanges()
    look.changed([ann.pk])
    for _ in range(3):
        letter(bob, "bob", "News", "text", ann.user)
        assert look.changed([ann.pk]) == [ann.pk]
        assert look.changed([ann.pk]) == []
