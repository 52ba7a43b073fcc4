"""A worker killed (kill -9) while the handler runs loses no answer. One that always fails becomes a dead letter."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tmtp.tests.databases import sqlite_template
from tmtp.tests.processes import ROOT, Other

pytestmark = pytest.mark.once

SETTINGS = """
import os
from mnmsite.settings import *
TMTP_DELIVERY = {"HANDLER": "handler_of_the_test.received", "CLAIM_FOR": 1, "HANDLER_TRIES": 2}
TMTP_DELIVERY["HANDLER_BACKOFF"] = 0.000001
Q_CLUSTER = {**Q_CLUSTER, "workers": 1, "poll": 0.1}
if os.environ.get("BROKER"):
    del Q_CLUSTER["orm"]
    Q_CLUSTER["redis"] = os.environ["BROKER"]
"""
HANDLER = """
import os, time
from pathlib import Path

log = Path(__file__).with_name("log")

def received(message):
    with log.open("a") as file:
        file.write(f"{message.text}\\n")
    if message.text == "poison":
        raise ValueError("it tastes bad")
    if log.read_text().count(message.text) == 1:
        time.sleep(600)
"""
WRITE = """
from django.db import transaction
from tmtp.protocol.requests import TO_USER, Recipient
from tmtp.services.messages import posting
from tmtp.services.messages.posts import Post
from tmtp.services.people import users
from tmtp.services.people.site import site_user

ann = users.register("phone", "ann of rome").sender
for text in (b"slow", b"poison"):
    with transaction.atomic():
        posting.post([Post(ann, [Recipient(site_user().uid, TO_USER)], b"{}" + text, datahead=2)])
"""
LOOK = """
from tmtp.delivery.inbound.handling import site_mailbox
from tmtp.delivery.models import Attempt
from tmtp.services.messages.mailbox import Received, messages_of

waiting = [Received(message).text for message in messages_of(site_mailbox())]
dead = [(attempt.tries, attempt.error.strip().split("\\n")[-1]) for attempt in Attempt.objects.exclude(dead=None)]
result = waiting, dead
"""


def environment(folder):
    path = os.pathsep.join([str(folder), str(ROOT)])
    own = {"DJANGO_SETTINGS_MODULE": "settings_of_the_test", "PYTHONPATH": path, "MNM_VAR": str(folder / "var")}
    return {**os.environ, **own, "DATABASE_URL": ""}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return the folder of a migrated site with this handler. A message from Ann waits there."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "settings_of_the_test.py").write_text(SETTINGS)
    (folder / "handler_of_the_test.py").write_text(HANDLER)
    (folder / "log").touch()
    (folder / "var").mkdir()
    shutil.copy(sqlite_template(), folder / "var" / "mnm.sqlite3")
    with contextlib.closing(Other(environment(folder))) as other:
        other.run(WRITE)
    return folder


@pytest.fixture
def site(made, tmp_path):
    """Return the environment of such a site for one test."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return environment(tmp_path)


@contextlib.contextmanager
def worker(env, log):
    """Run workers until the block ends. Then they and their children are killed."""
    command = [sys.executable, str(ROOT / "manage.py"), "qcluster"]
    with log.open("ab") as output:
        process = subprocess.Popen(command, env=env, stdout=output, stderr=output, start_new_session=True)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(log, said):
    deadline = time.monotonic() + 60
    while log.read_text().split() != said:
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def test_a_worker_is_killed_while_the_handler_runs(site, tmp_path):
    log = tmp_path / "log"
    with contextlib.closing(Other(site)) as other:
        with worker(site, tmp_path / "said"):  # it polls as soon as it starts
            wait_for(log, ["slow"])
        assert other.run(LOOK) == [["slow", "poison"], []]
        time.sleep(1)  # until its claim has expired
        with worker(site, tmp_path / "said"):
            wait_for(log, ["slow", "slow", "poison", "poison"])
            deadline = time.monotonic() + 60
            while not (found := other.run(LOOK))[1]:
                assert time.monotonic() < deadline, found
                time.sleep(0.05)
    assert found == [["poison"], [[2, "ValueError: it tastes bad"]]]


def test_redis_as_broker(site, tmp_path, redis_url):
    with worker(site | {"BROKER": redis_url}, tmp_path / "said"):
        wait_for(tmp_path / "log", ["slow"])
