"""The pages of the mailbox, and the messages that a member sends from it."""

from __future__ import annotations

import asyncio
import json
import os
import re

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connections
from django.test import AsyncClient
from django.urls import reverse

from mnmsite.asgi import application
from tmtp.mailbox import polling
from tmtp.mailbox.consumers import SIGN_IN, MailboxConsumer
from tmtp.mailbox.models import Entry, Thread
from tmtp.mailbox.unread import unread
from tmtp.models import Group, Member, Report, User
from tmtp.services.groups import groups
from tmtp.services.messages import posting
from tmtp.services.messages.post_format import Person
from tmtp.services.messages.posts import Post
from tmtp.services.messages.recall import recall
from tmtp.services.messages.sending import send_message
from tmtp.services.people import privacy
from tmtp.services.people.devices import add_node
from tmtp.services.people.names import reserve
from tmtp.services.people.placeholders import mailbox_of
from tmtp.services.people.site import site_user
from tmtp.services.people.users import add_alias
from tmtp.services.storage.hints import wake
from tmtp.tests.people import forget, someone, to, unique, waiting
from tmtp.web import limits

from .mailboxes import group, letter, member, octets, person, received, sender_of, threads

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh_limits():
    limits.limits.cache_clear()
    yield
    limits.limits.cache_clear()


def url(name, *args, query=""):
    return reverse(f"tmtp_mailbox:{name}", args=args) + query


def page(browser, name, *args, query="", **options):
    answer = browser.get(url(name, *args, query=query), **options)
    assert answer.status_code == 200, answer
    return answer.text


def head_of(message):
    """Return the head of a post, parsed, and its text."""
    at = message["datahead"]
    return json.loads(message["data"][:at]), message["data"][at:].decode()


def deliveries(node):
    """Return the posts that wait for a node: (head, text) each."""
    return [head_of(message) for message in waiting(node) if message["op"] == "delivery"]


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


