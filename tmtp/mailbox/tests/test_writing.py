"""The messages that a member sends from the mailbox: answers, new messages, pings."""

from __future__ import annotations

import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from tmtp.models import Group, User
from tmtp.services.messages import posting
from tmtp.services.messages.post_format import Person
from tmtp.services.messages.posts import Post
from tmtp.services.messages.sending import send_message
from tmtp.services.people import privacy
from tmtp.services.people.devices import add_node
from tmtp.services.people.names import reserve
from tmtp.services.people.placeholders import mailbox_of
from tmtp.services.people.site import site_user
from tmtp.services.people.users import add_alias
from tmtp.tests.people import forget, someone, to, waiting

from .mailboxes import deliveries, group, letter, member, page, person, received, sender_of, threads, url

pytestmark = pytest.mark.django_db


# answering


def test_an_answer_goes_to_whom_the_first_message_names(browser, ann, bob):
    carl = someone("carl the third")
    readers = [person(bob, "bob the second"), person(ann.user, "ann the first"), person(carl, "carl the third")]
    readers.append(Person("nobody", "NOBODYNOBODYNOBODYNOBODYNOBODYNO"))
    msgid = letter(bob, "bob the second", "Chess", "Tonight?", ann.user, readers=readers)
    add_node(sender_of(ann), "phone")
    forget(bob.node, carl.node)
    (thread,) = threads(ann)
    assert "To <bdi>bob the second, carl the third</bdi>" in page(browser, "thread", thread.pk)
    form = {"text": "Yes\r\nat eight", "files": [SimpleUploadedFile("a.txt", b"ok")]}
    answer = browser.post(url("thread", thread.pk), form)
    assert answer.status_code == 302
    for node in (bob, carl):
        ((head, text),) = deliveries(node)
        assert (head["threadid"], head["alias"], text) == (msgid, "ann the first", "Yes\nat eightok")
        assert head["attach"] == [{"name": "u:a.txt", "size": 2, "ffn": ""}]
    phone = ann.user.nodes.exclude(pk=ann.pk).get()
    assert deliveries(phone.pk)[-1][1] == "Yes\nat eightok"
    assert [one.text for one in received(ann)][-1] == "Yes\nat eight"
    shown = browser.get(answer["Location"].split("#")[0]).text
    assert "at eight" in shown
    assert "a.txt" in shown
    assert threads(ann)[0].unread == 0


def test_an_answer_to_the_site_waits_for_the_site(browser, ann):
    send_message(ann.account, "Welcome", "text")
    (thread,) = threads(ann)
    assert browser.post(url("thread", thread.pk), {"text": "Thank you"}).status_code == 302
    assert [one.text for one in received(mailbox_of(site_user()))] == ["Thank you"]


def test_an_answer_in_a_thread_whose_beginning_is_gone_goes_to_who_wrote(browser, ann, bob):
    first = letter(bob, "bob the second", "Chess", "Tonight?", bob)
    letter(bob, "bob the second", "", "At eight", ann.user, thread=first)
    forget(bob.node)
    (thread,) = threads(ann)
    browser.post(url("thread", thread.pk), {"text": "Fine"})
    assert [text for _head, text in deliveries(bob)] == ["Fine"]


def test_an_answer_in_a_group_s_thread_goes_to_the_group(browser, ann, bob):
    gid = group(bob, sender_of(ann))
    add_node(sender_of(ann), "phone")
    reader = Person(gid, gid)
    letter(bob, "bob", "All", "Hello all", ann.user, readers=[reader])
    forget(bob.node)
    (thread,) = threads(ann)
    browser.post(url("thread", thread.pk), {"text": "Hello"})
    assert [text for _head, text in deliveries(bob)] == ["Hello"]
    assert [one.text for one in received(ann)] == ["Hello all", "Hello"]


@pytest.mark.once
def test_an_empty_answer_is_refused_beside_the_field(browser, ann, bob):
    letter(bob, "bob", "Chess", "Tonight?", ann.user)
    (thread,) = threads(ann)
    answer = browser.post(url("thread", thread.pk), {"text": " "})
    assert 'id="id_text_error"' in answer.text
    assert len(received(ann)) == 1


