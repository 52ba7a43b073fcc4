"""Delivery reports reach another program: each change at least once, in batches, whatever fails in between."""

from __future__ import annotations

import json

import pytest
from django.db import connection, transaction
from django.utils import timezone

from tmtp.delivery import checks, tasks
from tmtp.delivery.housekeeping import purge
from tmtp.delivery.inbound import handling, report_batches
from tmtp.delivery.models import Attempt, ReportChange
from tmtp.messaging import mailbox_of, messages_of, recall, send_message, site_user
from tmtp.models import Node, Report, SentMessage
from tmtp.services.messages import expiry
from tmtp.services.messages.mailbox import remove
from tmtp.services.people.devices import discard_waiting, drop_node, make_node
from tmtp.services.queue import reports
from tmtp.services.queue.reports import Note
from tmtp.tests.people import someone

from .test_webhook import WEBHOOK, program  # noqa: F401 - the program that receives requests

pytestmark = pytest.mark.django_db


@pytest.fixture
def receiver(request, settings):
    """Return the program, to which only reports are posted. It takes everything."""
    server = request.getfixturevalue("program")
    settings.TMTP_DELIVERY = {**settings.TMTP_DELIVERY, "HANDLER": None, "REPORT_HANDLER": WEBHOOK}
    server.answers += [(204, b"")] * 20
    return server


def send(*people, subject="News"):
    (msgid,) = send_message([person.uid for person in people], subject, "Hello", together=True)
    return SentMessage.objects.get(pk=SentMessage.objects.order_by("-pk").values("pk")[:1]), msgid


def acknowledge(message, *people):
    now = timezone.now()
    with transaction.atomic():
        reports.note([Note(person.node, message.pk, now, True) for person in people])


def hand_over():
    tasks.reports()
    handling.handle_messages()


def posted(receiver):
    """Return the reports of all requests: the message, the user and their state."""
    bodies = [json.loads(body) for _, body in receiver.got]
    return [[(one["msgid"], one["uid"], one["state"]) for one in body["reports"]] for body in bodies]


def test_a_delivered_message_is_reported(receiver):
    ann, bob = someone("ann of rome"), someone("bob of rome")
    message, msgid = send(ann, bob)
    hand_over()
    assert receiver.got == []  # nothing has settled
    acknowledge(message, ann)
    hand_over()
    ((headers, body),) = receiver.got
    assert headers["TMTP-Signature"].startswith("sha256=")
    body = json.loads(body)
    assert (body["op"], len(body["msgid"])) == ("report", 16)
    (report,) = body["reports"]
    (device,) = report.pop("devices")
    expected = {"msgid": msgid, "uid": ann.uid, "name": "ann of rome", "username": None, "state": "delivered"}
    assert report == expected
    assert (device["kind"], device["why"], device["ended"]) == ("device", None, None)
    assert device["acknowledged"]
    hand_over()
    assert len(receiver.got) == 1  # once
    assert not messages_of(mailbox_of(site_user()))


@pytest.mark.parametrize("end", ["recalled", "expired", "dropped", "discarded", "read"])
def test_each_end_is_reported(receiver, end):
    ann = someone("ann of rome")
    message, msgid = send(ann)
    node = Node.objects.get(pk=ann.node)
    if end == "recalled":
        recall(msgid)
    elif end == "expired":
        expiry.expire(message.pk - 1, message.pk + 1, members=False)
    elif end == "dropped":
        make_node(node.user, "another device")
        drop_node(node)
    elif end == "discarded":
        discard_waiting(node)
    else:
        reports.has_read(node.pk, [message.pk])
    hand_over()
    ((found,),) = posted(receiver)
    assert found == (msgid, ann.uid, "read" if end == "read" else "undeliverable")
    if end != "read":
        assert json.loads(receiver.got[0][1])["reports"][0]["devices"][0]["why"] == end


@pytest.mark.once
def test_a_message_recalled_that_arrived_all_the_same_is_reported_again(receiver):
    ann = someone("ann of rome")
    message, msgid = send(ann)
    recall(msgid)
    acknowledge(message, ann)  # it was on its way
    hand_over()
    assert posted(receiver) == [[(msgid, ann.uid, "delivered")]]
    message, msgid = send(ann)
    recall(msgid)
    hand_over()
    acknowledge(message, ann)
    hand_over()
    assert [found[2] for (found,) in posted(receiver)[1:]] == ["undeliverable", "delivered"]


@pytest.mark.once
def test_many_reports_make_few_requests(receiver, monkeypatch):
    monkeypatch.setattr(report_batches, "AT_ONCE", 3)
    people = [someone(f"member {number}") for number in range(8)]
    message, _ = send(*people)
    acknowledge(message, *people)
    hand_over()
    assert [len(found) for found in posted(receiver)] == [3, 3, 2]
    assert {uid for found in posted(receiver) for _, uid, _ in found} == {person.uid for person in people}


