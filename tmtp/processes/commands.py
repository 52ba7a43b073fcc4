"""The services and queries that a process without a store has the store's process run, by name.

A service is passed to a store as `functools.partial`. In another process, only those in `FUNCTIONS` can be run. The
types of their arguments and results are those of their signatures.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, get_type_hints

import msgspec

from ..engine.recent_acks import all_committed
from ..services.groups import groups, ohi
from ..services.messages import posting
from ..services.monitoring import figures, samples
from ..services.people import devices, old_secrets, users
from ..services.queue import leases, limit_counts, queue

FUNCTIONS: tuple[Callable[..., Any], ...] = (
    all_committed,
    devices.add_node,
    figures.record,
    groups.drop,
    groups.invite,
    groups.join,
    groups.rename,
    leases.alive,
    leases.nodes,
    limit_counts.share_open,
    limit_counts.spend,
    ohi.edit,
    old_secrets.expects_old_secret,
    posting.ping,
    queue.read_page,
    samples.record,
    users.add_alias,
    users.contest,
    users.disconnect,
    users.keep_connected,
    users.log_in,
    users.place_of,
    users.register,
    users.was_kept,
)


class Command:
    """One of the functions, and how its arguments and its result are encoded."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        hints = get_type_hints(function)
        self._signature = inspect.signature(function)
        self._parameters = [name for name in self._signature.parameters if name != "batch"]
        types = tuple(hints[name] for name in self._parameters)
        self._arguments = msgspec.msgpack.Decoder(tuple.__class_getitem__(types))
        self._result = msgspec.msgpack.Decoder(hints["return"])

    def encode(self, arguments: Iterable[Any], keywords: dict[str, Any]) -> msgspec.Raw:
        """Return the arguments as octets. Raise TypeError if they are not those of the function."""
        bound = self._signature.bind(*arguments, **keywords)
        bound.apply_defaults()
        return encoded([bound.arguments[name] for name in self._parameters])

    def decode(self, arguments: bytes | msgspec.Raw) -> Callable[..., Any]:
        """Return the function with its arguments bound."""
        return partial(self.function, **dict(zip(self._parameters, self._arguments.decode(arguments), strict=True)))

    def result(self, octets: bytes | msgspec.Raw) -> Any:
        """Return the result of the function from octets."""
        return self._result.decode(octets)


BY_NAME = {command.name: command for command in map(Command, FUNCTIONS)}
BY_FUNCTION = {command.function: command for command in BY_NAME.values()}


def encoded(value: object) -> msgspec.Raw:
    """Return a value as a part of an item (`wire`)."""
    return msgspec.Raw(msgspec.msgpack.encode(value))


def command_of(service: Callable[..., Any]) -> tuple[Command, msgspec.Raw]:
    """Return the command of a bound function, and its arguments. Raise LookupError if it is not in FUNCTIONS."""
    assert isinstance(service, partial)
    command = BY_FUNCTION.get(service.func)
    if command is None:
        raise LookupError(f"{service.func!r} is not in tmtp.processes.commands.FUNCTIONS")
    return command, command.encode(service.args, service.keywords)