def test_a_ping_is_answered_with_a_ping(browser, ann, bob):
    posting.ping(bob, "bob the second", "ann the first", b"Hello?")
    forget(bob.node)
    (thread,) = threads(ann)
    browser.post(url("thread", thread.pk), {"text": "Yes?"})
    (message,) = waiting(bob)
    assert (message["op"], message["alias"], message["to"]) == ("ping", "ann the first", "bob the second")
    assert message["data"] == b"Yes?"
    assert [one.text for one in received(ann)] == ["Hello?", "Yes?"]


# writing


def write(browser, to, text="text", **more):
    return browser.post(url("compose"), {"to": to, "subject": "Subject", "text": text, **more})


@pytest.mark.once
def test_a_message_to_a_name_and_a_group(browser, ann, bob):
    gid = group(bob, sender_of(ann))
    answer = write(browser, f"bob the second, {gid}")
    assert answer.status_code == 302
    (to_bob, _), (to_group, _) = deliveries(bob)
    assert [(cc["who"], cc["whouid"]) for cc in to_bob["cc"]] == [
        ("ann the first", ann.user.uid),
        ("bob the second", bob.uid),
    ]
    assert [(cc["who"], cc["whouid"]) for cc in to_group["cc"]] == [(gid, gid)]
    assert to_bob["subject"] == to_group["subject"] == "Subject"
    assert [thread.people for thread in threads(ann)] == [[gid], ["bob the second"]]
    assert browser.get(answer["Location"], follow=True).status_code == 200


def test_a_message_to_a_large_group(browser, ann, bob, monkeypatch):
    """It takes several steps (services.messages.fanout). The same form also sends a message to a user."""
    for module in ("directory", "fanout"):
        monkeypatch.setattr(f"tmtp.services.messages.{module}.AT_ONCE", 1)
    carl = someone("carl the third")
    gid = group(bob, carl, sender_of(ann))
    assert write(browser, f"{gid}, bob the second").status_code == 302
    assert len(deliveries(bob)) == 2
    assert len(deliveries(carl)) == 1
    assert [thread.people for thread in threads(ann)] == [[gid], ["bob the second"]]


def test_who_blocks_the_member_cannot_be_reached(browser, ann, bob):
    privacy.block(User.objects.get(pk=bob.user), ann.user)
    answer = write(browser, "bob the second")
    assert 'id="id_to_error"' in answer.text
    assert "“bob the second” cannot be reached at the moment." in answer.text
    assert bob.uid not in answer.text
    assert deliveries(bob) == []


@pytest.mark.once
def test_who_wrote_can_be_blocked_there(browser, ann, bob):
    (msgid,) = send_message(ann.user, "Buy", "now", sender=User.objects.get(pk=bob.user))
    answer = browser.get(url("message", msgid), follow=True)
    (link,) = re.findall(r'href="([^"]*/account/block/[^"]*)"', answer.text)
    assert "Block “bob the second”?" in browser.get(link).text
    browser.post(link)
    assert "cannot be reached now" in str(posting.post([Post(bob, to(sender_of(ann)), b"more")]))


@pytest.mark.once
def test_a_message_to_a_uid_and_to_a_name_with_a_comma(browser, bob):
    someone("carl, the third")
    assert write(browser, bob.uid).status_code == 302
    assert write(browser, "carl, the third").status_code == 302
    assert len(deliveries(bob)) == 1


def test_names_are_found_however_they_are_typed(browser, ann, bob):
    zoe = someone("zoé of rome")
    gid = group(bob, sender_of(ann))
    reserve(gid, "gid", group=Group.objects.get(gid=gid))
    wide = "".join(chr(ord(letter) + 0xFEE0) if letter.isalnum() else letter for letter in gid)
    assert write(browser, f"zoe\u0301 of rome、 {wide}，bob the second").status_code == 302
    assert [message["op"] for message in waiting(zoe) if message["op"] == "delivery"] == ["delivery"]
    assert sorted(name for thread in threads(ann) for name in thread.people) == sorted(
        [gid, "bob the second", "zoé of rome"]
    )
    assert browser.post(url("ping"), {"to": "zoe\u0301 of rome", "text": "hi"}).status_code == 302


@pytest.mark.once
@pytest.mark.parametrize(("to", "said"), [("nobody of that name", "nobody of that name"), ("bob the second, x", "x")])
def test_who_does_not_exist_is_named_beside_the_field(browser, bob, to, said):
    answer = write(browser, to)
    assert f"No member is named “{said}”." in answer.text
    assert 'aria-describedby="id_to_helptext id_to_error"' in answer.text
    assert deliveries(bob) == []
    assert 'value="Subject"' in answer.text  # the page keeps what was written


