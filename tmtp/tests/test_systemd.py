"""What systemd passes on: sockets that the server cannot use are named, with what to do."""

from __future__ import annotations

import os
import socket

import pytest
from django.core.exceptions import ImproperlyConfigured

from tmtp.processes import systemd

pytestmark = pytest.mark.once


def passed_on(monkeypatch: pytest.MonkeyPatch, first: int, count: str = "1") -> list[socket.socket]:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", count)
    monkeypatch.setattr(systemd, "FIRST", first)
    return systemd.take_sockets()


def test_a_listening_socket_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    there = socket.create_server(("127.0.0.1", 0))
    (taken,) = passed_on(monkeypatch, there.fileno())
    assert taken.getsockname() == there.getsockname()
    assert not {"LISTEN_PID", "LISTEN_FDS"} & os.environ.keys()
    taken.close()
    there.detach()


@pytest.mark.parametrize(("family", "kind"), [("INET", "DGRAM"), ("UNIX", "STREAM"), ("INET", "STREAM")])
def test_what_does_not_listen_for_tcp_is_named(monkeypatch: pytest.MonkeyPatch, family: str, kind: str) -> None:
    there = socket.socket(getattr(socket, f"AF_{family}"), getattr(socket, f"SOCK_{kind}"))
    with pytest.raises(ImproperlyConfigured, match="ListenStream="):
        passed_on(monkeypatch, there.detach())


@pytest.mark.parametrize("count", ["1", "99999999999999999999"])
def test_what_is_no_socket_is_named(monkeypatch: pytest.MonkeyPatch, count: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="ListenStream="):
        passed_on(monkeypatch, 999_999, count)


@pytest.mark.parametrize("count", ["", "²", "-1", "one"])
def test_a_number_that_is_none_is_ignored(monkeypatch: pytest.MonkeyPatch, count: str) -> None:
    assert passed_on(monkeypatch, 999_999, count) == []
