"""The supervisor notes what happens at the same moment."""

from __future__ import annotations

import socket
from unittest.mock import Mock

import pytest

from tmtp.processes import supervisor

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