def test_a_group_that_one_is_not_in_is_refused(browser, bob):
    answer = write(browser, group(bob))
    assert "You are not a member of" in answer.text
    assert deliveries(bob) == []


def test_pressing_twice_sends_once(browser, ann, bob):
    once = browser.get(url("compose")).context["form"]["once"].value()
    first = write(browser, "bob the second", once=once)
    assert write(browser, "bob the second", once=once)["Location"] == first["Location"]
    assert len(deliveries(bob)) == 1
    write(browser, "bob the second", "other", once=once)
    assert len(deliveries(bob)) == 2
    for _ in range(2):
        browser.post(url("ping"), {"to": "bob the second", "text": "Hello", "once": once})
    assert [message["op"] for message in waiting(bob)].count("ping") == 1


@pytest.mark.once
def test_a_member_chooses_the_name_to_write_under(browser, ann, bob):
    add_alias(sender_of(ann), "ann of the club")
    assert "ann of the club" in page(browser, "compose")
    write(browser, "bob the second", alias="ann of the club")
    write(browser, "bob the second", alias="bob the second")
    assert [head["alias"] for head, _text in deliveries(bob)] == ["ann of the club"]


@pytest.mark.once
def test_without_a_name_one_can_write_but_not_ping(client, bob):
    account, node = member()
    client.force_login(account)
    assert "You have no name yet" in page(client, "compose")
    write(client, "bob the second")
    assert [head["alias"] for head, _text in deliveries(bob)] == [node.user.uid]
    assert "You have no name yet" in page(client, "ping")


@pytest.mark.once
@pytest.mark.parametrize(("text", "sent"), [("x" * 140, True), ("x" * 141, False), ("😀" * 71, False), ("", False)])
def test_a_ping_is_short(browser, bob, text, sent):
    answer = browser.post(url("ping"), {"to": "bob the second", "text": text})
    assert (answer.status_code == 302) is sent
    assert [message["op"] for message in waiting(bob)] == ["ping"] * sent
    assert sent or 'id="id_text_error"' in answer.text


def test_a_ping_to_nobody_is_refused_beside_the_field(browser):
    answer = browser.post(url("ping"), {"to": "nobody of that name", "text": "Hello"})
    assert "No member is named “nobody of that name”." in answer.text


@pytest.mark.once
def test_members_ask_for_no_more_than_devices_may(browser, bob, settings):
    settings.TMTP = {**settings.TMTP, "LIMITS": {"requests_per_user": 2}}
    for _ in range(2):
        assert write(browser, "bob the second").status_code == 302
    assert "Too many requests" in write(browser, "bob the second").text
    answer = browser.post(url("ping"), {"to": "bob the second", "text": "Hello"})
    assert "Too many requests" in answer.text
    assert [message["op"] for message in waiting(bob)] == ["delivery", "delivery"]


def test_pings_have_limits_of_their_own(browser, bob, settings):
    settings.TMTP = {**settings.TMTP, "LIMITS": {"pings_per_stranger": 1}}
    assert browser.post(url("ping"), {"to": "bob the second", "text": "Hello"}).status_code == 302
    answer = browser.post(url("ping"), {"to": "bob the second", "text": "Hello again"})
    assert "You have sent “bob the second” too many pings and invitations today." in answer.text
    assert [message["op"] for message in waiting(bob)] == ["ping"]


def test_what_is_too_large_is_refused(browser, bob, settings):
    settings.TMTP = {**settings.TMTP, "MAX_BODY": 1000}
    answer = write(browser, "bob the second", files=[SimpleUploadedFile("a", bytes(1000))])
    assert "The message is too large." in answer.text
    assert deliveries(bob) == []


@pytest.mark.once
def test_people_and_groups_are_offered(browser, ann, bob):
    gid = group(bob, sender_of(ann))
    letter(bob, "bob the second", "Hello", "text", ann.user)
    threads(ann)
    shown = page(browser, "compose", query="?to=Someone&subject=About")
    assert f'<option value="{gid}">' in shown
    assert '<option value="bob the second">' in shown
    assert 'value="Someone"' in shown
    assert 'value="About"' in shown