def test_another_member_s_messages_are_not_there(client, ann, bob):
    msgid = letter(bob, "bob", "For Ann", "text", ann.user, files=[("a.txt", "content")])
    (thread,) = threads(ann)
    other, _node = member()
    client.force_login(other)
    for name, *args in (
        ("thread", thread.pk),
        ("thread_delete", thread.pk),
        ("message", msgid),
        ("message_delete", msgid),
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
    assert "No messages yet" in shown
    assert url("compose") in shown


def test_threads_newest_first_a_page_at_a_time(browser, ann, bob, monkeypatch):
    monkeypatch.setattr("tmtp.mailbox.views.reading.AT_ONCE", 2)
    for place in range(5):
        letter(bob, "bob", f"No {place}", "text", ann.user)
    shown, query = [], ""
    while query is not None:
        answer = browser.get(url("mailbox", query=query))
        shown.append([thread.subject for thread in answer.context["threads"]])
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
    with django_assert_max_num_queries(26):
        page(browser, "thread", thread.pk)


def test_a_script_gets_the_part_of_the_page_that_it_shows(browser, ann, bob):
    letter(bob, "bob", "New", "text", ann.user)
    part = page(browser, "mailbox", headers={"HX-Request": "true"})
    assert "New" in part
    assert "<html" not in part


def test_opening_a_thread_reads_it(browser, ann):
    (msgid,) = send_message(ann.account, "Read me", "Some *text*")
    (thread,) = threads(ann)
    assert '<li class="row unread">' in page(browser, "mailbox")
    assert "<title>(1) Mailbox" in page(browser, "mailbox")
    assert unread(ann.account) == 1
    assert "Some <em>text</em>" in page(browser, "thread", thread.pk)
    assert '<li class="row unread">' not in page(browser, "mailbox")
    assert "<title>Mailbox" in page(browser, "mailbox")
    assert unread(ann.account) == 0
    assert Report.objects.get(message_id=int(msgid, 16), node=ann).read is not None


def test_what_is_in_a_text_stays_a_text(browser, ann, bob):
    letter(bob, "<b>bob</b>", "<i>subject", "<script>x</script> ![p](https://far/p.png) [l](javascript:x)", ann.user)
    (thread,) = threads(ann)
    for shown in (page(browser, "thread", thread.pk), page(browser, "mailbox"), page(browser, "search", query="?q=x")):
        body = shown.split("<main")[1]
        assert not [tag for tag in ("<script", "<img", "<i>", "<b>", 'href="javascript', " style=") if tag in body]


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
    after = f"?after={int(first, 16)}"
    assert browser.get(url("thread", thread.pk, query=after)).status_code == 204
    second = letter(bob, "bob", "", "text 1", ann.user, thread=first)
    news = page(browser, "thread", thread.pk, query=after)
    assert "text 1" in news
    assert "text 0" not in news
    assert f"?after={int(second, 16)}" in news
    assert threads(ann)[0].unread == 1  # the first one, which has not been opened


def test_a_thread_that_was_taken_back_is_said_to_be_gone(browser, ann):
    (msgid,) = send_message(ann.account, "Mistake", "text")
    (thread,) = threads(ann)
    recall(msgid)
    answer = browser.get(url("thread", thread.pk), follow=True)
    assert "These messages have been deleted" in answer.text
    assert "Mistake" not in answer.text
    assert not Thread.objects.filter(pk=thread.pk).exists()


# files


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


def test_a_long_text_is_cut_and_can_be_saved(browser, ann, bob):
    text = "word " * 20_000 + "end of it"
    msgid = letter(bob, "bob", "Long", text, ann.user)
    (thread,) = threads(ann)
    shown = page(browser, "thread", thread.pk)
    assert "end of it" not in shown
    assert url("message_text", msgid) in shown
    assert browser.get(url("message_text", msgid)).getvalue().decode() == text


# answering


def test_an_answer_goes_to_whom_the_first_message_names(browser, ann, bob):
    carl = someone("carl the third")
    readers = [person(bob, "bob the second"), person(ann.user, "ann the first"), person(carl, "carl the third")]
    readers.append(Person("nobody", "NOBODYNOBODYNOBODYNOBODYNOBODYNO"))
    msgid = letter(bob, "bob the second", "Chess", "Tonight?", ann.user, readers=readers)
    add_node(sender_of(ann), "phone")
    forget(bob.node, carl.node)
    (thread,) = threads(ann)
    assert "To bob the second, carl the third" in page(browser, "thread", thread.pk)
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


def test_who_wrote_can_be_blocked_there(browser, ann, bob):
    (msgid,) = send_message(ann.user, "Buy", "now", sender=User.objects.get(pk=bob.user))
    answer = browser.get(url("message", msgid), follow=True)
    (link,) = re.findall(r'href="([^"]*/account/block/[^"]*)"', answer.text)
    assert "Block “bob the second”?" in browser.get(link).text
    browser.post(link)
    assert "cannot be reached now" in str(posting.post([Post(bob, to(sender_of(ann)), b"more")]))


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


def test_a_member_chooses_the_name_to_write_under(browser, ann, bob):
    add_alias(sender_of(ann), "ann of the club")
    assert "ann of the club" in page(browser, "compose")
    write(browser, "bob the second", alias="ann of the club")
    write(browser, "bob the second", alias="bob the second")
    assert [head["alias"] for head, _text in deliveries(bob)] == ["ann of the club"]


def test_without_a_name_one_can_write_but_not_ping(client, bob):
    account, node = member()
    client.force_login(account)
    assert "You have no name yet" in page(client, "compose")
    write(client, "bob the second")
    assert [head["alias"] for head, _text in deliveries(bob)] == [node.user.uid]
    assert "You have no name yet" in page(client, "ping")


@pytest.mark.parametrize(("text", "sent"), [("x" * 140, True), ("x" * 141, False), ("😀" * 71, False), ("", False)])
def test_a_ping_is_short(browser, bob, text, sent):
    answer = browser.post(url("ping"), {"to": "bob the second", "text": text})
    assert (answer.status_code == 302) is sent
    assert [message["op"] for message in waiting(bob)] == ["ping"] * sent
    assert sent or 'id="id_text_error"' in answer.text


def test_a_ping_to_nobody_is_refused_beside_the_field(browser):
    answer = browser.post(url("ping"), {"to": "nobody of that name", "text": "Hello"})
    assert "No member is named “nobody of that name”." in answer.text


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


def test_people_and_groups_are_offered(browser, ann, bob):
    gid = group(bob, sender_of(ann))
    letter(bob, "bob the second", "Hello", "text", ann.user)
    threads(ann)
    shown = page(browser, "compose", query="?to=Someone&subject=About")
    assert f'<option value="{gid}">' in shown
    assert '<option value="bob the second">' in shown
    assert 'value="Someone"' in shown
    assert 'value="About"' in shown


# invitations


@pytest.fixture
def invitation(ann, bob):
    gid = unique("circle of no ")
    number = groups.invite(bob, gid, "bob the second", "ann the first", b"Do join")
    forget(bob.node)
    (thread,) = threads(ann)
    return f"{number:016x}", gid, thread


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


def test_deleting_is_asked_for_first(browser, ann, bob):
    first = letter(bob, "bob", "Chess", "text 0", ann.user)
    second = letter(bob, "bob", "", "text 1", ann.user, thread=first)
    (thread,) = threads(ann)
    assert "Delete this message?" in page(browser, "message_delete", second)
    assert "2 messages" in page(browser, "thread_delete", thread.pk)
    assert len(received(ann)) == 2
    assert browser.post(url("message_delete", second))["Location"] == url("thread", thread.pk)
    assert [one.msgid for one in received(ann)] == [first]
    assert browser.post(url("thread_delete", thread.pk))["Location"] == url("mailbox")
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


# news


@pytest.mark.once
async def test_news_are_for_pages_of_this_site():
    headers = [(b"host", b"localhost"), (b"origin", b"https://elsewhere.example")]
    socket = WebsocketCommunicator(application, "/live/mailbox", headers)
    connected, _code = await socket.connect()
    assert not connected
    await socket.disconnect()


@pytest.mark.once
async def test_a_page_of_nobody_is_told_nothing():
    socket = WebsocketCommunicator(MailboxConsumer.as_asgi(), "/live/mailbox")
    await socket.connect()
    assert await socket.receive_output() == {"type": "websocket.close", "code": SIGN_IN}
    await socket.disconnect()


@pytest.mark.once
async def test_a_hint_makes_the_next_look_come_sooner(redis_url, settings, monkeypatch):
    backend = "channels_redis.pubsub.RedisPubSubChannelLayer"
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": backend, "CONFIG": {"hosts": [redis_url]}}}
    settings.TMTP = {**settings.TMTP, "POLL": 60}
    looks = []
    monkeypatch.setattr(polling.QueueChanges, "changed", lambda self, nodes: looks.append(nodes) or nodes)
    told = asyncio.Event()
    polling.Poller.add(7, told.set)
    await told.wait()
    told.clear()
    async with asyncio.timeout(10):
        while len(looks) == 1:
            await asyncio.to_thread(wake)  # from another thread, like that of a view
            await asyncio.sleep(0.02)
        await told.wait()
    assert looks[:2] == [[7], [7]]
    polling.Poller.remove(7, told.set)
    assert not polling.Poller.running


@pytest.mark.once
async def test_one_look_is_for_all_open_pages(settings, monkeypatch):
    settings.TMTP = {**settings.TMTP, "POLL": 0.001}
    news = iter([[1, 2], [2], []])
    monkeypatch.setattr(polling.QueueChanges, "changed", lambda self, nodes: next(news, []))
    told = []
    pages = [lambda: told.append("first"), lambda: told.append("second"), lambda: told.append("other")]
    for node, page_ in zip((1, 1, 2), pages, strict=True):
        polling.Poller.add(node, page_)
    assert told == ["second"]  # a message may have arrived since its page was rendered
    while told.count("other") < 2:
        await asyncio.sleep(0.001)
    assert sorted(told) == ["first", "other", "other", "second", "second"]
    for node, page_ in zip((1, 1, 2), pages, strict=True):
        polling.Poller.remove(node, page_)
    assert not polling.Poller.running
