"""A batch of the store, and how a service runs inside and outside of one.

The store commits the requests of many links in one transaction (docs/decisions/0001-group-commit.md). It passes its
`Batch` to each service that it runs, as the keyword argument `batch`, and a service passes it on to those it calls.

With a batch, a service runs as it is: the store has made a savepoint where one is needed. What the service queues is
added to the batch, and the store delivers it to connected devices after the commit.

Without a batch, as in views, the admin and tasks, a service runs in a transaction of its own, or in a savepoint of
the caller's, so that the caller can catch `Refused` and go on. Servers are woken when the transaction commits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import wraps
from typing import ParamSpec, Protocol, TypeVar

import msgspec
from django.db import transaction

from ...protocol.values import format_msgid
from ..storage.spool import Spooled

P = ParamSpec("P")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Parcel(msgspec.Struct, eq=False, array_like=True):
    """A message as it goes to a node: `frame` is its head, followed by the body unless that is spooled."""

    number: int
    rank: int
    frame: bytes
    spooled: Spooled | None = None
    nodes: Sequence[int] = ()
    msgid: str = ""
    tracked: bool = False

    def __post_init__(self) -> None:
        self.msgid = format_msgid(self.number)

    @property
    def octets(self) -> int:
        """The memory that it takes, in octets."""
        return len(self.frame)


@dataclass(slots=True)
class Batch:
    """The messages that are queued in one transaction of the store, in order."""

    parcels: list[Parcel] = field(default_factory=list)


class Service(Protocol[T_co]):
    """A service that the store can run, with its other arguments bound (`functools.partial`)."""

    def __call__(self, *, batch: Batch | None) -> T_co: ...


def without_batch(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Service[T]:
    """Return a function that queues nothing, with its arguments, as a service."""
    return lambda *, batch: function(*args, **kwargs)


def in_transaction(function: Callable[P, T]) -> Callable[P, T]:
    """Run a service in a transaction unless it is passed a `batch`.

    For services of the store that write more than once, or lock. In a batch, a savepoint would cost two more
    statements for each registration or group message.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        if kwargs.get("batch") is not None:
            return function(*args, **kwargs)
        with transaction.atomic():
            return function(*args, **kwargs)

    return run
