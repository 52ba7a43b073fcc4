"""Broadcasts that are repeated: at the same time of day, each run once, whatever happens to the workers."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth import get_user_model
from django.urls import reverse
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from tmtp.delivery.broadcasts import lifecycle, recurrence, sending, tasks
from tmtp.delivery.models import Broadcast
from tmtp.models import QueueEntry
from tmtp.services.errors import Refused

pytestmark = pytest.mark.django_db
Account = get_user_model()
State = Broadcast.State
BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = datetime(2026, 1, 5, 9, tzinfo=UTC)


@pytest.fixture(autouse=True)
def no_workers(monkeypatch):
    for module in (lifecycle, tasks):
        monkeypatch.setattr(module, "run_soon", lambda *task: None)


@pytest.fixture
def at(monkeypatch):
    """Set the time, for all who ask Django for it."""
    return lambda moment: monkeypatch.setattr(timezone, "now", lambda: moment)


def repeated(repeat="daily", first=MONDAY, **options):
    one = Broadcast.objects.create(subject="News", body="Hello", everyone=True, rate=6000)
    lifecycle.schedule(one, first, repeat=repeat, **options)
    return one


def in_berlin(moment):
    return moment.astimezone(BERLIN).strftime("%m-%d %H:%M")


def times(first, repeat, number, zone=BERLIN):
    with timezone.override(UTC):  # readers' zones do not matter
        return [in_berlin(recurrence.time_of(first, repeat, one)) for one in range(number)]


@pytest.mark.parametrize(
    ("first", "repeat", "expected"),
    [
        ("2026-03-28 09:00", "daily", ["03-28 09:00", "03-29 09:00", "03-30 09:00"]),
        ("2026-03-28 02:30", "daily", ["03-28 02:30", "03-29 03:30", "03-30 02:30"]),  # 2:30 is skipped
        ("2026-10-24 02:30", "daily", ["10-24 02:30", "10-25 02:30", "10-26 02:30"]),  # 2:30 comes twice
        ("2026-10-20 18:00", "weekly", ["10-20 18:00", "10-27 18:00", "11-03 18:00"]),
        ("2026-01-31 00:05", "monthly", ["01-31 00:05", "02-28 00:05", "03-31 00:05", "04-30 00:05"]),
        ("2027-11-30 23:55", "monthly", ["11-30 23:55", "12-30 23:55", "01-30 23:55", "02-29 23:55"]),
    ],
)
def test_the_same_time_of_day_in_summer_and_winter(settings, first, repeat, expected):
    settings.TIME_ZONE = "Europe/Berlin"
    begin = datetime.fromisoformat(first).replace(tzinfo=BERLIN).astimezone(UTC)
    assert times(begin, repeat, len(expected)) == expected


@pytest.mark.once
@given(
    st.integers(0, 7000 * 24 * 60).map(lambda minutes: MONDAY + timedelta(minutes=minutes)),
    st.sampled_from(["daily", "weekly", "monthly"]),
    st.timedeltas(timedelta(days=-3), timedelta(days=3000)),
)
def test_the_next_time_is_the_first_one_that_is_later(first, repeat, later):
    after = first + later
    found = recurrence.next_time(first, repeat, after)
    assert found > after or found == first
    number = next(n for n in range(4000) if recurrence.time_of(first, repeat, n) == found)
    assert number == 0 or recurrence.time_of(first, repeat, number - 1) <= after


def test_each_run_is_a_broadcast_of_its_own(at):
    Account.objects.create(username="ann")
    one = repeated()
    for day in range(3):
        at(MONDAY + timedelta(days=day, seconds=20))
        tasks.start_due()
        tasks.start_due()
    runs = list(one.runs.order_by("pk"))
    assert [(run.state, run.send_at, run.rate) for run in runs] == [
        (State.RUNNING, MONDAY + timedelta(days=day), 6000) for day in range(3)
    ]
    one.refresh_from_db()
    assert (one.state, one.repeats, one.send_at) == (State.SCHEDULED, 3, MONDAY + timedelta(days=3))
    sending.send(runs[0].pk, lambda: True)
    assert QueueEntry.objects.count() == 1


def test_what_was_missed_is_sent_once(at):
    one = repeated()
    at(MONDAY + timedelta(days=9, hours=5))
    tasks.start_due()
    one.refresh_from_db()
    assert (one.runs.count(), one.send_at) == (1, MONDAY + timedelta(days=10))


def test_two_workers_begin_one_run(at):
    one = repeated()
    at(MONDAY)
    same = Broadcast.objects.get()
    lifecycle.begin_due(one)
    lifecycle.begin_due(same)
    assert one.runs.count() == 1


def test_who_dies_in_the_middle_has_done_nothing(at, monkeypatch):
    one = repeated()
    at(MONDAY)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(lifecycle, "start", lambda run: (_ for _ in ()).throw(KeyboardInterrupt))
        tasks.start_due()
    assert not one.runs.exists()
    tasks.start_due()
    assert one.runs.count() == 1


@pytest.mark.parametrize("end", [{"times": 2}, {"until": date(2026, 1, 6)}])
def test_it_ends(at, end):
    one = repeated(**end)
    for day in range(4):
        at(MONDAY + timedelta(days=day))
        tasks.start_due()
    one.refresh_from_db()
    assert (one.runs.count(), one.state) == (2, State.DONE)


def test_what_makes_no_sense_is_refused(at):
    one = repeated()
    with pytest.raises(Refused, match="repeated"):
        lifecycle.start(one)
    lifecycle.unschedule(one)
    for wrong in (
        {"repeat": "hourly"},
        {"repeat": "daily", "times": 0},
        {"repeat": "daily", "until": date(2026, 1, 4)},
    ):
        with pytest.raises(Refused):
            lifecycle.schedule(one, MONDAY, **wrong)
    lifecycle.start(one)
    assert (one.state, one.repeat) == (State.RUNNING, "")


def test_in_the_admin(admin_client):
    one = Broadcast.objects.create(subject="News", body="Hello", everyone=True)
    review = reverse("admin:tmtp_delivery_broadcast_review", args=[one.pk])
    data = {"later": "", "send_at": "2199-12-31T10:30", "repeat": "weekly", "repeat_times": "3"}
    page = admin_client.post(review, {**data, "repeat_until": "2199-01-01"}).content.decode()
    assert "end before it is sent" in page
    page = admin_client.post(review, data).content.decode()
    assert "beginning on Dec. 31, 2199" in page
    admin_client.post(review, {**data, "confirmed": "yes"})
    one.refresh_from_db()
    assert (one.state, one.repeat, one.repeat_times) == (State.SCHEDULED, "weekly", 3)
    Broadcast.objects.update(send_at=timezone.now())
    tasks.start_due()
    change = reverse("admin:tmtp_delivery_broadcast_change", args=[one.pk])
    page = admin_client.get(change).content.decode()
    assert "every week" in page
    assert "Runs" in page
    assert "Send now" not in page
    run = one.runs.get()
    assert change in admin_client.get(change.replace(str(one.pk), str(run.pk))).content.decode()
    assert "1 run" in admin_client.get(reverse("admin:tmtp_delivery_broadcast_changelist")).content.decode()
