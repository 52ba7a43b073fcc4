"""Conversations as data: read the scripts in `conversations/`, play them against a server, and compare.

conversations/README.md explains how scripts are written. After each block of lines, everyone must have received what
the script says, and nothing else. To know that nothing else is coming without waiting for it, a link sends a request
that is refused (`SYNC`): the server answers it after everything that it had to send to this link before.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from tmtp.testing import Client, Closed, Frame, Server, frame, headsum

QUEUED = {"delivery", "notify", "ping", "invite", "member", "user", "ohiedit", "login"}
IMPLIED = ("id", "posted", "headsum")  # members of all queued messages, which `check_form` checks
SYNC = {"op": 4, "id": "sync", "type": "init", "for": [{"id": "nobody"}]}
PATIENCE = 3  # seconds to wait for an expected frame
LINK_PATIENCE = 10  # seconds of silence
MSGID = re.compile(r"[0-9a-f]{16}")
POSTED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
LINE = re.compile(r"(?P<who>[a-z]+(/\d)?) (?P<verb>[^ ]+) ?(?P<rest>.*)")
numbers = count(1)


@dataclass
class Line:
    """A line: a person, a verb (`>`, `<` or a word), and the rest."""

    number: int
    who: str
    verb: str
    rest: str


@dataclass
class Conversation:
    """The part of a script under one title: the people in it, and blocks of lines."""

    title: str
    server: str
    people: list[str] = field(default_factory=list)
    blocks: list[list[Line]] = field(default_factory=list)


def read_scripts(folder: Path) -> Iterator[tuple[str, Conversation]]:
    """Return all conversations of all files, with a name for each."""
    for file in sorted(folder.glob("*.talk")):
        for conversation in read_script(file.read_text("utf-8")):
            yield f"{file.stem}: {conversation.title}", conversation


def read_script(text: str) -> Iterator[Conversation]:
    """Return the conversations of a file."""
    server, conversation = "{}", None
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("server "):
            server = line.removeprefix("server ")
        elif line.startswith("== "):
            if conversation:
                yield conversation
            conversation = Conversation(line.removeprefix("== "), server)
        elif conversation and line.startswith("people "):
            conversation.people = line.split()[1:]
        elif conversation and not line.startswith("#"):
            _add_line(conversation, number, line)
    if conversation:
        yield conversation


def _add_line(conversation: Conversation, number: int, line: str) -> None:
    if not line:
        conversation.blocks.append([])
        return
    found = LINE.fullmatch(line)
    assert found, f"line {number}: {line}"
    if not conversation.blocks:
        conversation.blocks.append([])
    conversation.blocks[-1].append(Line(number, found["who"], found["verb"], found["rest"]))


def parse_content(text: str) -> tuple[dict[str, Any], bytes]:
    """Parse a header and data as scripts have them: {...} "text", {...} "text" * 7, {...} hex:00ff."""
    header, end = json.JSONDecoder().raw_decode(text)
    rest = text[end:].strip()
    if not rest:
        return header, b""
    if rest.startswith("hex:"):
        return header, bytes.fromhex(rest.removeprefix("hex:"))
    words, end = json.JSONDecoder().raw_decode(rest)
    times = rest[end:].strip().removeprefix("*").strip()
    return header, words.encode() * int(times or 1)


class Link:
    """A person's node, and its link if it is connected."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.client: Client | None = None
        self.logged_in = False
        self.holding = False
        self.held: list[Frame] = []  # messages that are not acknowledged yet
        self.got: list[Frame] = []  # messages of this block
        self.closed = False
        self.joined = b""  # octets to be sent in one segment with the next ones

    def open(self, server: Server) -> None:
        """Connect."""
        self.close()
        self.client, self.closed = server.client(LINK_PATIENCE), False

    def close(self) -> None:
        """Cut the link."""
        if self.client:
            self.client.close()
        self.client, self.logged_in, self.holding, self.held = None, False, False, []

    @property
    def link(self) -> Client:
        """The client of the link."""
        assert self.client, f"{self.name} is not connected"
        return self.client

    def take(self) -> Frame:
        """Receive a message, keep it, and acknowledge it unless `holding`."""
        message = self.link.receive()
        check_form(message)
        self.got.append(message)
        if message.op == "info":
            self.logged_in = True
        if message.is_queued:
            self.held.append(message)
            if not self.holding:
                self.acknowledge()
        return message

    def acknowledge(self) -> None:
        """Acknowledge all messages that are not acknowledged yet."""
        for message in self.held:
            self.link.acknowledge(message)
        self.held = []

    def finish(self) -> None:
        """Receive everything until the server closes the link."""
        try:
            while True:
                self.take()
        except Closed as closed:
            assert not closed.unread
        self.closed = True
        self.close()

    def ask(self) -> None:
        """Send a request whose answer shows that nothing else is coming."""
        self.link.send(SYNC)

    def is_quiet(self) -> bool:
        """Receive everything up to the answer to `ask`, and return whether that was nothing."""
        before = len(self.got)
        while self.take().id != SYNC["id"]:
            pass
        assert self.got.pop().header.keys() == {"op", "id", "error"}
        return len(self.got) == before


