"""`manage.py tmtpsim`: it runs on any site that has tmtp, ends properly, and finds wrong messages.

test_verification.py is about wrong answers.
"""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

import tmtp
from tmtp.client.link import Head
from tmtp.management.commands.tmtpsim import Command, errors_in
from tmtp.simulation.client import Run
from tmtp.simulation.ledger import PREFIX, Ledger
from tmtp.simulation.report import Report
from tmtp.simulation.verification import verify
from tmtp.simulation.verification.script import read_conversations
from tmtp.simulation.world import User, World

pytestmark = pytest.mark.once

ROOT = Path(tmtp.__file__).parents[1]
ALL_IS_WELL = "no problems: no message lost, altered or delivered twice"
SITE = """
SECRET_KEY = "not a secret"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "tmtp"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "the site's own"}}
ASGI_APPLICATION = "chess_asgi.application"
USE_TZ = True
"""
APPLICATION = """
from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application
from tmtp.consumers import TmtpConsumer
application = ProtocolTypeRouter({"http": get_asgi_application(), "tcp": TmtpConsumer.as_asgi()})
"""
# `django` with fewer conversations: each setting of theirs takes a server.
DJANGO = """
from django.core.management import execute_from_command_line
from tmtp.simulation.verification import verify
conversations = verify.read_conversations()
verify.read_conversations = lambda: [each for each in conversations if each.needs_website]
execute_from_command_line()
"""


def figures(output):
    """Return the first word of each figure in the summary, by name."""
    rows = [line.split("  ") for line in output.splitlines() if "  " in line and line[0].isalpha()]
    return {row[0]: row[-1] if len(row) < 3 else next(filter(None, row[1:])).strip() for row in rows}


def test_a_cycle_of_four(monkeypatch):
    """On the site and the database of the test run.

    All conversations that need settings or the website are played. Of the others, which test_verification plays
    against a running server, those of one file are enough.
    """
    chosen = [
        each
        for each in read_conversations()
        if each.server or each.needs_website or each.file == "op12_quit.conversation"
    ]
    monkeypatch.setattr(verify, "read_conversations", lambda: chosen)
    out = io.StringIO()
    call_command("tmtpsim", "4", "--speedup=300", "--cycles=1", stdout=out, no_color=True)
    said = out.getvalue()
    assert ALL_IS_WELL in said
    assert f"conversations: {len(chosen)} agree, 0 differ, 0 skipped\n" in said
    found = figures(said)
    assert int(found["cycles"]) >= 4
    assert found["lost"] == "0"
    # two pings, 15 posts to two others, one to the group of four, one to it without the sender
    assert int(found["deliveries"]) >= 2 + 4 * (15 * 2 + 4 + 3)


@pytest.mark.skipif(os.environ.get("DATABASE_URL", "") != "", reason="is about a site on SQLite")
def test_ctrl_c_on_a_site_with_nothing_else(tmp_path):
    (tmp_path / "chess_settings.py").write_text(SITE)
    (tmp_path / "chess_asgi.py").write_text(APPLICATION)
    env = {key: value for key, value in os.environ.items() if not key.startswith(("MNM_", "TMTP_"))}
    env |= {"DJANGO_SETTINGS_MODULE": "chess_settings", "PYTHONPATH": f"{tmp_path}:{ROOT}", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-c", DJANGO, "tmtpsim", "2", "--speedup=50"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as run:
        assert run.stdout
        for line in run.stdout:
            if "messages" in line:
                break
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does on Ctrl-C
        rest = run.stdout.read()
    assert run.returncode == 0, rest
    assert ALL_IS_WELL in rest
    assert not (tmp_path / "the site's own").exists()
    assert not (tmp_path / "tmtp-spool").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["1"],
        ["1001"],
        ["many"],
        ["2", "--speedup=0.1"],
        ["2", "--duration=nan"],
        ["2", "--server=7443"],
        [],
        ["2", "--verify-only"],
    ],
)
def test_what_makes_no_sense(words):
    with pytest.raises(CommandError):
        call_command("tmtpsim", *words)


def test_no_server_there():
    with pytest.raises(CommandError, match="did not accept the members"):
        call_command("tmtpsim", "2", "--server=127.0.0.1:1")


@pytest.mark.parametrize("cert", [__file__, "/", "/no/such/file"])
def test_no_certificate_to_trust(cert):
    with pytest.raises(CommandError, match=f"{cert} is not a certificate: "):
        call_command("tmtpsim", "2", "--server=127.0.0.1:1", f"--cert={cert}")


# errors that the ledger finds


@pytest.fixture
def ledger():
    return Ledger()


def head(**members):
    return Head(**{"op": "delivery", "id": "16", "from_": "ann", **members})


