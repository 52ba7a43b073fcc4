"""`migrate` updates the schedules to the list in the code, and leaves other schedules alone."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.core.management import call_command
from django.utils.module_loading import import_string
from django_q.models import Schedule

from tmtp.delivery import schedules

pytestmark = pytest.mark.django_db


def rows():
    ours = Schedule.objects.filter(name__startswith=schedules.PREFIX)
    return set(ours.values_list("name", "func", "minutes", "schedule_type"))


def wanted():
    return {(f"tmtp_delivery: {name}", function, minutes, "I") for name, function, minutes in schedules.SCHEDULES}


def test_migrate_makes_them_once():
    assert rows() == wanted()
    call_command("migrate", verbosity=0)
    assert rows() == wanted()
    assert Schedule.objects.filter(name__startswith=schedules.PREFIX).count() == len(schedules.SCHEDULES)


def test_each_function_is_there():
    for every in schedules.SCHEDULES:
        assert callable(import_string(every.function))


def test_a_change_of_the_list_changes_and_removes_rows(monkeypatch):
    Schedule.objects.create(name="the shop's own", func="shop.tasks.count", schedule_type="D")
    monkeypatch.setattr(schedules, "SCHEDULES", (schedules.Every("heartbeat", "shop.beat", 7),))
    schedules.make_schedules()
    assert ("tmtp_delivery: heartbeat", "shop.beat", 7, "I") in rows()
    assert len(rows()) == 1
    assert Schedule.objects.filter(name="the shop's own").exists()


def test_what_somebody_switched_off_stays_off():
    row = Schedule.objects.get(name="tmtp_delivery: heartbeat")
    Schedule.objects.filter(pk=row.pk).update(repeats=0)
    schedules.make_schedules(apps=apps)
    again = Schedule.objects.get(name="tmtp_delivery: heartbeat")
    assert (again.repeats, again.next_run) == (0, row.next_run)
