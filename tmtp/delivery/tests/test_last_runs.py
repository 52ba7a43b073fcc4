"""Marks, and whether a worker is there."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from tmtp.delivery import marks, tasks
from tmtp.delivery.models import Mark

pytestmark = pytest.mark.django_db


def test_a_worker_is_late_until_one_runs():
    assert marks.worker_is_late()
    tasks.heartbeat()
    assert not marks.worker_is_late()
    Mark.objects.filter(name=marks.WORKER).update(at=timezone.now() - timedelta(minutes=4))
    assert marks.worker_is_late()


def test_a_mark_is_taken_by_one_for_a_while():
    hour = timedelta(hours=1)
    assert marks.take("it", hour)
    assert not marks.take("it", hour)
    marks.clear("it")
    assert marks.take("it", hour)
    assert marks.take("it", timedelta(0))


def test_a_mark_says_how_far():
    assert marks.number_of("far") == 0
    marks.set_mark("far", 17)
    marks.set_mark("far", 18)
    assert marks.number_of("far") == 18
