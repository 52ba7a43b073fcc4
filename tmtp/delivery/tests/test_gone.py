"""What tasks work on may be deleted, or fail: each task ends quietly, or with a line in the log, and goes on."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.db import OperationalError
from django.utils import timezone

from tmtp.delivery import deletions, tasks
from tmtp.delivery.broadcasts import lifecycle
from tmtp.delivery.broadcasts import tasks as broadcast_tasks
from tmtp.delivery.broadcasts.models import Broadcast
from tmtp.delivery.errors import Refused
from tmtp.delivery.inbound import handling
from tmtp.delivery.models import Notice
from tmtp.delivery.one_of_many import guarded
from tmtp.members_data import exporting
from tmtp.models import Message, User
from tmtp.services.messages.sending import send_message
from tmtp.services.people.site import site_user
from tmtp.tests.people import someone, unique

pytestmark = pytest.mark.django_db
State = Broadcast.State


def account():
    return get_user_model().objects.create_user(unique("member"))


def scheduled(subject):
    due = timezone.now() - timedelta(minutes=1)
    return Broadcast.objects.create(subject=subject, body="x", everyone=True, state=State.SCHEDULED, send_at=due)


def test_one_of_many(caplog):
    gone, failing, good = [Notice.objects.create(account=account()) for _ in range(3)]

    def do(row):
        if row == gone:
            Notice.objects.filter(pk=row.pk).delete()
            raise Notice.DoesNotExist
        if row == failing:
            raise ValueError(row.account.username)
        return row.pk

    assert [guarded(do, row) for row in (gone, failing, good)] == [None, None, good.pk]
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert str(failing.pk) in record.getMessage()
    assert failing.account.username not in record.getMessage()

    def lose(row):
        raise OperationalError("no connection")

    with pytest.raises(OperationalError):
        guarded(lose, good)


def test_tasks_of_what_is_gone_end_quietly(caplog):
    broadcast_tasks.run(12345)
    broadcast_tasks.take_back(12345)
    deletions.send_email(12345, "https://example.org/keep")
    tasks.answers()
    assert [one for one in caplog.records if one.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("fails", [False, True])
def test_a_broadcast_that_is_deleted_or_fails_keeps_back_no_other(monkeypatch, caplog, fails):
    bad, good = scheduled("Bad"), scheduled("Good")
    begin = lifecycle.begin_due

    def begin_due(broadcast):
        if broadcast == bad:
            if fails:
                raise ValueError("a function of the site's")
            Broadcast.objects.filter(pk=bad.pk).delete()
        begin(broadcast)

    monkeypatch.setattr(lifecycle, "begin_due", begin_due)
    broadcast_tasks.start_due()
    good.refresh_from_db()
    assert good.state == State.RUNNING
    assert any("Bad" not in one.getMessage() and str(bad.pk) in one.getMessage() for one in caplog.records) == fails


@pytest.mark.parametrize("change", [lifecycle.start, lifecycle.pause, lifecycle.cancel, lifecycle.unschedule])
def test_a_broadcast_that_was_deleted_cannot_be_changed(change):
    broadcast = scheduled("Gone")
    Broadcast.objects.filter(pk=broadcast.pk).delete()
    with pytest.raises(Refused, match="Gone"):
        change(broadcast)


def test_a_broadcast_that_is_deleted_while_it_is_refused(monkeypatch):
    broadcast = scheduled("Gone")
    lifecycle.start(broadcast)

    def refuse(one):
        Broadcast.objects.filter(pk=one.pk).delete()
        raise Refused("broadcast_for_nobody")

    monkeypatch.setattr("tmtp.delivery.broadcasts.sending.check", refuse)
    broadcast_tasks.run(broadcast.pk)


def test_a_message_that_is_discarded_before_it_is_handled(settings, monkeypatch):
    settings.TMTP_DELIVERY = {**settings.TMTP_DELIVERY, "HANDLER": f"{__name__}.take"}
    taken.clear()
    ann = account()
    for text in ("first", "second"):
        send_message(ann, text, text)  # makes a user
    from tmtp.delivery.tests.test_inbound import write

    first, second = write(someone("ann the first"), "first"), write(someone("bob the second"), "second")
    handle = handling.handle

    def lose(handler, message):
        if message.number == first:
            Message.objects.filter(pk=first).delete()
        handle(handler, message)

    monkeypatch.setattr(handling, "handle", lose)
    tasks.answers()
    assert taken == [second]


taken: list[int] = []


def take(message):
    taken.append(message.number)


@pytest.mark.parametrize("export", [exporting.export, exporting.export_for_member])
def test_the_export_of_a_user_who_was_deleted(export):
    user = User.objects.get(uid=someone("ann the first").uid)
    User.objects.filter(pk=user.pk).delete()
    with pytest.raises(Refused, match=user.uid.replace("+", r"\+")):
        next(export(user))
    assert site_user()
