"""The clock: compared at the start, and whatever it does later, numbers are not used twice and keep their order."""

from __future__ import annotations

import logging
import os
import re
import time
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from tmtp.engine import clock
from tmtp.engine.clock import ClockFailed, compare_with_database, compare_with_ntp
from tmtp.models import Message, Receipt
from tmtp.protocol.values import format_msgid, format_posted
from tmtp.services.storage import clock as module
from tmtp.services.storage.clock import Clock, _ask_database
from tmtp.services.storage.numbers import STEP, Numbers, largest_number
from tmtp.testing import Client, ServerFailed, running_server

from .ntp import NtpServer, ntp_server

HOUR = 3600


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "TIMEOUT", 60.0)
    monkeypatch.setattr(clock, "PAUSE", 0.0)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, patient: None) -> None:
    monkeypatch.setattr(clock, "TIMEOUT", 1.0)


def compare(settings: Any, *hosts: str, retries: int = 0) -> None:
    settings.TMTP = {**settings.TMTP, "NTP": {"HOSTS": list(hosts), "RETRIES": retries}}
    compare_with_ntp()


def exact(text: str) -> str:
    """Return a text with whole seconds: a busy computer measures a little more, or less."""
    return re.sub(r"\d+\.\d(?= seconds)", lambda found: f"{round(float(found[0])):.1f}", text)


# NTP


@pytest.mark.parametrize("ahead", [0, 0.7, -0.7])
def test_a_clock_that_is_right(ahead: float, settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    with ntp_server(ahead=ahead) as server:
        compare(settings, server.host)
        assert len(server.requests) == 1
    assert not caplog.records


@pytest.mark.parametrize(("ahead", "words"), [(3, "3.0 seconds behind"), (-55, "55.0 seconds ahead of")])
def test_a_clock_that_is_seconds_off(
    ahead: float, words: str, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with ntp_server(ahead=ahead) as server:
        compare(settings, server.host)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert exact(record.getMessage()) == f"the clock of this host is {words} the NTP server {server.host}"


@pytest.mark.parametrize(("ahead", "words"), [(61, "61.0 seconds behind"), (-HOUR, "3600.0 seconds ahead of")])
def test_a_clock_that_is_a_minute_off(ahead: float, words: str, settings: Any) -> None:
    with ntp_server(ahead=ahead) as server, pytest.raises(ClockFailed) as failed:
        compare(settings, server.host)
    expected = f"The clock of this host is {words} the NTP server {server.host}. Set it, then start again."
    assert exact(str(failed.value)) == expected


def test_nobody_is_asked_without_hosts(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_ask", lambda *_: pytest.fail("asked"))
    for ntp in ({}, {"RETRIES": 9}, {"HOSTS": []}):
        settings.TMTP = {**settings.TMTP, "NTP": ntp}
        compare_with_ntp()
    settings.TMTP = {}
    compare_with_ntp()


def test_the_next_server_is_asked_when_one_does_not_answer(settings: Any, impatient: None) -> None:
    with ntp_server(unanswered=99) as silent, ntp_server() as server:
        compare(settings, "no-such-host.invalid", silent.host, server.host)
        assert len(silent.requests) == len(server.requests) == 1


def test_they_are_asked_again(settings: Any, impatient: None) -> None:
    with ntp_server(unanswered=2) as server:
        compare(settings, server.host, retries=2)
        assert len(server.requests) == 3
    with ntp_server(unanswered=2) as server, pytest.raises(ClockFailed):
        compare(settings, server.host, retries=1)


def test_none_answers(settings: Any, impatient: None) -> None:
    with ntp_server(unanswered=99) as silent, pytest.raises(ClockFailed) as failed:
        compare(settings, silent.host, "no-such-host.invalid", retries=1)
    assert len(silent.requests) == 2
    text = str(failed.value)
    assert silent.host in text and "no-such-host.invalid" in text and "Correct HOSTS" in text


@pytest.mark.parametrize(
    "wrong",
    [{"leap": 3}, {"stratum": 0}, {"stratum": 16}, {"mode": 3}, {"echoes": False}, {"dispersion": 20}, {"time": 0}],
    ids=str,
)
def test_an_answer_that_counts_for_nothing(wrong: dict[str, Any], settings: Any) -> None:
    """Of a server that is not synchronised, refuses, does not know or tell the time, or answers another request."""
    with ntp_server() as server, pytest.raises(ClockFailed, match="not one of a synchronised server"):
        for name, value in wrong.items():
            setattr(server, name, value)
        compare(settings, server.host)


@pytest.mark.once
def test_a_server_starts_or_does_not(migrated_site: dict[str, str]) -> None:
    def ntp(server: NtpServer) -> dict[str, Any]:
        return {"NTP": {"HOSTS": [server.host], "RETRIES": 9}}

    with ntp_server(ahead=5) as server, running_server(env=migrated_site, tmtp=ntp(server)) as running:
        assert "WARNING tmtp: the clock of this host is 5.0 seconds behind" in exact(running.said())
    with (
        ntp_server(ahead=-90) as server,
        pytest.raises(ServerFailed) as failed,
        running_server(env=migrated_site, tmtp=ntp(server)),
    ):
        pass
    *_, line = str(failed.value).strip().splitlines()
    assert exact(line).startswith("CommandError: The clock of this host is 90.0 seconds ahead of the NTP server")
    assert "Traceback" not in str(failed.value)
    assert failed.value.code == 1


# the database's clock


@pytest.mark.django_db
def test_the_databases_clock_is_compared(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    compare_with_database()
    assert not caplog.records
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 40 * 10**9)
    compare_with_database()
    warnings = [record.getMessage() for record in caplog.records]
    if connection.vendor == "sqlite":  # it is the same clock
        assert not warnings
    else:
        (warning,) = warnings
        assert exact(warning).startswith("the clock of this host is 40.0 seconds ahead of the database's")


@pytest.mark.django_db
def test_messages_are_numbered_by_the_databases_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """So those of two hosts are in order, whatever their clocks say."""
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 40 * 10**9)
    ahead = (Numbers(Clock(_ask_database).now).next() - real()) / 1e9
    assert ahead == pytest.approx(40 if connection.vendor == "sqlite" else 0, abs=1)


@pytest.mark.once
@given(st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 10**7)), min_size=1, max_size=20), st.integers())
def test_a_measurement_corrects_the_clock_by_as_much_as_it_is_surely_wrong(
    delays: list[tuple[int, int]], offset: int
) -> None:
    """However long the query takes on its way and back, it is never off by more than the shortest took."""
    at = [0]
    with mock.patch.object(module, "running", lambda: at[0]):
        known = Clock(lambda: at[0] + offset)
        for there, back in delays:
            asked, at[0] = at[0], at[0] + there
            told = at[0] + offset
            at[0] += back
            known.learn(told, asked)
        assert abs(known.now() - (at[0] + offset)) <= min(there + back for there, back in delays)
        known.learn(at[0] + offset - HOUR * 10**9, at[0])
        assert known.now() == at[0] + offset - HOUR * 10**9, "the database's clock was set back"


