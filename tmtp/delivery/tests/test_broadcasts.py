"""A broadcast reaches each of its recipients once, whatever is killed meanwhile."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import count

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group as AccountGroup
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tmtp.delivery.broadcasts import audience, lifecycle, reporting, sending, tasks
from tmtp.delivery.models import Broadcast, Recipient
from tmtp.models import QueueEntry, User
from tmtp.services.errors import Refused
from tmtp.services.groups import groups
from tmtp.services.people import users
from tmtp.services.people.actors import Sender
from tmtp.services.people.linking import link_account, user_of
from tmtp.services.people.placeholders import mailbox_of
from tmtp.services.people.site import site_user
from tmtp.services.queue.reports import has_read

pytestmark = pytest.mark.django_db
Account = get_user_model()
NOW = timezone.now()


@pytest.fixture(autouse=True)
def small_portions(monkeypatch):
    monkeypatch.setattr(sending, "PORTION", 3)


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    """Record the tasks that are enqueued."""
    tasks_asked = []
    for module in (lifecycle, tasks):
        monkeypatch.setattr(module, "run_soon", lambda *task: tasks_asked.append(task))
    return tasks_asked


def accounts(number, **fields):
    return [Account.objects.create(username=f"member {Account.objects.count()}", **fields) for _ in range(number)]


def broadcast(**fields):
    return Broadcast.objects.create(subject="News", body="Hello *all*", **({"everyone": True} | fields))


def running(**fields):
    one = broadcast(**fields)
    lifecycle.start(one)
    return one


def always():
    return True


def portions(number):
    """Return a `go_on` that allows so many steps. The first step writes the list of recipients."""
    steps = count()
    return lambda: next(steps) <= number


def got(one):
    """Return the number of messages of the broadcast that wait for each user."""
    entries = QueueEntry.objects.filter(message_id__in=one.parts.values("message_id"))
    return Counter(entries.values_list("node__user", flat=True))


def got_by(one):
    return list(User.objects.filter(pk__in=got(one)))


def state(one):
    one.refresh_from_db()
    return one.state


# to whom


def test_everyone_is_members_of_the_website_and_those_who_only_have_a_device():
    with_device, without, left = accounts(2)[0], accounts(1)[0], accounts(1, is_active=False)[0]
    device = users.register("phone").sender
    link_account(User.objects.get(pk=device.user), with_device)
    stranger, ghost = (users.register("phone", alias).sender for alias in ("carl of rome", "short"))
    site_user(), user_of(left)
    one = running()
    expected = audience.count(one)
    assert not sending.send(one.pk, always)
    assert state(one) == Broadcast.State.DONE
    assert got(one).keys() >= {device.user, stranger.user, user_of(without).pk}
    assert not got(one).keys() & {site_user().pk, user_of(left).pk, ghost.user}
    assert set(got(one).values()) == {1}
    assert len(got(one)) == one.total == one.sent == expected == 4


def test_each_condition():
    ann, bob, cleo = accounts(3, date_joined=NOW - timedelta(days=10))
    choir = AccountGroup.objects.create(name="choir")
    ann.groups.add(choir, AccountGroup.objects.create(name="band"))
    Account.objects.filter(pk=bob.pk).update(is_staff=True, date_joined=NOW, last_login=NOW)
    accounts(1, is_active=False, is_staff=True, date_joined=NOW, last_login=NOW)
    day = (NOW - timedelta(days=3)).date()

    def meant(**conditions):
        one = broadcast(everyone=False, **conditions)
        users = {user.account_id for user in audience.users(one)}
        return users | {account.pk for account in audience.accounts_without_user(one)}

    for member in (ann, bob):
        user_of(member)  # Cleo is not a user of TMTP yet
    assert meant(staff_only=True) == {bob.pk}
    assert meant(joined_since=day) == {bob.pk}
    assert meant(joined_before=day) == {ann.pk, cleo.pk}
    assert meant(seen_since=day) == {bob.pk}
    assert meant(seen_since=day, joined_before=day) == set()
    of_choir = broadcast(everyone=False)
    of_choir.account_groups.set(AccountGroup.objects.all())
    assert audience.count(of_choir) == 1
    assert [user.account_id for user in audience.users(of_choir)] == [ann.pk]


def test_joined_members_of_a_group():
    ann, bob, cleo = (users.register("phone", f"{name} of ulm").sender for name in ("ann", "bob", "cleo"))
    groups.create(ann, "chess club of ulm", "ann of ulm")
    for guest, alias in ((bob, "bob of ulm"), (cleo, "cleo of ulm")):
        groups.invite(ann, "chess club of ulm", "ann of ulm", alias)
        if guest is bob:
            groups.join(Sender(bob.uid, bob.user, bob.node), "chess club of ulm")
    accounts(2)
    one = broadcast(everyone=False)
    one.groups.set(groups.Group.objects.all())
    assert audience.count(one) == 2
    lifecycle.start(one)
    sending.send(one.pk, always)
    assert got(one) == {ann.user: 1, bob.user: 1}
    assert audience.describe(one) == ["joined chess club of ulm"]


def test_it_is_for_nobody_unless_it_says_for_whom():
    accounts(1)
    one = broadcast(everyone=False)
    with pytest.raises(Refused, match="has no audience"):
        lifecycle.start(one)
    assert state(one) == Broadcast.State.DRAFT


def test_a_group_that_is_deleted_does_not_make_it_one_for_more():
    choir = AccountGroup.objects.create(name="choir")
    accounts(1, is_staff=True)
    one = broadcast(everyone=False, staff_only=True)
    one.account_groups.add(choir)
    lifecycle.start(one)
    choir.delete()
    assert not sending.send(one.pk, always)
    assert state(one) == Broadcast.State.PAUSED
    assert "has been deleted" in one.problem
    assert not got(one)


# each recipient once


def test_who_dies_in_the_middle_leaves_the_rest_to_others(monkeypatch):
    accounts(10)
    one = running()
    real, calls = sending.send_message, count(1)

    def dies(*args, **options):
        sent = real(*args, **options)
        if next(calls) == 3:
            raise KeyboardInterrupt  # after the write and before the commit
        return sent

    monkeypatch.setattr(sending, "send_message", dies)
    with pytest.raises(KeyboardInterrupt):
        sending.send(one.pk, always)
    assert sum(got(one).values()) == 6
    assert not sending.send(one.pk, always)
    assert state(one) == Broadcast.State.DONE
    assert list(got(one).values()) == [1] * 10
    assert one.sent == 10


def test_a_portion_takes_as_many_queries_for_many_as_for_few():
    site_user()  # which the first message would create

    def queries(number):
        accounts(number)
        one = running(everyone=False, joined_since=NOW.date())
        with CaptureQueriesContext(connection) as found:
            assert not sending.send(one.pk, always)
        assert len(got(one)) == number
        Account.objects.all().delete()
        return len(found)

    assert queries(3) == queries(1)


def test_one_at_a_time(asked):
    accounts(10)
    one = running()
    inside = []

    def go_on():
        inside.append(sending.send(one.pk, always))  # another worker, at the same time
        return not got(one)

    assert sending.send(one.pk, go_on)
    assert len(inside) > 3 and not any(inside)
    assert sum(got(one).values()) == 3


def test_a_claim_that_expired_is_worth_nothing():
    """A worker that was thought dead comes back while another has the claim."""
    accounts(10)
    one = running()
    late = sending._Sender(one.pk, sending._take(one.pk))
    assert late.step()
    Broadcast.objects.update(claimed_until=NOW - timedelta(seconds=1))
    assert sending.send(one.pk, portions(6))
    assert not late.step()
    assert not sending.send(one.pk, always)
    assert list(got(one).values()) == [1] * 10


def test_who_joins_later_is_not_in_it():
    accounts(5)
    one = running()
    assert sending.send(one.pk, portions(3))
    accounts(5)
    sending.send(one.pk, always)
    assert one.recipients.count() == 0
    assert len(got(one)) == 5


def test_a_member_who_leaves_meanwhile_is_no_problem():
    accounts(5)
    one = running()
    assert sending.send(one.pk, portions(3))
    User.objects.filter(pk=one.recipients.first().user_id).delete()
    sending.send(one.pk, always)
    assert state(one) == Broadcast.State.DONE
    assert (one.total, one.sent) == (5, 4)


# actions during a broadcast


def test_pause_and_resume(asked):
    accounts(10)
    one = running()
    sending.send(one.pk, portions(5))
    lifecycle.pause(one)
    before = sum(got(one).values())
    assert 0 < before < 10
    assert not sending.send(one.pk, always)
    assert sum(got(one).values()) == before
    lifecycle.resume(one)
    sending.send(one.pk, always)
    assert list(got(one).values()) == [1] * 10


def test_cancel():
    accounts(10)
    one = running()
    sending.send(one.pk, portions(5))
    before = sum(got(one).values())
    lifecycle.cancel(one)
    assert not Recipient.objects.exists()
    assert not sending.send(one.pk, always)
    assert sum(got(one).values()) == before == one.sent
    with pytest.raises(Refused, match="cancelled"):
        lifecycle.resume(one)


def test_what_the_site_cannot_send_waits_for_a_person(settings):
    accounts(1)
    users.register("phone", "the site of ulm")
    settings.TMTP = {**settings.TMTP, "SITE_ALIAS": "the site of ulm"}
    one = running()
    assert not sending.send(one.pk, always)
    assert state(one) == Broadcast.State.PAUSED
    assert "SITE_ALIAS" in one.problem


# schedule and pace


def test_a_worker_is_asked_when_the_transaction_commits(asked, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        one = running()
        assert not asked
    assert asked == [(lifecycle.RUN, one.pk)]


def test_one_that_is_scheduled_begins_when_it_is_due(asked):
    accounts(1)
    early, late = broadcast(), broadcast()
    lifecycle.schedule(early, NOW - timedelta(seconds=1))
    lifecycle.schedule(late, NOW + timedelta(hours=1))
    tasks.start_due()
    assert (state(early), state(late)) == (Broadcast.State.RUNNING, Broadcast.State.SCHEDULED)
    lifecycle.unschedule(late)
    assert state(late) == Broadcast.State.DRAFT


def test_what_nobody_works_at_is_taken_up(asked):
    one, other, third = running(), running(), running()
    Broadcast.objects.filter(pk=other.pk).update(claim="x", claimed_until=timezone.now() + timedelta(seconds=9))
    Broadcast.objects.filter(pk=third.pk).update(claim="x", claimed_until=timezone.now() - timedelta(seconds=9))
    asked.clear()
    tasks.start_due()
    assert asked == [(lifecycle.RUN, one.pk), (lifecycle.RUN, third.pk)]


def test_a_task_hands_over_to_the_next(asked, monkeypatch):
    accounts(10)
    one = running()
    monkeypatch.setattr(tasks, "Budget", lambda: iter_once)
    iter_once = [1]
    monkeypatch.setattr(sending, "let_others_write", lambda seconds: iter_once.clear())
    asked.clear()
    tasks.run(one.pk)
    assert asked == [(lifecycle.RUN, one.pk)]


def test_no_faster_than_its_rate():
    one = Broadcast(rate=60)
    size, paced = sending._portion(one, NOW, sending.PORTION)
    assert (size, paced) == (3, NOW - timedelta(seconds=7))  # a portion is 3 here
    one.paced = NOW - timedelta(seconds=9)
    assert sending._portion(one, NOW, sending.PORTION)[0] == 0  # less than one message is due
    one.paced = NOW - timedelta(days=9)  # no worker ran meanwhile
    sizes = []
    while (found := sending._portion(one, NOW, sending.PORTION))[0]:
        sizes.append(found[0])
        one.paced = found[1]
    assert sum(sizes) <= 120
    assert sum(sizes) > 100


def test_one_a_minute():
    one = Broadcast(rate=1)
    size, one.paced = sending._portion(one, NOW, sending.PORTION)
    assert size == 1
    assert sending._portion(one, NOW + timedelta(seconds=59), sending.PORTION)[0] == 0
    assert sending._portion(one, NOW + timedelta(seconds=60), sending.PORTION)[0] == 1


def test_a_slow_one_does_not_keep_a_worker(asked):
    accounts(5)
    one = running(rate=12)
    assert not sending.send(one.pk, always)
    assert (state(one), one.sent) == (Broadcast.State.RUNNING, 2)
    assert one not in sending.unattended()
    Broadcast.objects.update(paced=timezone.now() - timedelta(minutes=1))
    assert one in sending.unattended()
    sending.send(one.pk, always)
    assert state(one) == Broadcast.State.DONE


# the report


def test_a_group_that_is_deleted_before_its_time_comes():
    choir = AccountGroup.objects.create(name="choir")
    one = broadcast(everyone=False)
    one.account_groups.add(choir)
    lifecycle.schedule(one, NOW)
    choir.delete()
    accounts(1)
    tasks.start_due()
    sending.send(one.pk, always)
    assert state(one) == Broadcast.State.PAUSED
    assert "has been deleted" in one.problem


@pytest.mark.once
def test_report():
    members = accounts(4)
    one = running()
    sending.send(one.pk, always)
    assert reporting.report(one) == {"queued": 4, "sent": 0, "delivered": 0, "read": 0, "undeliverable": 0}
    mailbox = mailbox_of(user_of(members[0]))
    has_read(mailbox.pk, one.messages.values_list("pk", flat=True))
    assert reporting.report(one)["read"] == 0  # the count is kept for a moment
    Broadcast.objects.update(reported=timezone.now() - timedelta(minutes=1))
    one.refresh_from_db()
    assert reporting.report(one) == {"queued": 3, "sent": 0, "delivered": 0, "read": 1, "undeliverable": 0}


def test_the_report_outlives_what_it_was_made_of():
    accounts(4)
    one = running()
    sending.send(one.pk, always)
    reporting.report(one)
    one.messages.first().delete()  # reports are not kept for ever
    Broadcast.objects.update(reported=timezone.now() - timedelta(days=90))
    one.refresh_from_db()
    assert reporting.report(one)["queued"] == 4


def test_take_back(asked, django_capture_on_commit_callbacks):
    members = accounts(10)
    one = running()
    sending.send(one.pk, portions(6))
    reader = mailbox_of(got_by(one)[0])
    has_read(reader.pk, one.messages.values_list("pk", flat=True))
    before = one.parts.count()
    assert before > 1
    with django_capture_on_commit_callbacks(execute=True):
        lifecycle.take_back(one)
    assert asked[-1] == (lifecycle.TAKE_BACK, one.pk)
    tasks.start_due()
    assert asked[-1] == (lifecycle.TAKE_BACK, one.pk)
    tasks.take_back(one.pk)
    assert state(one) == Broadcast.State.CANCELLED
    assert got(one) == {reader.user_id: 1}
    report = reporting.report(one)
    assert (report["read"], report["undeliverable"]) == (1, one.sent - 1)
    nobody = running()
    lifecycle.take_back(nobody)  # nobody has received it
    asked.clear()
    tasks.start_due()
    assert not asked
    assert len(members) > one.sent
