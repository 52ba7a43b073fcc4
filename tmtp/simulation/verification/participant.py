"""A person's device in a conversation, and its link."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from ...testing import Client, Closed, Frame, headsum
from .differences import Difference, Differs

QUEUED = {"delivery", "notify", "ping", "invite", "member", "user", "ohiedit", "login"}
# A request that is refused. The server answers it after everything that it had to send to this link before. It is a
# post, which takes the server a third of the time of any other that waits for the store: most requests are this one.
SYNC = {"op": 7, "id": "sync", "for": [{"id": "nobody", "type": 1}]}
MSGID = re.compile(r"[0-9a-f]{16}")
POSTED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
SHOWN = 400  # characters of a message
Connect = Callable[[], Client]


class Participant:
    """One device, with the messages that it has received in the current block."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.logged_in = False
        self.holding = False  # acknowledges nothing
        self.held: list[Frame] = []  # not acknowledged yet
        self.received: list[Frame] = []
        self.closed = False
        self.joined = b""  # to be sent in one segment with the next request
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """Return the client of its link. Raise Differs if it has none."""
        return self._client or self.differs("is not connected")

    @property
    def is_connected(self) -> bool:
        """Return whether it has a link, as far as it knows."""
        return self._client is not None

    def differs(self, text: str) -> NoReturn:
        """Raise Differs."""
        raise Differs([Difference(self.name, text)])

    def connect(self, connect: Connect) -> None:
        """Open a new link."""
        self.cut()
        with self._reporting():
            self._client, self.closed = connect(), False

    def cut(self) -> None:
        """Close the link without a message."""
        if self._client:
            self._client.close()
        self._client, self.logged_in, self.holding, self.held = None, False, False, []

    def greet(self) -> None:
        """Send op 0 and read the answer."""
        with self._reporting():
            header = self.client.greet()
        if header.get("op") != "tmtprev":
            self.differs(f"sent op 0 and received {header}")

    def register(self, alias: str) -> None:
        """Send op 1 and read the answer, after `greet`."""
        with self._reporting():
            header = self.client.register(self.name, alias)
        if header.get("op") != "registered" or "error" in header:
            self.differs(f"cannot register: {header}")
        self.logged_in = True

    def log_in(self, uid: str, nodeid: str) -> None:
        """Send op 2 and read the answer, after `greet`."""
        with self._reporting():
            header = self.client.log_in(uid, nodeid)
        if header.get("op") != "info":
            self.differs(f"cannot log in: {header}")
        self.logged_in = True

    def take(self) -> Frame:
        """Receive a message, note it, and acknowledge it unless `holding`."""
        with self._reporting():
            message = self.client.receive()
        self._note(message)
        return message

    def _note(self, message: Frame) -> None:
        fault = fault_of(message)
        if fault:
            self.differs(f"received {shown(message)}: {fault}")
        self.received.append(message)
        if message.op == "info":
            self.logged_in = True
        if message.is_queued:
            self.held.append(message)
            if not self.holding:
                self.acknowledge()

    def acknowledge(self) -> None:
        """Acknowledge everything that is not acknowledged yet."""
        for message in self.held:
            self.client.acknowledge(message)
        self.held = []

    def read_to_end(self) -> None:
        """Receive messages until the server closes the link."""
        with self._reporting():
            try:
                while True:
                    self._note(self.client.receive())
            except Closed as closed:
                if closed.unread:
                    raise
        self.closed = True
        self.cut()

    def send_sync(self) -> None:
        """Send a request that `take_until_sync` waits for."""
        self.client.send(SYNC, b"sync")

    def take_until_sync(self) -> bool:
        """Receive everything up to the answer to `send_sync`. Return whether there was nothing else."""
        before = len(self.received)
        while self.take().id != SYNC["id"]:
            pass
        answer = self.received.pop()
        if answer.header.keys() != {"op", "id", "error"}:
            self.differs(f"received {shown(answer)}, which should be an error: nobody has the uid “nobody”")
        return len(self.received) == before

    @contextlib.contextmanager
    def _reporting(self) -> Iterator[None]:
        """Raise Differs for whatever else the client raises."""
        try:
            yield
        except TimeoutError:
            self.differs("received nothing in time")
        except Closed as closed:
            self.differs(str(closed))
        except (OSError, ValueError, KeyError) as error:
            self.differs(f"has no valid answer: {type(error).__name__}: {error}")


def fault_of(message: Frame) -> str:
    """Return what is wrong with the form of a message, whatever it says, or an empty string."""
    header = message.header
    canonical = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    if message.octets != canonical:
        return f"the header is not written as {canonical!r}"
    if message.op not in QUEUED and message.is_queued:
        return "an answer cannot have both from and id"
    if message.op in QUEUED:
        return _fault_of_queued(message)
    return "" if "msgid" not in header or _is_number(header, "msgid") else "msgid or posted has another form"


def _fault_of_queued(message: Frame) -> str:
    header = message.header
    if not message.is_queued or not _is_number(header, "id"):
        return "from, id or posted is missing or has another form"
    if type(header.get("datalen")) is not int:
        return "datalen is not a whole number"
    if "headsum" not in header or header["headsum"] != headsum(message.octets):
        return "headsum is wrong"
    return ""


def _is_number(header: dict[str, Any], key: str) -> bool:
    return bool(MSGID.fullmatch(str(header.get(key))) and POSTED.fullmatch(str(header.get("posted"))))


def shown(message: Frame) -> str:
    """Return a message for people, shortened."""
    text = message.octets.decode("utf-8", "replace")
    if message.data:
        text += f" {message.data[:SHOWN]!r}"
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"
