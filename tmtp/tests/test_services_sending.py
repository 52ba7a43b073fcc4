"""The site's messages, and their reports."""

from __future__ import annotations

import json
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.core.files import File
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection, transaction
from django.db.models import FileField
from django.db.models.fields.files import FieldFile
from django.utils import timezone
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy

from tmtp.models import Message, Node, QueueEntry, Report, SentMessage, User
from tmtp.protocol.values import decode_base32
from tmtp.services.errors import Refused
from tmtp.services.groups import groups
from tmtp.services.messages.mailbox import Received, messages_of, remove
from tmtp.services.messages.recall import recall
from tmtp.services.messages.sending import asend_message, send_message
from tmtp.services.people import devices, users
from tmtp.services.people.actors import Sender
from tmtp.services.people.linking import link_account, user_of
from tmtp.services.people.placeholders import mailbox_of
from tmtp.services.queue import reports
from tmtp.services.queue.reports import Note, State

from .people import own, someone, unique, waiting

pytestmark = pytest.mark.django_db


def member(name: str = "") -> Any:
    return get_user_model().objects.create(username=name or unique("member"))


def head_of(header: dict[str, Any]) -> dict[str, Any]:
    head: dict[str, Any] = json.loads(header["data"][: header["datahead"]])
    return head


def happens(node: int | None, msgid: str, *, acknowledged: bool) -> None:
    reports.note([Note(node or 0, int(msgid, 16), timezone.now(), acknowledged)])


# recipients


def test_a_queryset_of_members() -> None:
    ann, bob = member(), member()
    link_account(User.objects.get(pk=(sender := someone()).user), ann)
    sent = send_message(get_user_model().objects.filter(pk__in=[ann.pk, bob.pk]), "Hello", "you two")
    assert len(sent) == 2
    assert [header["id"] for header in waiting(sender)] == [sent[0]]


def test_a_member_without_a_device_gets_it_with_the_first() -> None:
    ann = member()
    (msgid,) = send_message(ann, "Welcome", "to us")
    user = user_of(ann)
    node, nodeid = devices.make_node(user, "phone")
    assert [header["id"] for header in waiting(node.pk)] == [msgid]
    assert own(Sender(user.uid, user.pk)) == [node.pk]
    assert devices.hash_nodeid(nodeid) == bytes(Node.objects.get(pk=node.pk).secret)
    assert decode_base32(nodeid)
    assert Node.objects.get(pk=node.pk).kind == Node.Kind.DEVICE


def test_a_member_without_a_device_gets_it_in_the_mailbox() -> None:
    ann = member()
    (msgid,) = send_message(ann, "Welcome", "to us")
    mailbox = mailbox_of(user_of(ann))
    assert [message.msgid for message in messages_of(mailbox)] == [msgid]
    assert mailbox_of(user_of(ann)) == mailbox
    phone, _ = devices.make_node(user_of(ann), "phone")
    assert not waiting(phone.pk)


def test_what_waited_for_the_last_device_waits_for_the_next() -> None:
    ann = someone()
    (msgid,) = send_message(ann.uid, "Hello", "Ann")
    devices.drop_node(Node.objects.get(pk=ann.node))
    (again,) = send_message(ann.uid, "Hello", "again")
    node, _ = devices.make_node(User.objects.get(pk=ann.user), "phone")
    assert [header["id"] for header in waiting(node.pk)] == [msgid, again]
    assert [one.state for one in reports.report(msgid)] == [State.QUEUED]


def test_an_account_without_a_device_gives_what_waits_to_the_user_it_is_linked_to() -> None:
    ann, sender = member(), someone()
    (msgid,) = send_message(ann, "Hello", "Ann")
    assert ann.tmtp_user.pk == user_of(ann).pk != sender.user
    link_account(User.objects.get(pk=sender.user), ann)
    assert [header["id"] for header in waiting(sender)] == [msgid]
    assert user_of(ann).pk == ann.tmtp_user.pk == sender.user
    assert [one.state for one in reports.report(msgid)] == [State.QUEUED]


def test_a_message_that_both_were_sent_is_there_once_when_an_account_is_linked() -> None:
    ann, sender = member(), someone()
    (msgid,) = send_message([ann, sender.uid], "Hello", "both", together=True)
    link_account(User.objects.get(pk=sender.user), ann)
    assert [header["id"] for header in waiting(sender)] == [msgid]
    assert [(one.user.pk, one.state) for one in reports.report(msgid)] == [(sender.user, State.QUEUED)]