class Player:
    """Plays a conversation against a server."""

    def __init__(
        self, server: Server, conversation: Conversation, website: Callable[[str], Any] | None = None
    ) -> None:
        self.server = server
        self.website = website  # runs code in another process of the same site
        self.conversation = conversation
        self.number = str(next(numbers))
        self.links: dict[str, Link] = {}
        self.names: dict[str, Any] = {}  # the values of $names

    def play(self) -> None:
        """Play the conversation. Raise AssertionError where the server deviates from it."""
        try:
            for name in self.conversation.people:
                self._introduce(name)
            self._settle({})
            for block in self.conversation.blocks:
                self._play_block(block)
        finally:
            for link in self.links.values():
                link.close()

    # people

    def link(self, name: str) -> Link:
        """Return a person's node."""
        return self.links.setdefault(name, Link(name))

    def _introduce(self, name: str) -> None:
        """Register a person, or have their first node create another one, and log in."""
        link, (person, _, second) = self.link(name), name.partition("/")
        link.open(self.server)
        link.link.greet()
        if second:
            first = self.links[person]
            first.link.send({"op": 3, "id": name, "newnode": name})
            self._quieten([first])
            (nodeid,) = [message.header["nodeid"] for message in first.got if message.header.get("newnode") == name]
            assert link.link.log_in(self.names[f"${person}"], nodeid)["op"] == "info"
        else:
            assert "error" not in link.link.register(name, f"{name} of {self.number}")
        link.logged_in = True
        self.names |= {f"${name}": link.link.uid, f"${name}.node": link.link.nodeid}

    # actions

    def _play_block(self, block: list[Line]) -> None:
        for link in self.links.values():
            link.got = []
        expected: dict[str, list[Line]] = {}
        for line in block:
            if line.verb == "<":
                expected.setdefault(line.who, []).append(line)
        actions = [line for line in block if line.verb != "<"]
        for line, following in zip(actions, [*actions[1:], None], strict=False):
            getattr(self, f"_do_{VERBS[line.verb]}")(self.link(line.who), line)
            if following is None or following.who != line.who:
                self._settle_one(self.link(line.who), expected.get(line.who, []))
        self._settle(expected)
        self._compare(expected)

    def _do_send(self, link: Link, line: Line) -> None:
        link.link.send_octets(link.joined + self._octets(line))
        link.joined = b""

    def _do_join(self, link: Link, line: Line) -> None:
        link.joined += self._octets(line)

    def _do_send_bytewise(self, link: Link, line: Line) -> None:
        for octet in self._octets(line):
            link.link.send_octets(bytes([octet]))

    def _do_send_raw(self, link: Link, line: Line) -> None:
        link.link.send_octets(line.rest.encode())

    def _octets(self, line: Line) -> bytes:
        header, data = parse_content(line.rest)
        return frame(self._known(header), data)

    def _do_connect(self, link: Link, line: Line) -> None:
        link.open(self.server)

    def _do_greet(self, link: Link, line: Line) -> None:
        link.open(self.server)
        assert link.link.greet()["op"] == "tmtprev"

    def _do_login(self, link: Link, line: Line) -> None:
        """Log in. Try again while the server has not noticed yet that the old link was cut."""
        give_up = time.monotonic() + PATIENCE
        nodeid = self.names[f"${line.who}.node"]
        uid = self.names["$" + line.who.partition("/")[0]]
        link.got = []
        while not link.logged_in:
            self._do_greet(link, line)
            link.link.send({"op": 2, "uid": uid, "node": nodeid})
            link.holding = line.rest == "holding"
            if link.take().header.get("error") == "node already connected" and time.monotonic() < give_up:
                link.got = []
            else:
                assert link.logged_in, link.got
        link.got.pop(0)

    def _do_leave(self, link: Link, line: Line) -> None:
        link.link.send({"op": 12})
        link.finish()
        assert link.got.pop().header == {"op": "quit", "error": "logout ok"}

    def _do_cut(self, link: Link, line: Line) -> None:
        link.close()

    def _do_hold(self, link: Link, line: Line) -> None:
        link.holding = True

    def _do_ack(self, link: Link, line: Line) -> None:
        link.holding = False
        link.acknowledge()

    def _do_block(self, link: Link, line: Line) -> None:
        self._on_the_website(line.who, f"privacy.block(me, user({self.names['$' + line.rest]!r}))")

    def _do_unblock(self, link: Link, line: Line) -> None:
        self._on_the_website(line.who, f"privacy.unblock(me, user({self.names['$' + line.rest]!r}))")

    def _do_show(self, link: Link, line: Line) -> None:
        self._on_the_website(line.who, f"privacy.set_presence(me, privacy.{line.rest.upper()})")

    def _on_the_website(self, who: str, code: str) -> None:
        assert self.website
        begin = "from tmtp.models import User\nfrom tmtp.services.people import privacy\n"
        users = f"user = lambda uid: User.objects.get(uid=uid)\nme = user({self.names['$' + who]!r})\n"
        self.website(begin + users + code)

    # results

    def _settle(self, expected: dict[str, list[Line]]) -> None:
        """Receive everything for everyone. Read links that should end to their end."""
        for name, lines in expected.items():
            if not self.link(name).logged_in or ends(lines):
                self._settle_one(self.link(name), lines)
        self._quieten(self.links.values())
        give_up = time.monotonic() + PATIENCE
        while time.monotonic() < give_up and self._lacks(expected):
            self._quieten(self.links.values())

    def _settle_one(self, link: Link, lines: list[Line]) -> None:
        """Receive everything that one link should get."""
        if link.client is None:
            return
        if ends(lines):
            link.finish()
        elif link.logged_in:
            link.ask()
            link.is_quiet()
        else:
            while len(link.got) < len(lines) and not link.logged_in:
                link.take()

    def _lacks(self, expected: dict[str, list[Line]]) -> bool:
        links = [(self.link(name), lines) for name, lines in expected.items()]
        return any(not link.closed and len(link.got) < len(lines) for link, lines in links)

    def _quieten(self, links: Iterable[Link]) -> None:
        """Read until nothing comes twice in a row: one answer may overtake the first page of waiting messages."""
        links, quiet = [link for link in links if link.logged_in], 0
        while quiet < 2:
            for link in links:
                link.ask()
            quiet = quiet + 1 if all([link.is_quiet() for link in links]) else 0

    def _compare(self, expected: dict[str, list[Line]]) -> None:
        """Check that everyone has got what they should. Messages, presences and answers must each be in order."""
        for name in {**expected, **self.links}:
            link, lines = self.link(name), expected.get(name, [])
            if lines and lines[-1].rest == "closed":
                assert link.closed
                lines = lines[:-1]
            contents = [(line, *parse_content(line.rest)) for line in lines]
            for kind in ("queued", "ohi", "answer"):
                got = [message for message in link.got if kind_of(message.header) == kind]
                wanted = [content for content in contents if kind_of(content[1]) == kind]
                for message, (line, header, data) in zip(got, wanted, strict=False):
                    self._compare_one(message, line, header, data)
                summary = [message.header for message in got[len(wanted) :]]
                assert not summary, f"{name} got more than line {[line.number for line in lines]} says: {summary}"
                missing = [line.number for line, _, _ in wanted[len(got) :]]
                assert not missing, f"{name} did not get what lines {missing} say"

    def _compare_one(self, message: Frame, line: Line, wanted: dict[str, Any], data: bytes) -> None:
        where = f"line {line.number}: {line.who} got {message.header} {message.data[:200]!r}"
        got = dict(message.header)
        if kind_of(wanted) == "queued":
            assert got["datalen"] == len(data), where
            wanted = {"datalen": len(data), **wanted}
            for key in IMPLIED:
                if key not in wanted:
                    del got[key]
        assert got.keys() == wanted.keys(), f"{where}, fields wanted: {sorted(wanted)}"
        for key, value in wanted.items():
            assert self._fits(got[key], value), f"{where}, {key} should be {self._known(value, strict=False)}"
        assert message.data == data, where

    def _fits(self, got: Any, wanted: Any) -> bool:
        if wanted == "...":
            return isinstance(got, str) and got != ""
        if isinstance(wanted, str) and wanted.startswith("$"):
            return bool(self.names.setdefault(wanted, got) == got)
        return bool(got == self._known(wanted))

    def _known(self, value: Any, *, strict: bool = True) -> Any:
        """Return a value with $names and @ replaced by their values."""
        if isinstance(value, str):
            if value.startswith("$"):
                return self.names[value] if strict else self.names.get(value, value)
            return value.replace("@", self.number)
        if isinstance(value, list):
            return [self._known(item, strict=strict) for item in value]
        if isinstance(value, dict):
            return {key: self._known(item, strict=strict) for key, item in value.items()}
        return value