def test_a_large_batch_is_read_whole(receiver):
    people = [someone(f"member {number}") for number in range(12)]
    message, _ = send(*people)
    secrets = [(person, f"{person.user} {number}".encode()) for person in people for number in range(60)]
    nodes = Node.objects.bulk_create(Node(user_id=person.user, secret=secret) for person, secret in secrets)
    Report.objects.bulk_create(Report(message=message, node=node) for node in nodes)
    acknowledge(message, *people)
    hand_over()
    assert len(receiver.got[0][1]) > 64 * 1024  # it was spooled
    assert len(posted(receiver)[0]) == 12


def test_what_is_not_taken_is_tried_again_and_then_a_dead_letter(receiver):
    ann = someone("ann of rome")
    message, msgid = send(ann)
    acknowledge(message, ann)
    receiver.answers[:] = [(500, b""), (500, b""), (204, b"")]
    hand_over()
    Attempt.objects.update(next_try=timezone.now())
    handling.handle_messages()
    assert Attempt.objects.get().dead
    handling.try_again(Attempt.objects.all())
    handling.handle_messages()
    assert posted(receiver) == [[(msgid, ann.uid, "delivered")]] * 3
    assert len({json.loads(body)["msgid"] for _, body in receiver.got}) == 1  # by which the program knows it


def test_a_worker_that_dies_while_it_collects_loses_nothing(receiver, monkeypatch):
    ann = someone("ann of rome")
    message, msgid = send(ann)
    acknowledge(message, ann)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt), transaction.atomic():
        patched.setattr(report_batches, "enqueue", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        report_batches.collect()
    assert ReportChange.objects.count() == 1
    hand_over()
    assert posted(receiver) == [[(msgid, ann.uid, "delivered")]]


def test_reports_are_recorded_only_with_a_handler(receiver, settings):
    settings.TMTP_DELIVERY = {**settings.TMTP_DELIVERY, "REPORT_HANDLER": None}
    ann = someone("ann of rome")
    message, _ = send(ann)
    acknowledge(message, ann)
    assert tasks.reports() == 0
    assert not ReportChange.objects.exists()
    ReportChange.objects.create(number=1, node=1)  # left from before
    purge()
    assert not ReportChange.objects.exists()


def test_members_own_messages_and_deleted_users_are_left_out(receiver):
    ann, bob = someone("ann of rome"), someone("bob of rome")
    message, msgid = send(ann, bob)
    acknowledge(message, ann, bob)
    ReportChange.objects.create(number=message.pk + 1, node=ann.node)  # no message of the site
    Node.objects.filter(pk=ann.node).delete()
    hand_over()
    assert posted(receiver) == [[(msgid, bob.uid, "delivered")]]


def test_a_handler_of_answers_gets_no_reports(receiver, settings):
    """Also the other way round: each has its own."""
    ann = someone("ann of rome")
    message, _ = send(ann)
    acknowledge(message, ann)
    tasks.reports()
    settings.TMTP_DELIVERY = {**settings.TMTP_DELIVERY, "HANDLER": WEBHOOK, "REPORT_HANDLER": None}
    handling.handle_messages()
    assert receiver.got == []
    settings.TMTP_DELIVERY = {**settings.TMTP_DELIVERY, "HANDLER": None, "REPORT_HANDLER": WEBHOOK}
    handling.handle_messages()
    assert len(receiver.got) == 1


def test_the_cost_does_not_depend_on_history(receiver):
    ann = someone("ann of rome")
    for number in range(5):
        old, _ = send(ann, subject=f"Old {number}")
        acknowledge(old, ann)
    hand_over()
    message, _ = send(ann)
    acknowledge(message, ann)
    with connection.execute_wrapper(lambda run, sql, *rest: _no_scan(run, sql, *rest)):
        report_batches.collect()
    assert not ReportChange.objects.exists()


def _no_scan(run, sql, params, many, context):
    assert 'FROM "tmtp_report"' not in sql or "message_id" in sql.partition("WHERE")[2]
    return run(sql, params, many, context)


def test_a_removed_answer_settles_nothing(receiver):
    """Messages without reports, such as answers in the site's own mailbox, make no request."""
    mailbox = mailbox_of(site_user())
    with transaction.atomic():
        remove(mailbox, [1])
    hand_over()
    assert receiver.got == []


def test_the_webhook_of_reports_needs_an_address(receiver, settings):
    assert checks.check_webhook() == []
    settings.TMTP_DELIVERY = {**settings.TMTP_DELIVERY, "WEBHOOK_SECRET": ""}
    assert [found.id for found in checks.check_webhook()] == ["tmtp_delivery.E007"]
