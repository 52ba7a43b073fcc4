"""The times of the last runs, and whether a worker runs."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from tmtp.delivery import last_runs, tasks, workers
from tmtp.delivery.models import LastRun

pytestmark = pytest.mark.django_db


def test_a_worker_is_late_until_one_runs():
    assert workers.are_missing()
    tasks.heartbeat()
    assert not workers.are_missing()
    LastRun.objects.filter(name=workers.HEARTBEAT).update(at=timezone.now() - timedelta(minutes=4))
    assert workers.are_missing()


def test_a_mark_is_taken_by_one_for_a_while():
    hour = timedelta(hours=1)
    assert last_runs.start("it", hour)
    assert not last_runs.start("it", hour)
    last_runs.reset("it")
    assert last_runs.start("it", hour)
    assert last_runs.start("it", timedelta(0))


def test_a_mark_says_how_far():
    assert last_runs.progress_of("far") == 0
    last_runs.record("far", 17)
    last_runs.record("far", 18)
    assert last_runs.progress_of("far") == 18
