"""Summarise a message for the index: its thread, author, subject and people, and the words to search for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..conf import conf
from ..models import User
from ..services.messages.mailbox import Received
from .models import KEY_MAX
from .search import Words
from .words import TEXT_MAX

PING, GROUP = "ping:", "group:"
ALIAS_MAX = 255
SUBJECT_MAX = 500
SHOWN = ("delivery", "ping", "invite", "member")  # operations of messages that have something for a person to read
PEOPLE_MAX = 20  # names that are kept for a thread


@dataclass(frozen=True, slots=True)
class Summary:
    """A message as the index has it. `own` says whether the member has written it."""

    number: int
    key: str
    kind: str
    uid: str
    alias: str
    subject: str
    people: tuple[str, ...]
    own: bool
    news: bool  # whether it counts as unread until it is opened
    from_site: bool

    def words(self, node: int, text: str) -> Words:
        """Return the words under which the message can be found."""
        return Words.of(node, self.subject, " ".join((self.alias, *self.people)), text)


def summarise(received: Received, me: User, uids: Mapping[str, str], joins: bool = True) -> Summary | None:
    """Return the summary of a message, or None if it has nothing for a person to read (login, user, notify, …).

    `uids` are the uids of aliases that the member has pinged. `joins` says whether the sender of a post takes part in
    the thread that its head names. Otherwise the post begins a thread of its own.
    """
    uid = received.uid
    own = uid == me.uid
    if received.op == "delivery":
        return _post(received, own, me, joins)
    header = received.header
    alias, to, gid = (_cut(header.get(name), ALIAS_MAX) for name in ("alias", "to", "gid"))
    if received.op == "ping":
        other = uids.get(to, to) if own else uid
        return _summary(received, PING + other, uid, alias, "", (to if own else alias,), own)
    if received.op == "invite":
        return _summary(received, GROUP + gid, uid, alias, gid, (to if own else alias,), own)
    if received.op == "member":
        return _summary(received, GROUP + gid, uid, alias, gid, (), own, news=False)
    return None


def summarise_unread(received: Received, me: User) -> Summary:
    """Return the summary of a message that cannot be read at the moment: what its header says, in its own thread."""
    own = received.uid == me.uid
    alias = _cut(conf.SITE_NAME if received.is_from_site else received.header.get("alias"), ALIAS_MAX)
    return _summary(received, received.msgid, received.uid, alias, "", (alias or received.uid,), own)


def _post(received: Received, own: bool, me: User, joins: bool) -> Summary | None:
    if received.head.is_for_devices:
        return None
    key = received.named_thread if joins else received.msgid
    alias = _cut(received.alias, ALIAS_MAX)
    if own:
        people = tuple(_cut(person.alias, ALIAS_MAX) for person in received.readers if person.uid != me.uid)
    else:
        people = (alias,)
    subject = _cut(received.subject, SUBJECT_MAX)
    return _summary(received, key, received.uid, alias, subject, people[:PEOPLE_MAX], own)


def _summary(
    received: Received,
    key: str,
    uid: str,
    alias: str,
    subject: str,
    people: tuple[str, ...],
    own: bool,
    news: bool = True,
) -> Summary:
    return Summary(
        received.number,
        key[:KEY_MAX],
        received.op,
        uid[:32],
        alias,
        subject,
        tuple(name for name in people if name),
        own,
        news and not own,
        received.is_from_site,
    )


def text_of(received: Received) -> str:
    """Return the part of the text in which words can be found."""
    return received.text[:TEXT_MAX]


def _cut(value: object, length: int) -> str:
    """Return a text cut to a length, without NUL, which PostgreSQL cannot store. It is empty for other values."""
    return value.replace("\0", "")[:length] if isinstance(value, str) else ""
