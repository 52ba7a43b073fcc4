"""The state of the whole service as the database has it: all servers with their latest figures, queues, workers.

The metrics, the admin's page and `manage.py tmtpstatus` all show this.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import DatabaseError, connection
from django.utils import timezone

from ..models import ServerFigures, ServerLease
from ..services.monitoring import samples, survey
from ..services.queue import leases
from ..times import SECOND


@dataclass(slots=True)
class Server:
    """A server process. `values` are its figures (`tmtp.engine.figures`), `age` seconds old, and empty at first."""

    lease: int
    host: str
    address: str
    pid: int
    started: datetime
    runs: bool
    age: float = 0.0
    values: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of_this_process(cls, lease: int, address: str, values: dict[str, Any]) -> Server:
        """Return the server of this process, when the database cannot be read."""
        return cls(lease, socket.gethostname(), address, os.getpid(), timezone.now(), True, values=values)

    @property
    def name(self) -> str:
        """A name that is different from those of all other servers."""
        return f"{self.host}:{self.pid}"


@dataclass(slots=True)
class Status:
    """The state of the service. `error` says why the database could not be read, and is empty if it could.

    `whole` are the figures of the whole service (`tmtp.services.monitoring.survey`), measured at `measured`.
    """

    servers: list[Server] = field(default_factory=list)
    whole: dict[str, Any] = field(default_factory=dict)
    measured: datetime | None = None
    error: str = ""

    def total(self, name: str) -> float:
        """Return the sum of a figure of all servers."""
        return sum([float(server.values.get(name, 0)) for server in self.servers])

    def oldest_in_flight(self) -> float:
        """Return the age in seconds of the oldest message that a connected device has not acknowledged."""
        return max((float(server.values.get("oldest_in_flight", 0)) for server in self.servers), default=0.0)


def read(own: int = 0, values: Callable[[], dict[str, Any]] | None = None) -> Status:
    """Return the state of the service. `own` is the lease of this process's server, whose current `values` are known.

    If the database cannot be read, the state has an error, and nothing else.
    """
    try:
        measured, whole = samples.whole()
        status = Status(_servers(), {**whole, **survey.current()}, measured)
    except DatabaseError as error:
        connection.close()
        return Status(error=type(error).__name__)
    for server in status.servers:
        if values and server.lease == own:
            server.values, server.age = values(), 0.0
    return status


def age_of(number: int) -> float:
    """Return how long ago a message was posted, in seconds, 0 for no message."""
    return max(0.0, time.time() - number / SECOND) if number else 0.0


def _servers() -> list[Server]:
    alive = leases.alive()
    latest = {figures.server_id: figures for figures in ServerFigures.objects.all()}
    servers = []
    for lease in ServerLease.objects.order_by("started", "pk"):
        server = Server(lease.pk, lease.host, lease.address, lease.pid, lease.started, lease.pk in alive)
        figures = latest.get(lease.pk)
        if figures:
            server.values = figures.values
            server.age = max(0.0, (timezone.now() - figures.at).total_seconds())
        servers.append(server)
    return servers