def test_an_account_with_a_mailbox_cannot_be_given_away() -> None:
    ann = member()
    mailbox_of(user_of(ann))
    with pytest.raises(Refused, match="another user already"):
        link_account(User.objects.get(pk=someone().user), ann)


def test_housekeeping_is_for_devices_only(lease: int) -> None:
    new = users.register("laptop")
    mailbox = mailbox_of(User.objects.get(pk=new.sender.user))
    users.add_alias(new.sender, unique())
    users.log_in(new.sender.uid, new.nodeid, lease)
    assert not waiting(mailbox.pk)


def test_nobody_gets_anything_when_one_is_not_there() -> None:
    ann = someone()
    with pytest.raises(Refused, match="nobody here"):
        send_message([ann.uid, "nobody here"], "Hello", "all")
    with pytest.raises(Refused, match="no recipient"):
        send_message([], "Hello", "all")
    assert not waiting(ann) and not SentMessage.objects.exists()


def test_together_is_one_message() -> None:
    ann, bob = someone(), someone()
    (msgid,) = send_message([ann.uid, bob.uid], "Hello", "all", together=True)
    assert [header["id"] for header in [*waiting(ann), *waiting(bob)]] == [msgid, msgid]
    assert [reader["whouid"] for reader in head_of(waiting(ann)[0])["cc"]] == [waiting(ann)[0]["from"]]


def test_in_the_name_of_a_member() -> None:
    ann, bob = someone("ann of rome"), someone()
    send_message(bob.uid, "Hello", "from Ann", sender="ann of rome")
    for node in (ann, bob):
        (header,) = waiting(node)
        assert header["from"] == ann.uid and head_of(header)["alias"] == "ann of rome"


# what


def test_attachments_of_every_kind(tmp_path: Path) -> None:
    ann = someone()
    path = tmp_path / "a path.txt"
    path.write_bytes(b"from a path")
    files: list[Any] = [path, str(path), File(BytesIO(b"a file"), "../b.txt"), SimpleUploadedFile("c", b"an upload")]
    files += [("d", "text"), ("e.bin", b"\0", "application/x")]
    send_message(ann.uid, "Files", "Here they are: é", attachments=files)
    (header,) = waiting(ann)
    assert head_of(header)["attach"] == [
        {"name": f"u:{name}", "size": size, "ffn": ""}
        for name, size in [("a path.txt", 11), ("a path.txt", 11), ("b.txt", 6), ("c", 9), ("d", 4), ("e.bin", 1)]
    ]
    text = "Here they are: é".encode()
    assert header["data"][header["datahead"] :] == text + b"from a path" * 2 + b"a file" + b"an upload" + b"text\0"


def test_what_cannot_be_attached() -> None:
    for wrong in ("/no/such/file", 7, ("only a name",)):
        with pytest.raises(Refused, match="cannot be attached"):
            send_message(someone().uid, "Files", "", attachments=[wrong])


def test_a_text_file_counts_in_octets() -> None:
    ann = someone()
    send_message(ann.uid, "Files", "", attachments=[ContentFile("é", "e.txt"), ("f", "f")])
    (header,) = waiting(ann)
    assert [file["size"] for file in head_of(header)["attach"]] == [2, 1]
    assert header["data"][header["datahead"] :] == "éf".encode()


def test_attachments_are_a_list_of_files_that_are_there() -> None:
    ann = someone()
    with pytest.raises(Refused, match="must be a list"):
        send_message(ann.uid, "Files", "", attachments="README.md")
    for wrong in (FieldFile(None, FileField(), ""), FieldFile(None, FileField(), "no such file")):  # type: ignore[arg-type]
        with pytest.raises(Refused, match="cannot be attached"):
            send_message(ann.uid, "Files", "", attachments=[wrong])
    assert not waiting(ann)


def test_texts_as_django_has_them() -> None:
    ann = someone()
    send_message(ann.uid, gettext_lazy("Hello"), mark_safe("Ann"))
    send_message(ann.uid, mark_safe("Hello"), gettext_lazy("Ann"))
    for header in waiting(ann):
        assert head_of(header)["subject"] == "Hello"
        assert header["data"][header["datahead"] :] == b"Ann"


@pytest.mark.parametrize(
    "wrong",
    [
        {"subject": None},
        {"subject": "\0"},
        {"subject": "\ud800"},
        {"body": b"octets"},
        {"body": "\ud800"},
        {"key": "k" * 256},
        {"key": "\0"},
        {"thread": "nonsense"},
        {"thread": 7},
    ],
)
def test_what_cannot_be_sent(wrong: dict[str, Any]) -> None:
    ann = someone()
    with pytest.raises(Refused):
        send_message(ann.uid, **({"subject": "Hello", "body": "Ann"} | wrong))
    assert not waiting(ann) and not SentMessage.objects.exists()


