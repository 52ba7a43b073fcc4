"""Workers of a site, and the code that its other processes run."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

from tmtp.tests.processes import ROOT, die_with_parent
from tmtp.tests.servers import Installation

CLAIM_FOR = 1
SETTINGS = f"""
TMTP_DELIVERY = {{**globals().get("TMTP_DELIVERY", {{}}), "CLAIM_FOR": {CLAIM_FOR}}}
Q_CLUSTER = {{**Q_CLUSTER, "poll": 0.05, "workers": 2}}
"""
MEMBERS = """
from django.contrib.auth import get_user_model
from django_q.models import Schedule
from tmtp.models import User

Schedule.objects.all().delete()  # the test runs the task of each minute itself
Account = get_user_model()
for number, uid in enumerate({uids}):
    User.objects.filter(uid=uid).update(account=Account.objects.create(username=f"device {{number}}"))
Account.objects.bulk_create(Account(username=f"member {{number}}") for number in range(1500))
"""
TEXT = "the site says {number}."
BROADCAST = f"""
from tmtp.delivery.broadcasts import lifecycle
from tmtp.delivery.models import Broadcast

lifecycle.start(Broadcast.objects.create(subject="News", body="{TEXT}", everyone=True))
"""
STATE = """
from tmtp.delivery.models import Broadcast

result = Broadcast.objects.latest("pk").get_state_display()
"""
A_MINUTE_LATER = """
from tmtp.delivery.broadcasts.tasks import start_due
start_due()
"""


@contextlib.contextmanager
def worker(site: Installation) -> Iterator[None]:
    """Run `manage.py qcluster`. All of its processes are killed at the end of the block."""
    with (site.folder / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "qcluster"],
            cwd=ROOT,
            env=site.env,
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
