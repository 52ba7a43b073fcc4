"""Nobody can write in another's name, or join a thread in which they do not take part."""

from __future__ import annotations

import json

import pytest
from django.urls import reverse

from tmtp.mailbox import index, sending
from tmtp.mailbox.models import Thread
from tmtp.protocol.values import parse_msgid
from tmtp.services.groups import groups
from tmtp.services.messages import posting
from tmtp.services.messages.posts import Notification, Post
from tmtp.services.messages.sending import send_message
from tmtp.services.people.site import site_alias, site_user
from tmtp.tests.people import someone, to, unique

from .mailboxes import entries, letter, octets, person, sender_of, threads

pytestmark = pytest.mark.django_db


@pytest.fixture
def mallory():
    return someone("mallory the first")


def page_of(browser, thread):
    return browser.get(reverse("tmtp_mailbox:thread", args=[thread.pk])).content.decode()


@pytest.mark.parametrize("together", [True, False])
def test_nobody_joins_a_thread_of_the_site(browser, ann, bob, mallory, together):
    site = site_alias(site_user())
    msgid = send_message([ann.account, mallory.uid], "Your account", "No problems.", together=together)[0]
    letter(mallory, site, "", "please confirm your password at https://evil.example", ann.user, thread=msgid)
    genuine, other = threads(ann)[::-1]
    assert (genuine.subject, genuine.messages, genuine.from_site) == ("Your account", 1, True)
    assert (other.subject, other.messages, other.from_site, other.people) == ("", 1, False, ["mallory the first"])
    assert "please confirm" not in page_of(browser, genuine)
    shown = page_of(browser, other)
    assert "mallory the first" in shown and site not in shown and "this website" not in shown
    assert "this website" in page_of(browser, genuine)


@pytest.mark.once
def test_nobody_joins_a_thread_of_the_site_whose_beginning_went_elsewhere(ann, mallory):
    """As when the member had no mailbox yet."""
    msgid = send_message([mallory.uid], "Your account", "No problems.")[0]
    send_message(ann.account, "Your account", "One thing more.", thread=msgid)
    letter(mallory, "mallory the first", "", "please confirm your password", ann.user, thread=msgid)
    assert [(thread.messages, thread.from_site) for thread in threads(ann)] == [(1, False), (1, True)]


def test_who_is_added_may_write_at_once(ann, bob, mallory):
    """Even if they had tried before, and all of this is read together."""
    root = letter(bob, "bob the second", "Chess", "Tuesday?", ann.user)
    notice(mallory, root, mallory, ann)
    notice(bob, root, mallory, ann)
    letter(mallory, "mallory the first", "", "yes", ann.user, thread=root)
    assert [thread.messages for thread in threads(ann)] == [2]


@pytest.mark.parametrize(
    "head", [b'{"cc":' + b"[" * 50_000 + b"]" * 50_000 + b"}", b"{" * 300_000, b'{"subject":"\\udc00"}', b"\xff" * 9]
)
def test_a_head_that_makes_no_sense_closes_no_mailbox(browser, ann, mallory, head):
    octets(mallory, head + b"the text", len(head), ann.user)
    (thread,) = threads(ann)
    assert browser.get(reverse("tmtp_mailbox:mailbox")).status_code == 200
    shown = page_of(browser, thread)
    assert "mallory the first" in shown and "the text" in shown


def test_very_many_readers(browser, ann, mallory):
    """More than databases take in one statement."""
    for letters in "abcdef":
        cc = [{"who": f"{letters}{place}", "whouid": f"{letters}{place}"} for place in range(1000)]
        head = json.dumps({"alias": "mallory the first", "cc": cc * 2}).encode()
        octets(mallory, head + b"text", len(head), ann.user)
    assert len(threads(ann)) == 6
    assert "mallory the first" in page_of(browser, threads(ann)[0])


def test_a_receipt_between_programs_is_no_message(ann, bob):
    """It says that another message was read."""
    head = json.dumps({"alias": "bob the second", "confirmid": "0123456789abcdef"}).encode()
    octets(bob, head, len(head), ann.user)
    octets(bob, head + b"But it has a text", len(head), ann.user)
    assert [entry.kind for entry in entries(ann)] == ["delivery"]


def test_the_site_goes_on_in_its_own_thread(ann):
    msgid = send_message(ann.account, "Your order", "Thank you.")[0]
    send_message(ann.account, "Your order", "It has left.", thread=msgid)
    assert [thread.messages for thread in threads(ann)] == [2]