VERBS = {
    ">": "send",
    ">+": "join",
    ">.": "send_bytewise",
    ">>": "send_raw",
    "connects": "connect",
    "greets": "greet",
    "logs-in": "login",
    "leaves": "leave",
    "cuts": "cut",
    "holds": "hold",
    "acks": "ack",
    "blocks": "block",
    "unblocks": "unblock",
    "shows-to": "show",
}


def ends(lines: list[Line]) -> bool:
    """Return whether someone who should get these lines is disconnected afterwards."""
    return any(line.rest == "closed" or '"op":"quit"' in line.rest for line in lines)


def kind_of(header: dict[str, Any]) -> str:
    """Return the kind of a frame. Each kind keeps its order, and the server may mix them in any way."""
    op = header["op"]
    return "queued" if op in QUEUED else "ohi" if op == "ohi" else "answer"


def check_form(message: Frame) -> None:
    """Check what holds for every frame from the server."""
    header = message.header
    canonical = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert message.octets == canonical, message.octets
    assert all(key == key.lower() for key in header), header
    assert message.is_queued == (header["op"] in QUEUED)
    if message.is_queued:
        assert MSGID.fullmatch(header["id"]) and POSTED.fullmatch(header["posted"]), header
        assert header["headsum"] == headsum(message.octets), header
        assert type(header["datalen"]) is int
    elif "msgid" in header:
        assert MSGID.fullmatch(header["msgid"]) and POSTED.fullmatch(header["posted"]), header
