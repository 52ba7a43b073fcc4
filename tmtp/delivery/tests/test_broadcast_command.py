"""`manage.py broadcast`."""

from __future__ import annotations

import io
import os
import signal

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group as AccountGroup
from django.core.management import CommandError, call_command

from tmtp.delivery.broadcasts import lifecycle, sending
from tmtp.delivery.models import Broadcast, Template
from tmtp.models import QueueEntry

pytestmark = [pytest.mark.django_db, pytest.mark.once]
State = Broadcast.State


@pytest.fixture(autouse=True)
def small_portions(monkeypatch):
    monkeypatch.setattr(sending, "PORTION", 2)


@pytest.fixture
def body(tmp_path):
    file = tmp_path / "news.md"
    file.write_text("Hello *all*")
    return str(file)


@pytest.fixture
def members():
    return [get_user_model().objects.create(username=f"member {number}") for number in range(6)]


def run(*words):
    out = io.StringIO()
    call_command("broadcast", *words, stdout=out)
    return out.getvalue()


def test_to_everyone(body, members):
    said = run("--subject", "News", "--body-file", body, "--all", "--rate", "60000")
    assert "queued for 6 of 6: done" in said
    assert QueueEntry.objects.count() == 6
    assert Broadcast.objects.get().rate == 60000


def test_to_some(body, members):
    choir = AccountGroup.objects.create(name="choir")
    members[0].groups.add(choir)
    run("--subject", "News", "--body-file", body, "--account-group", "choir", "--joined-since", "2020-01-31")
    assert list(QueueEntry.objects.values_list("node__user__account", flat=True)) == [members[0].pk]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--subject and --body-file"),
        (["--subject", "x", "--body-file", "{body}"], "has no audience"),
        (["--subject", "x", "--body-file", "{body}", "--all", "--staff"], "cannot be combined with other conditions"),
        (["--subject", "x", "--body-file", "{body}", "--group", "nobody here"], "Group “nobody here” does not exist"),
        (["--subject", "x", "--body-file", "/nowhere", "--all"], "/nowhere cannot be read"),
        (["--subject", "x" * 201, "--body-file", "{body}", "--all"], "subject: .*at most 200 characters"),
        (["--subject", "x", "--body-file", "/dev/null", "--all"], "text: This field cannot be blank"),
        (["--subject", "x", "--body-file", "{body}", "--all", "--rate", "0"], "0 is not a positive number"),
        (["--subject", "x", "--body-file", "{body}", "--joined-since", "May"], "May is not a date"),
        (["--subject", "x", "--body-file", "{body}", "--all", "--at", "noon"], "noon is not a time"),
        (["--subject", "x", "--body-file", "{body}", "--all", "--repeat", "daily"], "needs --at"),
        (["--subject", "x", "--body-file", "{body}", "--all", "--times", "2"], "need --repeat"),
        (["--resume", "4711"], "Broadcast 4711 does not exist"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_nothing_is_left(body, words, said):
    with pytest.raises(CommandError, match=said):
        run(*[word.format(body=body) for word in words])
    assert not Broadcast.objects.exists()


def test_a_file_that_is_no_text(tmp_path):
    (tmp_path / "news.md").write_bytes(b"\xff\xfe")
    with pytest.raises(CommandError, match="not in UTF-8"):
        run("--subject", "x", "--body-file", str(tmp_path / "news.md"), "--all")


def test_ctrl_c_pauses_and_resume_goes_on(body, members, monkeypatch, capsys):
    real = sending.send_message

    def interrupted(*args, **options):
        if QueueEntry.objects.exists():
            os.kill(os.getpid(), signal.SIGINT)
        return real(*args, **options)

    monkeypatch.setattr(sending, "send_message", interrupted)
    out = io.StringIO()
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit, match="130"):
        call_command("broadcast", "--subject", "News", "--body-file", body, "--all", stdout=out)
    assert signal.getsignal(signal.SIGINT) is before
    broadcast = Broadcast.objects.get()
    assert (broadcast.state, broadcast.sent, broadcast.claim) == (State.PAUSED, 4, "")
    assert f"--resume {broadcast.pk}" in out.getvalue()
    monkeypatch.setattr(sending, "send_message", real)
    assert "queued for 6 of 6: done" in run("--resume", str(broadcast.pk))
    assert QueueEntry.objects.count() == 6


def test_it_begins_a_draft_and_tells_of_what_is_over(members):
    draft = Broadcast.objects.create(subject="x", body="y", everyone=True)
    assert "6 of 6: done" in run("--resume", str(draft.pk))
    assert "6 of 6: done" in run("--resume", str(draft.pk))


def test_it_watches_what_another_one_sends(members, monkeypatch):
    """It follows a broadcast that another process sends, and ends when that is cancelled."""
    from tmtp.delivery.management.commands import broadcast as command

    one = Broadcast.objects.create(subject="x", body="y", everyone=True)
    lifecycle.start(one)
    claim = sending._take(one.pk)
    assert claim
    monkeypatch.setattr(command.time, "sleep", lambda seconds: lifecycle.cancel(one))
    with pytest.raises(SystemExit, match="130"):
        run("--resume", str(one.pk))


def test_a_test_a_count_and_a_question(body, members, monkeypatch):
    Template.objects.create(name="news", subject="News", body="Hello {{ username }}")
    assert "6 recipients" in run("--template", "news", "--all", "--count")
    assert "sent to “member 1”" in run("--template", "news", "--all", "--test", "member 1", "--attach", body)
    assert QueueEntry.objects.count() == 1
    monkeypatch.setattr("sys.stdin", Terminal("no\n"))
    assert "It was not sent." in run("--template", "news", "--all")
    assert not Broadcast.objects.exists()
    monkeypatch.setattr("sys.stdin", Terminal("yes\n"))
    assert "6 of 6: done" in run("--template", "news", "--all")
    with pytest.raises(CommandError, match="Template “old” does not exist"):
        run("--template", "old", "--all")


def test_at_a_time_and_again(body, members):
    words = ["--subject", "News", "--body-file", body, "--all", "--at", "2199-01-31T18:00"]
    assert "is scheduled for Jan. 31, 2199" in run(*words, "--repeat", "weekly", "--times", "3")
    one = Broadcast.objects.get()
    assert (one.state, one.repeat, one.repeat_times) == (State.SCHEDULED, "weekly", 3)


class Terminal(io.StringIO):
    def isatty(self):
        return True