@pytest.mark.once
def test_who_takes_part_in_a_members_thread(ann, bob, mallory):
    """Its author, its readers, the member, and those whom one of these adds."""
    carl, dora = someone("carl the third"), someone("dora the fifth")
    me = sender_of(ann)
    readers = [person(bob, "bob the second"), person(me, "ann the first"), person(carl, "carl the third")]
    root = letter(bob, "bob the second", "Chess", "Tuesday?", ann.user, readers=readers)
    for one, alias in ((carl, "carl the third"), (bob, "bob the second"), (me, "ann the first")):
        letter(one, alias, "", "yes", ann.user, thread=root)
    letter(mallory, "bob the second", "", "no", ann.user, thread=root)
    letter(dora, "dora the fifth", "", "I", ann.user, thread=root)
    assert [(thread.messages, thread.people) for thread in threads(ann)] == [
        (1, ["dora the fifth"]),
        (1, ["mallory the first"]),
        (4, ["bob the second", "carl the third"]),
    ]
    notice(mallory, root, mallory, ann)  # only a participant can add others
    letter(mallory, "mallory the first", "", "no", ann.user, thread=root)
    assert threads(ann)[0].people == ["mallory the first"]
    notice(carl, root, dora, ann)
    letter(dora, "dora the fifth", "", "now I may", ann.user, thread=root)
    assert threads(ann)[0].messages == 5


def notice(sender, thread, added, ann):
    """Post what a client posts to forward a thread: a notification that names new participants."""
    note = json.dumps({"threadid": thread, "cc": [{"who": "x", "whouid": added.uid}]}).encode()
    head = json.dumps({"threadid": thread}).encode()
    body = Post(sender, to(added), head + b"thread", len(head))
    body.notification = Notification(to(ann.user), note, len(note), 0, True)
    (number,) = posting.post([body])
    assert isinstance(number, int)


def test_members_of_a_group_take_part_in_its_threads(ann, bob, mallory):
    gid, carl = unique("group no "), someone("carl the third")
    groups.create(bob, gid, "bob the second")
    groups.invite(bob, gid, "bob the second", "carl the third")
    cc = [{"who": gid, "whouid": gid}]
    head = json.dumps({"threadid": "", "alias": "bob the second", "subject": "Group", "cc": cc}).encode()
    root = octets(bob, head + b"text", len(head), ann.user)
    letter(carl, "carl the third", "", "yes", ann.user, thread=root)
    letter(mallory, "mallory the first", "", "yes", ann.user, thread=root)
    assert {thread.key: thread.messages for thread in threads(ann)}[root] == 2


@pytest.mark.once
def test_replies_go_to_those_whose_names_are_shown(browser, ann, bob, mallory):
    cc = [
        {"who": "bob the second", "whouid": mallory.uid, "by": "ann the first", "byuid": ann.user.uid},
        {"who": "ann the first", "whouid": ann.user.uid},
    ]
    head = json.dumps({"threadid": "", "alias": "bob the second", "subject": "Hello", "cc": cc}).encode()
    octets(mallory, head + b"text", len(head), ann.user)
    (thread,) = threads(ann)
    readers = sending.readers_of(ann, thread)
    assert [(reader.alias, reader.uid) for reader in readers.users] == [("mallory the first", mallory.uid)]
    shown = page_of(browser, thread)
    assert "mallory the first" in shown and "bob the second" not in shown


@pytest.mark.once
def test_what_a_sender_claims_is_made_harmless(browser, ann, mallory):
    files = [("inv\u202egpj.exe", b"x")]
    letter(mallory, "mallory the first", "Re\u202ede \u2066txt", "text", ann.user, files=files)
    letter(mallory, "mallory the first", "\u3164\u200b", "text", ann.user)
    empty, thread = threads(ann)
    assert (thread.subject, empty.subject) == ("Rede txt", "")
    assert "invgpj.exe" in page_of(browser, thread)
    assert "(no subject)" in page_of(browser, empty)
    for path in ("tmtp_mailbox:mailbox", "tmtp_mailbox:thread"):
        shown = browser.get(reverse(path, args=[thread.pk] if path.endswith("thread") else [])).content.decode()
        assert not set("\u202e\u2066\u3164\u200b") & set(shown)


def test_a_thread_keeps_its_participants_when_its_beginning_is_deleted(ann, bob, mallory):
    root = letter(bob, "bob the second", "Chess", "Tuesday?", ann.user)
    letter(bob, "bob the second", "", "Or Friday?", ann.user, thread=root)
    entries(ann)
    index.delete(ann, [parse_msgid(root)])
    letter(mallory, "mallory the first", "", "no", ann.user, thread=root)
    assert sorted(Thread.objects.filter(node=ann).values_list("messages", flat=True)) == [1]
    assert [thread.people for thread in threads(ann)] == [["mallory the first"], ["bob the second"]]


# requests that are sent again


def test_a_correction_of_equal_length_is_sent(ann, bob):
    once = "the key of a form"
    reader = sending.Readers([person(bob, "bob the second")])

    def write(alias="ann the first", subject="Chess", text="12 May", files=(("a.txt", "12 May"),), to_=reader):
        return sending.write(ann, alias, to_, subject, text, files=files, once=once)[0]

    first = write()
    assert write() == first
    changed = [
        write(text="13 May"),
        write(subject="Chest"),
        write(files=[("a.txt", "13 May")]),
        write(files=[("b.txt", "12 May")]),
        write(alias=ann.user.uid),
        write(to_=sending.Readers([person(someone(), "bob the second")])),
    ]
    assert len({first, *changed}) == 7