def test_recipients_who_are_none() -> None:
    deleted = member()
    deleted.delete()
    gone = User.objects.get(pk=someone().user)
    User.objects.filter(pk=gone.pk).delete()
    ann = someone()
    account = get_user_model()
    for wrong in (None, 7, b"octets", "\0", "\ud800", AnonymousUser(), account(username="new"), deleted, gone):
        for to in (wrong, [ann.uid, wrong]):
            with pytest.raises(Refused):
                send_message(to, "Hello", "whoever you are")
    assert not waiting(ann)


@pytest.mark.parametrize("to", ["bob@example.org", 1])
def test_what_is_no_recipient_is_told_to_be_a_user(to) -> None:
    with pytest.raises(Refused, match=f"{to} is not an alias, .*Pass a User object"):
        send_message(to, "Hello", "Bob")


@pytest.mark.parametrize("subject", ["", " \n"])
def test_only_an_answer_has_no_subject(subject) -> None:
    ann = someone()
    with pytest.raises(Refused, match="the subject must not be empty"):
        send_message(ann.uid, subject, "Hello")
    (first,) = send_message(ann.uid, "Hello", "Ann")
    assert send_message(ann.uid, subject, "Ann?", thread=first)


def test_large_attachments_are_spooled_and_read_back() -> None:
    ann = member()
    mailbox = mailbox_of(user_of(ann))
    large = bytes(range(256)) * 1024
    send_message(ann, "Large", "text", attachments=[("large.bin", large), ("small.txt", "small")])
    (message,) = messages_of(mailbox)
    received = Received(message)
    assert message.spool and (received.subject, received.text) == ("Large", "text")
    first, second = received.attachments
    assert (first.name, first.size, second.name) == ("large.bin", len(large), "small.txt")
    assert b"".join(received.pieces(first)) == large
    assert received.open(second).read() == b"small"


@pytest.mark.parametrize(
    "head",
    [b"", b"{", b"[]", b'{"attach":7}', b'{"attach":[{"name":7,"size":99}]}', b'{"attach":[{"size":-1}]}'],
)
def test_a_head_that_makes_no_sense_is_read_as_far_as_it_goes(head: bytes) -> None:
    body = head + b"text\xff"
    received = Received(Message(pk=1, op="delivery", head=_frame(head), body=body, size=len(body)))
    assert (received.text, received.attachments, received.named_thread) == ("text\ufffd", [], received.msgid)


def test_what_no_database_keeps_is_not_read() -> None:
    head = json.dumps({"threadid": "x" * 300, "subject": "a\0b"}).encode()
    body = head + b"c\0d"
    received = Received(Message(pk=1, op="delivery", head=_frame(head), body=body, size=len(body)))
    assert (received.named_thread, received.subject, received.text) == (received.msgid, "a\ufffdb", "c\ufffdd")


def _frame(head: bytes) -> bytes:
    return b"0000" + json.dumps({"datahead": len(head)}).encode()


# when


def test_rolled_back_is_never_sent() -> None:
    ann = someone()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        send_message(ann.uid, "Hello", "Ann")
        raise ZeroDivisionError
    assert not waiting(ann) and not SentMessage.objects.exists()


def test_a_key_sends_once() -> None:
    ann, bob = someone(), someone()
    first = send_message([ann.uid, bob.uid], "Order 17", "shipped", key="order 17 shipped")
    assert send_message([ann.uid, bob.uid], "Order 17", "shipped", key="order 17 shipped") == first
    assert len(waiting(ann)) == len(waiting(bob)) == 1
    assert send_message(ann.uid, "Order 18", "shipped", key="order 18 shipped") != first


def test_async() -> None:
    ann = someone()
    (msgid,) = async_to_sync(asend_message)(ann.uid, "Hello", "Ann")
    assert waiting(ann)[0]["id"] == msgid


# reports


