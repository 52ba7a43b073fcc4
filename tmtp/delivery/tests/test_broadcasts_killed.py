"""Real workers, killed with kill -9 during a broadcast: each recipient still gets it exactly once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from tmtp.tests.processes import ROOT, die_with_parent
from tmtp.tests.servers import installation

pytestmark = pytest.mark.once

MEMBERS = 6000
PATIENCE = 120

SETTINGS = """
TMTP_DELIVERY = {**globals().get("TMTP_DELIVERY", {}), "CLAIM_FOR": 1}
Q_CLUSTER = {**Q_CLUSTER, "poll": 0.05, "workers": 2}
"""
BEGIN = f"""
from django.contrib.auth import get_user_model
from django_q.models import Schedule
from tmtp.delivery.broadcasts import lifecycle
from tmtp.delivery.models import Broadcast

Schedule.objects.all().delete()  # the test runs the task of each minute itself
Account = get_user_model()
Account.objects.bulk_create(Account(username=f"member {{number}}") for number in range({MEMBERS}))
broadcast = Broadcast.objects.create(subject="News", body="Hello", everyone=True)
lifecycle.start(broadcast)
"""
LOOK = """
from tmtp.delivery.models import Broadcast
from tmtp.models import User

broadcast = Broadcast.objects.get()
result = broadcast.get_state_display(), User.objects.count(), broadcast.sent
"""
A_MINUTE_LATER = """
from tmtp.delivery.broadcasts.tasks import start_due
start_due()
"""
FOUND = """
from collections import Counter
from tmtp.delivery.models import Broadcast, Recipient
from tmtp.models import QueueEntry, Report

each = Counter(QueueEntry.objects.values_list("node__user__account", flat=True))
parts = Broadcast.objects.get().parts.values("message")
result = {
    "members": len(each),
    "most": max(each.values()),
    "reports": Report.objects.filter(message__in=parts).count(),
    "entries": QueueEntry.objects.filter(message__in=parts).count(),
    "left": Recipient.objects.count(),
}
"""


@contextmanager
def worker(place):
    """Run `manage.py qcluster`. All of its processes are killed at the end of the block."""
    with (place.folder / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "qcluster"],
            cwd=ROOT,
            env=place.env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=die_with_parent(),
        )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until(condition, place):
    last = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < last, (place.folder / "worker.log").read_text()[-3000:]
        time.sleep(0.02)


def later(other):
    """Let the claim of the killed worker expire, and run the task of the next minute."""
    time.sleep(1.2)
    other.run(A_MINUTE_LATER)


def test_workers_that_are_killed_leave_nobody_out_and_send_nothing_twice():
    with installation() as place:
        with (place.folder / "overridden_settings.py").open("a") as settings:
            settings.write(SETTINGS)
        with place.other_process() as other:
            other.run(BEGIN)
            with worker(place):
                wait_until(lambda: other.run(LOOK)[1] > 0, place)  # it is creating users for the members
            state, users, sent = other.run(LOOK)
            assert (state, sent) == ("running", 0)
            assert 0 < users < MEMBERS
            later(other)
            with worker(place):
                wait_until(lambda: other.run(LOOK)[2] > 0, place)  # it is sending
            assert other.run(LOOK)[0] == "running"
            later(other)
            other.run(A_MINUTE_LATER)  # two workers at once
            with worker(place):
                wait_until(lambda: other.run(LOOK)[0] == "done", place)
            assert other.run(FOUND) == {
                "members": MEMBERS,
                "most": 1,
                "reports": MEMBERS,
                "entries": MEMBERS,
                "left": 0,
            }
