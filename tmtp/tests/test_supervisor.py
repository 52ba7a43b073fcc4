"""The supervisor notes what happens at the same moment."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import pytest

from tmtp.processes import supervisor
from tmtp.processes.control import ALIVE, ASK, READY

pytestmark = pytest.mark.once


def test_what_the_event_before_has_closed_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is killed ends twice: its socket is at its end, and there is a signal."""
    monkeypatch.setattr(supervisor, "Succession", Mock())
    ours = supervisor.Supervisor(Mock(), 2, lambda: None)
    pairs = [socket.socketpair() for _ in range(2)]
    acted = []

    def act(here: socket.socket, other: socket.socket) -> None:
        acted.append(here)
        ours.unwatch(other)
        other.close()

    (one, one_end), (two, two_end) = pairs
    ours.watch(one, lambda: act(one, two))
    ours.watch(two, lambda: act(two, one))
    one_end.send(b"r")
    two_end.send(b"r")
    ours._wait(0)
    assert len(acted) == 1
    for sock in (one, two, one_end, two_end):
        sock.close()


@pytest.fixture
def asked(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> Iterator[tuple[supervisor.Supervisor, Mock, socket.socket]]:
    """Return a supervisor, what it kills with, and the socket of a process of links that serves."""
    settings.TMTP = {**settings.TMTP, "PROCESS_TIMEOUT": 3}
    monkeypatch.setattr(supervisor, "Succession", Mock())
    monkeypatch.setattr(supervisor.os, "kill", kill := Mock())
    ours = supervisor.Supervisor(Mock(), 1, lambda: None)
    control, process = socket.socketpair()
    child = ours._children[7] = supervisor.Child(0, 7, control)
    ours.watch(control, lambda: ours._listen(child))
    process.send(READY)
    ours._wait(0)
    with control, process:
        yield ours, kill, process


def test_a_process_that_does_not_answer_is_killed_once(asked: Any) -> None:
    ours, kill, process = asked
    for _ in range(3):
        ours._ask()
    assert not kill.called
    for _ in range(3):
        ours._ask()
    kill.assert_called_once_with(7, signal.SIGKILL)
    assert process.recv(10) == ASK, "it is asked once until it has answered"


def test_time_in_which_all_slept_is_nobodys_fault(asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, kill, process = asked
    for wake in range(1, 6):
        monkeypatch.setattr(supervisor.time, "monotonic", lambda wake=wake: 1e6 * wake)
        ours._ask()
        ours._ask()
        process.send(ALIVE)
        ours._wait(0)
    assert not kill.called