def test_reports() -> None:
    ann = someone(nodes=2)
    phone, laptop = own(ann)
    (msgid,) = send_message(ann.uid, "Hello", "Ann")

    def state() -> State:
        (one,) = reports.report(msgid)
        assert one.user.pk == ann.user
        counts = reports.summary(SentMessage.objects.all())
        assert {name for name, count in counts.items() if count} == {one.state}
        return one.state

    assert state() == State.QUEUED
    happens(phone, msgid, acknowledged=False)
    assert state() == State.SENT
    happens(phone, msgid, acknowledged=True)
    assert state() == State.SENT
    happens(laptop, msgid, acknowledged=True)
    assert state() == State.DELIVERED
    first = Report.objects.get(message_id=int(msgid, 16), node_id=phone)
    happens(phone, msgid, acknowledged=True)  # sent and acknowledged again; the first time counts
    assert Report.objects.get(pk=first.pk).acknowledged == first.acknowledged
    assert first.sent and first.acknowledged and abs(first.acknowledged - timezone.now()) < timedelta(minutes=1)


def test_a_dropped_device_does_not_count() -> None:
    ann = someone(nodes=2)
    phone, laptop = own(ann)
    (msgid,) = send_message(ann.uid, "Hello", "Ann")
    happens(phone, msgid, acknowledged=True)
    devices.drop_node(Node.objects.get(pk=laptop))
    (one,) = reports.report(msgid)
    assert one.state == State.DELIVERED
    assert [report.end for report in one.reports] == [None, Report.End.DROPPED]


def test_discarded_is_undeliverable() -> None:
    ann = someone()
    (msgid,) = send_message(ann.uid, "Hello", "Ann")
    devices.discard_waiting(Node.objects.get(pk=ann.node))
    assert [one.state for one in reports.report(msgid)] == [State.UNDELIVERABLE]
    assert reports.summary(SentMessage.objects.all())[State.UNDELIVERABLE] == 1


def test_read_in_the_mailbox() -> None:
    ann = member()
    mailbox = mailbox_of(user_of(ann))
    (msgid,) = send_message(ann, "Hello", "Ann")
    reports.has_read(mailbox.pk, [int(msgid, 16)])
    assert [one.state for one in reports.report(msgid)] == [State.READ]
    remove(mailbox, [int(msgid, 16)])
    assert not Message.objects.exists() and [one.state for one in reports.report(msgid)] == [State.READ]


def test_a_group_gets_one_report_each() -> None:
    ann, bob = someone("ann of rome"), someone("bob of ulm")
    groups.create(ann, "the chess club", "ann of rome")
    groups.invite(ann, "the chess club", "ann of rome", "bob of ulm")
    groups.join(bob, "the chess club")
    (msgid,) = send_message("the chess club", "Hello", "all")
    assert {one.user.pk for one in reports.report(msgid)} == {ann.user, bob.user}


def test_no_such_report() -> None:
    for msgid in ("x", "0" * 16):
        with pytest.raises(Refused, match=msgid):
            reports.report(msgid)


# recall


def test_recall_takes_it_from_those_who_do_not_have_it() -> None:
    ann, bob = someone(), someone()
    (msgid,) = send_message([ann.uid, bob.uid], "Hello", "all", together=True)
    happens(ann.node, msgid, acknowledged=True)
    QueueEntry.objects.filter(node=ann.node).delete()
    assert recall(msgid) == (1, 1)
    assert not waiting(bob) and not Message.objects.exists()
    assert [one.state for one in reports.report(msgid)] == [State.DELIVERED, State.UNDELIVERABLE]
    assert SentMessage.objects.get().recalled
    assert recall(msgid) == (0, 1)


def test_who_has_it_in_spite_of_the_recall_is_reported() -> None:
    ann = someone()
    (msgid,) = send_message(ann.uid, "Hello", "Ann")
    recall(msgid)
    happens(ann.node, msgid, acknowledged=True)  # it was being sent
    assert [one.state for one in reports.report(msgid)] == [State.DELIVERED]


def test_who_has_read_it_keeps_it() -> None:
    ann = member()
    mailbox = mailbox_of(user_of(ann))
    (msgid,) = send_message(ann, "Hello", "Ann")
    reports.has_read(mailbox.pk, [int(msgid, 16)])
    assert recall(msgid) == (0, 1)
    assert len(waiting(mailbox.pk)) == 1


def test_a_connected_device_is_asked_to_begin_again(lease: int) -> None:
    new = users.register("laptop", lease=lease)
    (msgid,) = send_message(new.sender.uid, "Hello", "Ann")
    recall(msgid)
    assert Node.objects.get(pk=new.sender.node).start_over


def test_queries_do_not_grow_with_members(django_assert_max_num_queries: Any) -> None:
    people = [member() for _ in range(50)]
    send_message(people[0], "Hello", "first")
    with django_assert_max_num_queries(25 + (0 if connection.vendor == "sqlite" else 5)):
        send_message(people, "Hello", "all", together=True)
