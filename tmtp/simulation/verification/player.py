"""Play a conversation against a server.

After each block of lines, everyone must have received what the conversation says, and nothing else. To know without
waiting that nothing else is on its way, each device sends a request that is refused (`participant.SYNC`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from itertools import count, groupby
from typing import Protocol

from ...conf import DEFAULTS
from ...testing import Frame, frame
from .comparison import Names, compare
from .differences import Differs
from .participant import Connect, Participant
from .script import RECEIVES, Conversation, Line, before_answer, ends_link, parse_content

PATIENCE = 10.0  # seconds to wait for messages that are expected and have not arrived yet
PAUSE = 0.05  # seconds between two questions whether they have
BUSY = "node already connected"

_numbers = count(1)


class WebsiteActions(Protocol):
    """What members do on the website."""

    def do(self, verb: str, uid: str, argument: str) -> None:
        """Run an action of a member, such as "blocks" with the uid of another one. Return when it is committed."""


class Player:
    """Plays one conversation once. `connect` opens a link to the server; `website` belongs to the same site.

    Names in it contain a number. `prefix` precedes that number, and is needed if a server is verified more than once.
    """

    def __init__(
        self,
        connect: Connect,
        conversation: Conversation,
        website: WebsiteActions | None = None,
        *,
        prefix: str = "",
        site_name: str = DEFAULTS["SITE_NAME"],
        patience: float = PATIENCE,
    ) -> None:
        self._connect = connect
        self._conversation = conversation
        self._website = website
        self._patience = patience
        self._unique = f"{prefix}{next(_numbers)}"
        self._names = Names(self._unique)
        self._names["$site"] = site_name
        self._participants: dict[str, Participant] = {}

    def play(self) -> None:
        """Play it to the end. Raise Differs after the first block in which the server differs."""
        try:
            for name in self._conversation.people:
                self._introduce(name)
            if any("/" in name for name in self._conversation.people):  # others are told of no new user
                self._settle({})
            for block in self._conversation.blocks:
                self._play(block)
        except Differs as differs:
            title = [Line(self._conversation.line, "", "", "")]
            raise Differs([difference.at(title) for difference in differs.differences]) from None
        finally:
            for person in self._participants.values():
                person.cut()

    # people

    def _participant(self, name: str) -> Participant:
        return self._participants.setdefault(name, Participant(name))

    def _introduce(self, name: str) -> None:
        """Register a user, or let the first device of a user add another one, which then logs in."""
        device, (person, _, second) = self._participant(name), name.partition("/")
        device.connect(self._connect)
        device.greet()
        if second:
            first = self._participants[person]
            first.client.send({"op": 3, "id": name, "newnode": name})
            found = self._find(first, lambda message: message.header.get("newnode") == name)
            if len(found) != 1 or "nodeid" not in found[0].header:
                first.differs(f"was not told the nodeid of {name}, after op 3")
            device.log_in(self._names[f"${person}"], found[0].header["nodeid"])
            self._await_login(person, device)
        else:
            device.register(f"{name} of {self._unique}")
        self._names[f"${name}"], self._names[f"${name}.node"] = device.client.uid, device.client.nodeid

    def _await_login(self, person: str, device: Participant) -> None:
        """Wait until all devices of a user have the `login` message of the one that has just logged in."""
        logins = self._find(device, lambda message: message.op == "login")
        others = [other for name, other in self._participants.items() if name.partition("/")[0] == person]
        for other in others if logins else []:
            self._find(other, lambda message: message.id == logins[0].id)

    def _find(self, device: Participant, wanted: Callable[[Frame], bool]) -> list[Frame]:
        """Receive until a device has a message of some kind, and return all that it has."""
        self._receive_until(lambda: any(map(wanted, device.received)), [device])
        return list(filter(wanted, device.received))

    # one block

    def _play(self, block: list[Line]) -> None:
        for person in self._participants.values():
            person.received = []
        expected: dict[str, list[Line]] = {}
        for line in block:
            if line.verb == RECEIVES:
                expected.setdefault(line.who, []).append(line)
        try:
            self._act(block, expected)
            self._settle(expected)
        except Differs as differs:
            raise Differs([difference.at(block) for difference in differs.differences]) from None
        found = [
            difference.at(block)
            for name in {**expected, **self._participants}
            for difference in compare(self._participant(name), expected.get(name, []), self._names)
        ]
        if found:
            raise Differs(found)

    def _act(self, block: list[Line], expected: dict[str, list[Line]]) -> None:
        """Do what the lines say. The actions of one person are complete before the next person begins.

        The next one has then received what comes before the answer: another server may still be handing it over.
        """
        actions = [line for line in block if line.verb != RECEIVES]
        for who, group in groupby(actions, lambda line: line.who):
            person, lines, to_receive = self._participant(who), list(group), expected.get(who, [])
            if lines[0] is not actions[0] and (earlier := before_answer(lines[0], to_receive)):
                self._await({who: earlier}, [person])
            for line in lines:
                VERBS[line.verb](self, person, line)
            self._settle_one(person, to_receive)

    def _octets(self, line: Line) -> bytes:
        header, data = parse_content(line.rest)
        return frame(self._names.replace(header), data)

    def _send(self, person: Participant, line: Line) -> None:
        person.client.send_octets(person.joined + self._octets(line))
        person.joined = b""

    def _send_with_next(self, person: Participant, line: Line) -> None:
        person.joined += self._octets(line)

    def _send_bytewise(self, person: Participant, line: Line) -> None:
        for octet in self._octets(line):
            person.client.send_octets(bytes([octet]))

    def _send_unchanged(self, person: Participant, line: Line) -> None:
        person.client.send_octets(line.rest.encode())

    def _open(self, person: Participant, line: Line) -> None:
        person.connect(self._connect)

    def _greet(self, person: Participant, line: Line) -> None:
        person.connect(self._connect)
        person.greet()

    def _log_in(self, person: Participant, line: Line) -> None:
        """Log in. Right after a cut the server may not know yet that the old link has ended: try again."""
        give_up = time.monotonic() + self._patience
        uid, nodeid = self._names["$" + line.who.partition("/")[0]], self._names[f"${line.who}.node"]
        while not person.logged_in:
            person.received = []
            self._greet(person, line)
            person.client.send({"op": 2, "uid": uid, "node": nodeid})
            person.holding = line.rest == "holding"
            answer = person.take().header
            if not person.logged_in and (answer.get("error") != BUSY or time.monotonic() >= give_up):
                person.differs(f"cannot log in: {answer}")
        person.received.pop(0)

    def _leave(self, person: Participant, line: Line) -> None:
        person.client.send({"op": 12})
        person.read_to_end()
        answer = person.received.pop().header if person.received else {}
        if answer != {"op": "quit", "error": "logout ok"}:
            person.differs(f"sent op 12 and received {answer}")

    def _cut(self, person: Participant, line: Line) -> None:
        person.cut()

    def _hold(self, person: Participant, line: Line) -> None:
        person.holding = True

    def _acknowledge(self, person: Participant, line: Line) -> None:
        person.holding = False
        person.acknowledge()

    def _on_the_website(self, person: Participant, line: Line) -> None:
        if self._website is None:
            raise TypeError(f"{self._conversation.name}: needs the website")
        argument = line.rest
        if argument.startswith("{"):
            argument = json.dumps(self._names.replace(json.loads(argument)))
        elif line.verb != "shows-to":
            argument = self._names.replace(f"${argument}")
        self._website.do(line.verb, self._names[f"${line.who}"], argument)

    # what comes of it

    def _settle(self, expected: dict[str, list[Line]]) -> None:
        """Receive everything that there is for everyone. Links that are to be closed are read to their end."""
        for name, lines in expected.items():
            if not self._participant(name).logged_in or ends_link(lines):
                self._settle_one(self._participant(name), lines)
        self._await(expected, self._participants.values())

    def _await(self, expected: dict[str, list[Line]], people: Iterable[Participant]) -> None:
        """Let people receive until everyone has as many messages as are expected."""
        self._receive_until(lambda: not self._lacks(expected), people)

    def _receive_until(self, is_enough: Callable[[], bool], people: Iterable[Participant]) -> None:
        """Let people receive all that there is, until it is enough or patience ends."""
        give_up = time.monotonic() + self._patience
        self._quieten(people)
        while not is_enough() and time.monotonic() < give_up:
            time.sleep(PAUSE)
            self._quieten(people)

    def _settle_one(self, person: Participant, lines: list[Line]) -> None:
        """Receive what one device is to receive."""
        if not person.is_connected:
            return
        if ends_link(lines):
            person.read_to_end()
        elif person.logged_in:
            person.send_sync()
            person.take_until_sync()
        else:
            while len(person.received) < len(lines) and not person.logged_in:
                person.take()

    def _lacks(self, expected: dict[str, list[Line]]) -> bool:
        people = [(self._participant(name), lines) for name, lines in expected.items()]
        return any(not person.closed and len(person.received) < len(lines) for person, lines in people)

    def _quieten(self, people: Iterable[Participant]) -> None:
        """Receive until there was nothing twice: an answer may overtake the first page of what waits, but not two."""
        connected, quiet = [person for person in people if person.logged_in], 0
        while quiet < 2:
            for person in connected:
                person.send_sync()
            quiet = quiet + 1 if all([person.take_until_sync() for person in connected]) else 0


VERBS = {
    ">": Player._send,
    ">+": Player._send_with_next,
    ">.": Player._send_bytewise,
    ">>": Player._send_unchanged,
    "connects": Player._open,
    "greets": Player._greet,
    "logs-in": Player._log_in,
    "leaves": Player._leave,
    "cuts": Player._cut,
    "holds": Player._hold,
    "acks": Player._acknowledge,
    "blocks": Player._on_the_website,
    "unblocks": Player._on_the_website,
    "shows-to": Player._on_the_website,
    "sets-rules": Player._on_the_website,
    "sets-role": Player._on_the_website,
}