# numbers


def test_a_clock_that_is_set_back_while_a_server_runs() -> None:
    now = [time.time_ns()]
    numbers = Numbers(lambda: now[0])
    given = [numbers.next()]
    for step in (-1, -HOUR, 0, 10, -2 * HOUR, 0):
        now[0] += step * 10**9
        given += [numbers.next() for _ in range(100)]
    assert given == sorted(set(given))
    now[0] = given[-1] + HOUR * 10**9
    assert 0 <= now[0] - numbers.next() < 2 * STEP, "with the clock right again, numbers are its time again"


@pytest.mark.django_db
def test_the_largest_number_of_what_is_left() -> None:
    assert largest_number() == 0
    Message.objects.create(pk=1000, op="ping", head=b"")
    assert largest_number() == 1000
    Receipt.objects.create(key=1, digest=b"", number=2000)  # of a message that is delivered and gone
    assert largest_number() == 2000


SITECUSTOMIZE = """
import time
real, real_ns = time.time, time.time_ns
time.time = lambda: real() - {back}
time.time_ns = lambda: real_ns() - {back} * 10**9
"""


def set_back(site: dict[str, str], folder: Path, seconds: int) -> dict[str, str]:
    """The environment of a server whose clock is set back."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SITECUSTOMIZE.format(back=seconds))
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    return {**site, "PYTHONPATH": path}


def post(client: Client, to: str, count: int) -> list[tuple[int, str]]:
    """Post messages to a user, or to nobody. Return the number and `posted` of each."""
    header = {"op": 7, "for": [{"id": to, "type": 1}] if to else []}
    acks = [client.ask({**header, "id": str(n)}, b"%d" % time.monotonic_ns()).header for n in range(count)]
    return [(int(ack["msgid"], 16), ack["posted"]) for ack in acks]


def enter(client: Client, uid: str, nodeid: str) -> None:
    client.greet()
    assert client.log_in(uid, nodeid)["op"] == "info"


@pytest.mark.once
def test_a_restart_with_the_clock_set_back(migrated_site: dict[str, str], tmp_path: Path) -> None:
    """Later messages have higher numbers, times that follow from them, and arrive later."""
    with running_server(env=migrated_site) as server, server.client() as ann, server.client() as bob:
        for client in (ann, bob):
            client.greet()
            client.register("laptop")
        sent = post(ann, bob.uid, 3)
        assert [bob.next_queued("delivery").id for _ in sent] == [format_msgid(number) for number, _ in sent]
        bob.quit()  # those are delivered and gone; the next ones wait
        sent += post(ann, bob.uid, 3)
    for back in (HOUR, 48 * HOUR):
        env = set_back(migrated_site, tmp_path / str(back), back)
        with running_server(env=env) as server, server.client() as again:
            enter(again, ann.uid, ann.nodeid)
            sent += post(again, bob.uid, 3)
            assert again.quit()[-1].header["error"] == "logout ok"
    numbers = [number for number, _ in sent]
    assert numbers == sorted(set(numbers))
    assert [posted for _, posted in sent] == [format_posted(number) for number in numbers]
    with running_server(env=migrated_site) as server, server.client() as again:
        enter(again, bob.uid, bob.nodeid)
        arrived = [again.next_queued("delivery") for _ in sent[3:]]
        assert [(int(message.id, 16), message.header["posted"]) for message in arrived] == sent[3:]


@pytest.mark.once
def test_what_is_gone_when_the_clock_is_set_back_is_not_numbered_again(
    migrated_site: dict[str, str], tmp_path: Path
) -> None:
    """Only the receipts say which numbers there were."""
    with running_server(env=migrated_site) as server, server.client() as ann:
        ann.greet()
        ann.register("laptop")
        sent = post(ann, "", 3)
        ann.quit()
    with running_server(env=set_back(migrated_site, tmp_path / "back", HOUR)) as server, server.client() as again:
        enter(again, ann.uid, ann.nodeid)
        assert post(again, "", 1) > sent[-1:]