def arrive(ledger, body, node=1, first_serial=0, acknowledges=True, **members):
    ledger.arrive(node, first_serial, head(**members), body, acknowledges)


def test_all_arrives(ledger):
    serial, body = ledger.write("ann", 80, {1, 2})
    post = ledger.posts[serial]
    assert len(body) == 80
    arrive(ledger, body)
    ledger.acknowledge(serial, post, head(msgid="16"))
    assert ledger.due == 1
    arrive(ledger, body, node=2)
    assert (ledger.due, ledger.posts, ledger.faults) == (0, {}, {})
    assert (ledger.acked, ledger.arrived, ledger.arrived_octets) == (1, 2, 160)


@pytest.mark.parametrize(
    ("change", "members"),
    [
        (lambda body: body, {"from_": "bob"}),
        (lambda body: body, {"id": "17"}),
        (lambda body: body[:-1], {}),
        (lambda body: body[:-1] + b"!", {}),
        (lambda body: b"no number", {}),
        (lambda body: b"", {}),
    ],
)
def test_what_is_altered(ledger, change, members):
    serial, body = ledger.write("ann", 400, {1})
    ledger.acknowledge(serial, ledger.posts[serial], head(msgid="16"))
    arrive(ledger, change(body), **members)
    assert ledger.faults == {"altered": 1}


def test_an_ack_of_another_message(ledger):
    serial, body = ledger.write("ann", 400, {1, 2})
    post = ledger.posts[serial]
    arrive(ledger, body)
    ledger.acknowledge(serial, post, head(msgid="17"))
    assert ledger.faults == {"altered": 1}


@pytest.mark.parametrize(("first", "second"), [(1, 1), (1, 2)])
def test_what_comes_twice_or_to_another(ledger, first, second):
    _, body = ledger.write("ann", 400, {1})
    arrive(ledger, body, node=first)
    arrive(ledger, body, node=second)
    assert ledger.faults == {"doubled or misrouted": 1}


def test_what_was_not_acknowledged_may_come_again(ledger):
    _, body = ledger.write("ann", 400, {1, 2})
    arrive(ledger, body, acknowledges=False)
    arrive(ledger, body)
    assert (ledger.again, ledger.faults) == (1, {})
    arrive(ledger, body, node=2)
    ledger.unreliable.add(2)  # its link was cut, and the ack was lost
    arrive(ledger, body, node=2)
    assert (ledger.again, ledger.faults, ledger.posts) == (2, {}, {})


def test_a_new_node_gets_what_was_sent_before_once(ledger):
    serial, body = ledger.write("ann", PREFIX, {1})
    arrive(ledger, body, node=3, first_serial=serial)
    assert not ledger.faults
    arrive(ledger, body, node=3, first_serial=serial)
    assert ledger.faults == {"doubled or misrouted": 1}


def test_what_is_lost_or_refused(ledger):
    serial, _ = ledger.write("ann", 400, {1, 2})
    ledger.acknowledge(serial, ledger.posts[serial], head(msgid="16"))
    ledger.write("ann", 400, {1})  # it was never acknowledged, so it need not arrive
    serial, _ = ledger.write("ann", 400, {1})
    ledger.acknowledge(serial, ledger.posts[serial], head(error="no room"))
    assert (ledger.due, ledger.faults) == (2, {"refused": 1})


async def test_the_summary_says_what_is_wrong():
    world = World(("127.0.0.1", 0), None)
    serial, _ = world.ledger.write("ann", 400, {1, 2})
    world.ledger.acknowledge(serial, world.ledger.posts[serial], head(msgid="16"))
    report = Report(Run(world), io.StringIO(), lambda: 12.3, lambda: 0.5)
    report.update()
    assert "[##########..........]" in report.out.getvalue() and "server 12 MB" in report.out.getvalue()
    out = io.StringIO()
    with pytest.raises(SystemExit) as end:
        Command(stdout=out)._conclude(report, 60, errors_in("1 ERROR tmtp: it failed\n2 INFO tmtp: not this"))
    assert end.value.code == 1
    found = figures(out.getvalue())
    assert (found["lost"], found["time"]) == ("2", "01:00")
    assert "it failed" in out.getvalue() and "not this" not in out.getvalue() and "errors found" in out.getvalue()


@pytest.mark.parametrize(
    ("count", "sizes"), [(2, [2]), (100, [100]), (101, [101]), (102, [100, 2]), (250, [100, 100, 50])]
)
async def test_groups_of_a_hundred(count, sizes):
    world = World(("127.0.0.1", 0), None)
    groups = world._name(count)
    assert [len(members) for members in groups] == sizes
    assert all(isinstance(user, User) and user in user.group for user in world.users)
    assert len({user.gid for user in world.users}) == len(sizes)
