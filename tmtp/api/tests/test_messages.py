"""Send messages through the API, read what became of them, recall them."""

from __future__ import annotations

import base64
import json

import pytest
from django.contrib.auth import get_user_model
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.utils import timezone

from tmtp.api.models import TokenMessage
from tmtp.messaging import send_message, user_of
from tmtp.models import Alias, Message, SentMessage
from tmtp.services.queue import reports
from tmtp.services.queue.reports import Note
from tmtp.tests.people import someone, waiting

pytestmark = pytest.mark.django_db


class Book:
    """The e-mail addresses of the site."""

    @staticmethod
    def users_by_address(addresses):
        people = {account.username: account for account in get_user_model().objects.all()}
        return {address: people[address.split("@")[0]] for address in addresses if address.split("@")[0] in people}


def send(program, **changes):
    return program.post("/messages", {"to": {"names": ["ann of rome"]}, "subject": "News", "text": "Hello", **changes})


def acknowledge(msgid, person):
    number = SentMessage.objects.get(pk=int(msgid, 16)).pk
    with transaction.atomic():
        reports.note([Note(person.node, number, timezone.now(), True)])


def test_a_message_is_sent(program):
    ann = someone("ann of rome")
    status, answer = send(program, text="Grüße 🦜 <&>")
    (msgid,) = answer["msgids"]
    assert status == 201
    (message,) = waiting(ann)
    assert message["id"] == msgid
    assert "Grüße 🦜 <&>".encode() in message["data"]
    assert TokenMessage.objects.get().token == program.token


def test_each_way_to_name_a_recipient(program, settings):
    settings.TMTP_API = {"EMAIL_ADDRESSES": f"{__name__}.Book"}
    ann, bob = someone("ann of rome"), someone("bob of rome")
    accounts = [get_user_model().objects.create(username=name) for name in ("carl", "dora")]
    _, eve = program.post("/users", {"external_id": "customer 17"})
    program.post("/groups", {"gid": "friends of rome"})
    to = {
        "names": ["ann of rome"],
        "uids": [bob.uid],
        "usernames": ["carl"],
        "emails": ["Dora@EXAMPLE.org"],
        "external_ids": ["customer 17"],
        "groups": ["friends of rome"],
    }
    status, answer = send(program, to=to)
    assert (status, len(answer["msgids"])) == (201, 6)
    assert len(waiting(ann)) == len(waiting(bob)) == 1
    uids = {user_of(account).uid for account in accounts} | {eve["uid"], ann.uid, bob.uid}
    reported = [program.get(f"/messages/{msgid}/recipients")[1]["items"] for msgid in answer["msgids"][:5]]
    assert {one["uid"] for (one,) in reported} == uids


@pytest.mark.parametrize("way", ["names", "uids", "usernames", "emails", "external_ids", "groups"])
def test_who_is_not_there_gets_nothing_and_neither_do_others(program, settings, way):
    settings.TMTP_API = {"EMAIL_ADDRESSES": f"{__name__}.Book"}
    ann = someone("ann of rome")
    for name in ("nobody@there", "\0", "\u202e", "é" * 255, "%", "' OR 1=1"):
        status, answer = send(program, to={"names": ["ann of rome"], way: [name]})
        expected = (404, "group_not_found") if way == "groups" else (422, "recipient_missing")
        assert (status, answer["code"]) == expected, name
    assert waiting(ann) == []
    assert not TokenMessage.objects.exists()


def test_recipients_need_a_site_that_allows_addresses(program, settings):
    settings.TMTP_API = {}
    status, answer = send(program, to={"emails": ["ann@example.org"]})
    assert (status, answer["code"]) == (422, "emails_off")


@pytest.mark.once
@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"to": {}}, "no_recipient"),
        ({"subject": ""}, "subject_empty"),
        ({"subject": "x\0y"}, "text_has_nul"),
        ({"text": "x\0y"}, "text_has_nul"),
        ({"key": "\0"}, "text_has_nul"),
        ({"thread": "nonsense"}, "thread_not_msgid"),
        ({"text": 7}, "request_invalid"),
        ({"to": ["ann of rome"]}, "request_invalid"),
        ({"to": {"name": ["ann of rome"]}}, "request_invalid"),
        ({"sender": "ann of rome"}, "request_invalid"),
        ({"key": "k" * 201}, "request_invalid"),
        ({"to": {"names": ["x"] * 1001}}, "request_invalid"),
        ({"to": {"names": ["x"] * 600, "uids": ["x"] * 600}}, "recipients_too_many"),
        ({"attachments": [{"name": "x", "content": "~"}]}, "request_invalid"),
        ({"attachments": [{"name": "x", "content": ""}] * 21}, "request_invalid"),
    ],
)
def test_what_cannot_be_sent(program, changes, code):
    someone("ann of rome")
    status, answer = send(program, **changes)
    assert (status, answer["code"]) == (422, code)
    if code == "request_invalid":
        assert answer["details"][0]["where"].partition(".")[0] in {*changes, "to"}
    assert not Message.objects.exists()


