"""Compare what the people in a conversation have received with what the conversation says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...testing import Frame
from .differences import Difference
from .participant import QUEUED, Participant, shown
from .script import Line, parse_content

IMPLIED = ("id", "posted", "headsum")  # all queued messages have them; `participant.fault_of` checks them
KINDS = ("queued", "ohi", "answer")


class Names:
    """What `$name` and `@` stand for in a conversation. `unique` is the text for `@`."""

    def __init__(self, unique: str) -> None:
        self._unique = unique
        self._values: dict[str, Any] = {}

    def __setitem__(self, name: str, value: Any) -> None:
        self._values[name] = value

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def replace(self, value: Any) -> Any:
        """Return a value with each `$name` and each `@` replaced. A `$name` that is not known yet remains."""
        if isinstance(value, str):
            return self._values.get(value, value) if value.startswith("$") else value.replace("@", self._unique)
        if isinstance(value, list):
            return [self.replace(item) for item in value]
        if isinstance(value, dict):
            return {key: self.replace(item) for key, item in value.items()}
        return value

    def fits(self, received: Any, wanted: Any) -> bool:
        """Return whether a value is as the conversation says. A `$name` that is not known yet takes it."""
        if wanted == "...":
            return isinstance(received, str) and received != ""
        if isinstance(wanted, str) and wanted.startswith("$"):
            return bool(self._values.setdefault(wanted, received) == received)
        return bool(received == self.replace(wanted))


def compare(person: Participant, lines: list[Line], names: Names) -> Iterator[Difference]:
    """Yield how the messages that a person has received differ from the lines.

    The order is compared among queued messages, among `ohi`, and among all others.
    """
    if lines and lines[-1].rest == "closed":
        if not person.closed:
            yield Difference(person.name, "still has a link, which should be closed", lines[-1].number)
        lines = lines[:-1]
    for kind in KINDS:
        received = [message for message in person.received if kind_of(message.header) == kind]
        wanted = [line for line in lines if kind_of(parse_content(line.rest)[0]) == kind]
        for message, line in zip(received, wanted, strict=False):
            fault = _compare_one(message, line, names)
            if fault:
                text = f"received {shown(message)} instead of {line.rest}: {fault}"
                yield Difference(person.name, text, line.number)
        for message in received[len(wanted) :]:
            yield Difference(person.name, f"also received {shown(message)}")
        for line in wanted[len(received) :]:
            yield Difference(person.name, f"did not receive {line.rest}", line.number)


def _compare_one(message: Frame, line: Line, names: Names) -> str:
    """Return what differs, or an empty string."""
    wanted, data = parse_content(line.rest)
    received = dict(message.header)
    if kind_of(wanted) == "queued":
        wanted = {"datalen": len(data), **wanted}
        for key in IMPLIED:
            if key not in wanted:
                received.pop(key, None)
    if received.keys() != wanted.keys():
        return f"the fields should be {', '.join(sorted(wanted))}"
    for key, value in wanted.items():
        if not names.fits(received[key], value):
            return f"{key} should be {names.replace(value)!r}"
    return "" if message.data == data else "other data"


def kind_of(header: dict[str, Any]) -> str:
    """Return the kind of a message: "queued", "ohi" or "answer"."""
    op = header.get("op")
    return "queued" if op in QUEUED else "ohi" if op == "ohi" else "answer"