def test_the_same_key_sends_once(program, other):
    ann = someone("ann of rome")
    first = send(program, key="order 17")
    assert send(program, key="order 17") == first
    assert len(waiting(ann)) == 1
    assert send(other, key="order 17") != first  # the keys of programs do not meet
    assert other.get(f"/messages/{first[1]['msgids'][0]}")[0] == 404
    assert len(waiting(ann)) == 2


def test_attachments(program):
    ann = someone("ann of rome")
    files = [{"name": "../a b.txt", "content": base64.b64encode(b"\xff\0text").decode()}]
    assert send(program, attachments=files)[0] == 201
    data = waiting(ann)[0]["data"]
    assert b"\xff\0text" in data
    assert b"a b.txt" in data
    assert b".." not in data


@pytest.mark.parametrize("name", ["\0", "a\0b.txt", "\u202egpj.exe", "🦜" * 255, "..", "/", "con", " "])
def test_any_name_of_a_file_is_made_harmless(program, name):
    someone("ann of rome")
    assert send(program, attachments=[{"name": name, "content": ""}])[0] == 201


@pytest.mark.parametrize("subject", ["\n", "a\r\nb: c", "\u202e", "🦜" * 1000, " x "])
def test_any_subject_gets_an_answer(program, subject):
    someone("ann of rome")
    assert send(program, subject=subject)[0] in (201, 422)


def test_files_as_multipart(program, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000  # which is not about files
    ann = someone("ann of rome")
    message = {"to": {"names": ["ann of rome"]}, "subject": "Photo", "text": "See *this*"}
    octets = bytes(range(256)) * 1000

    def post(**fields):
        authorization = {"authorization": f"Bearer {program.secret}"}
        return program.read(program.client.post("/api/v1/messages/multipart", fields, headers=authorization))

    status, _ = post(message=json.dumps(message), attachments=[SimpleUploadedFile("photo 🦜.jpg", octets)])
    assert status == 201
    assert Message.objects.get().size > len(octets)
    assert waiting(ann)[0]["op"] == "delivery"
    status, answer = post(message=json.dumps({**message, "to": 7}), attachments=[SimpleUploadedFile("x", b"x")])
    assert (status, answer["code"]) == (422, "request_invalid")
    assert answer["details"][0]["where"] == "message.to"
    assert post(message="{", attachments=[SimpleUploadedFile("x", b"x")])[0] == 422
    assert post(message=json.dumps(message))[0] == 422
    many = [SimpleUploadedFile("x", b"x") for _ in range(21)]
    assert post(message=json.dumps(message), attachments=many)[0] == 422
    many = [SimpleUploadedFile("x", b"x") for _ in range(101)]
    assert post(message=json.dumps(message), attachments=many)[1]["code"] == "request_too_large"
    assert len(waiting(ann)) == 1


@pytest.mark.once
def test_the_report_of_a_message(program):
    people = [someone(f"member {number}") for number in range(5)]
    to = {"names": [f"member {number}" for number in range(5)]}
    (msgid,) = send(program, to=to, together=True)[1]["msgids"]
    acknowledge(msgid, people[2])
    _, message = program.get(f"/messages/{msgid}")
    assert message["recipients"] == {"queued": 4, "sent": 0, "delivered": 1, "read": 0, "undeliverable": 0}
    assert (message["msgid"], message["subject"], message["recalled"]) == (msgid, "News", None)
    found, after = [], ""
    while after is not None:
        _, answer = program.get(f"/messages/{msgid}/recipients?limit=2{after and f'&after={after}'}")
        assert len(answer["items"]) <= 2
        found += answer["items"]
        after = answer["next"]
    assert [one["uid"] for one in found] == [person.uid for person in people]
    assert [one["state"] for one in found] == ["queued", "queued", "delivered", "queued", "queued"]
    assert found[2]["devices"][0]["acknowledged"]


def test_messages_are_listed_newest_first(program, other):
    someone("ann of rome")
    msgids = [send(program, subject=f"Number {number}")[1]["msgids"][0] for number in range(3)]
    send(other)
    _, first = program.get("/messages?limit=2")
    _, second = program.get(f"/messages?limit=2&after={first['next']}")
    assert [one["msgid"] for one in first["items"] + second["items"]] == msgids[::-1]
    assert second["next"] is None


def test_a_message_is_recalled(program):
    ann = someone("ann of rome")
    (msgid,) = send(program)[1]["msgids"]
    assert program.call("POST", f"/messages/{msgid}/recall") == (200, {"taken_back": 1, "kept": 0})
    assert waiting(ann) == []
    assert program.get(f"/messages/{msgid}")[1]["recipients"]["undeliverable"] == 1


def test_messages_of_others_are_not_there(program, other):
    ann = someone("ann of rome")
    (theirs,) = send(other)[1]["msgids"]
    (sites,) = send_message(ann.uid, "Secret", "of the site")
    for msgid in (theirs, sites, theirs.upper(), "0" * 16, "x", "7" * 16, f"{theirs}%00"):
        for method, path in (("GET", ""), ("GET", "/recipients"), ("POST", "/recall")):
            status, answer = program.call(method, f"/messages/{msgid}{path}")
            assert (status, answer["code"]) == (404, "message_not_found")
    assert len(waiting(ann)) == 2


def test_whoever_blocks_the_sender_is_not_reached(program, monkeypatch):
    """The code of any refusal is in the answer, and nothing is sent."""
    someone("ann of rome")

    def full(*_):
        from tmtp.services.errors import Refused

        raise Refused("disk_full")

    monkeypatch.setattr("tmtp.services.messages.sending.room.check", full)
    status, answer = send(program)
    assert (status, answer["code"]) == (503, "disk_full")


def test_a_failure_is_an_answer_without_details(program, monkeypatch, caplog):
    someone("ann of rome")
    monkeypatch.setattr("tmtp.api.routes.messages.send_message", lambda *_, **__: 1 / 0)
    status, answer = send(program)
    assert (status, answer["code"]) == (500, "server_failed")
    assert "division" not in json.dumps(answer)
    assert "ZeroDivisionError" in caplog.text


FILE = {"name": "a.txt", "content": base64.b64encode(b"abc").decode()}


@pytest.mark.parametrize(
    "other_request",
    [
        {"text": "Another"},
        {"subject": "Another"},
        {"to": {"names": ["bob of rome"]}},
        {"to": {"names": ["ann of rome", "bob of rome"]}},
        {"to": {"names": ["nobody at all"]}},
        {"together": True},
        {"thread": "0123456789abcdef"},
        {"attachments": []},
        {"attachments": [FILE, FILE]},
        {"attachments": [{**FILE, "name": "b.txt"}]},
        {"attachments": [{**FILE, "content": base64.b64encode(b"abd").decode()}]},
    ],
)
def test_a_key_of_another_request_is_refused(program, other_request):
    ann = someone("ann of rome")
    someone("bob of rome")
    first = send(program, key="order 17", attachments=[FILE])
    status, answer = send(program, **{"key": "order 17", "attachments": [FILE], **other_request})
    assert (status, answer["code"]) == (422, "key_reused")
    assert send(program, key="order 17", attachments=[FILE]) == first
    assert len(waiting(ann)) == 1


def test_a_key_whose_recipient_is_gone_gets_the_first_answer(program):
    ann = someone("ann of rome")
    first = send(program, key="order 17")
    Alias.objects.filter(user=ann.user).update(dropped=timezone.now())
    assert send(program, key="order 17") == first


@pytest.mark.parametrize("text", ["Hello", "Another"])
def test_two_requests_with_the_same_key_at_the_same_time_send_once(program, monkeypatch, text):
    """The first one has not been committed when the second looks for the key."""
    ann = someone("ann of rome")
    first = send(program, key="order 17")
    monkeypatch.setattr("tmtp.api.repeated.sent_before", lambda key, request: [])
    status, answer = send(program, key="order 17", text=text)
    assert len(waiting(ann)) == 1
    assert ((status, answer) == first) == (text == "Hello")
    assert text == "Hello" or (status, answer["code"]) == (422, "key_reused")


def test_files_in_either_form_have_the_same_key(program):
    someone("ann of rome")
    first = send(program, key="order 17", attachments=[FILE])
    message = {"to": {"names": ["ann of rome"]}, "subject": "News", "text": "Hello", "key": "order 17"}
    for content, same in ((b"abc", True), (b"abd", False)):
        body = {"message": json.dumps(message), "attachments": SimpleUploadedFile("a.txt", content)}
        headers = {"authorization": f"Bearer {program.secret}"}
        again = program.read(program.client.post("/api/v1/messages/multipart", body, headers=headers))
        assert (again == first) == same
