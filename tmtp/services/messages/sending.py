"""Send messages from the site's own code, track their delivery, and send each once per key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.db import IntegrityError, transaction

from ...models import Member, Node, SentMessage, User
from ...protocol.values import format_msgid
from ..errors import Refused
from ..people.actors import nodes_of
from ..people.names import aliases_of
from ..people.placeholders import hold
from ..people.privacy import check_all
from ..people.site import site_alias, site_user
from ..queue import reports
from ..queue.queue import Outgoing, enqueue
from ..storage import room
from ..storage.numbers import numbers
from ..storage.spool import keep
from .attachments import attachments_of
from .post_format import Letter, Person, checked, compose, plain
from .recipients import resolve

KEY_MAX = 255
_JOINED = Member.Status.JOINED.value


@transaction.atomic
def send_message(
    to: Any,
    subject: str,
    body: str,
    *,
    sender: Any = None,
    thread: str = "",
    attachments: Iterable[Any] = (),
    key: str = "",
    together: bool = False,
) -> list[str]:
    """Send a message to members, and return the msgid of each message.

    `to` is a member of the website, a TMTP user or group, a uid, an alias, a gid, or a collection of these, such as a
    queryset. Each recipient gets a message of their own, users first, then groups. With `together`, all users get the
    same message, which is stored once, and do not see each other. A message to a member without a device waits for
    their first one.

    `body` is CommonMark. Only an answer in a thread may have an empty subject. `attachments` are paths, Django's
    `File`s or tuples (name, content). `thread` is the msgid of the first message of the thread, or empty to begin a
    thread. `sender` is a member in whose name the message is sent, in any form that `to` takes, or None for the site
    itself. With a `key`, the message is sent once: another call with the same key sends nothing, and returns the
    msgids of the first call.

    The message is sent if and only if the caller's transaction commits. Raise Refused, with the name, if a recipient
    does not exist or blocks the sender. Raise Refused, too, for content that cannot be sent. Then nothing is sent to
    anyone.
    """
    key = _checked_key(key)
    if before := _sent_before(key):
        return before
    room.check()
    subject, body, thread = checked(subject, body, thread)
    if not subject.strip() and not thread:
        raise Refused("subject_empty")
    author = _author(sender)
    users, groups = resolve(to)
    check_all(users, author.user.pk)
    files = attachments_of(attachments or ())
    write = partial(compose, author.person, subject, body, thread=thread, attachments=files)
    outgoing = [author.outgoing(nodes, write(readers=readers)) for nodes, readers in _shares(author, users, together)]
    for group in groups:
        joined = Member.objects.filter(group=group, status=_JOINED).values_list("user_id", flat=True)
        outgoing.append(author.outgoing(nodes_of(joined), write()))
    return _send(outgoing, subject, thread, key)


@dataclass(frozen=True, slots=True)
class Personal:
    """A message of the site for one user, which is sent once per `key`."""

    user: User
    subject: str
    body: str
    key: str


@transaction.atomic
def send_personal(letters: Sequence[Personal], attachments: Iterable[Any] = ()) -> list[int]:
    """Send each of the users a message of their own, as `send_message` does, with a few statements for all of them.

    Return the numbers of the messages. Leave out letters whose key was used before.
    """
    room.check()
    author, files = _author(None), attachments_of(attachments or ())
    before = set(SentMessage.objects.filter(key__in=[one.key for one in letters]).values_list("key", flat=True))
    letters = [one for one in letters if one.key not in before]
    users = [one.user for one in letters]
    hold([user.pk for user in users])
    names, nodes = aliases_of(users), _nodes_by_user(users)
    outgoing = []
    for one in letters:
        subject, body, _ = checked(one.subject, one.body, "")
        readers = [author.person, Person(names[one.user.pk], one.user.uid)]
        letter = compose(author.person, subject, body, readers=readers, attachments=files)
        outgoing.append(author.outgoing(nodes.get(one.user.pk, ()), letter))
        outgoing[-1].number = numbers.next()
    SentMessage.objects.bulk_create(
        SentMessage(id=item.number, sender_id=item.sender, subject=one.subject, key=one.key)
        for item, one in zip(outgoing, letters, strict=True)
    )
    enqueue(outgoing, batch=None)
    reports.begin_all((item.number, node) for item in outgoing for node in item.nodes)
    return [item.number for item in outgoing]


def _nodes_by_user(users: Sequence[User]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for user, node in Node.objects.filter(user__in=users, dropped=None).values_list("user_id", "pk"):
        found.setdefault(user, []).append(node)
    return found


async def asend_message(to: Any, subject: str, body: str, **options: Any) -> list[str]:
    """Call `send_message` from async code, in a transaction of its own: Django has none for async code."""
    return await sync_to_async(send_message)(to, subject, body, **options)


@dataclass(frozen=True, slots=True)
class _Author:
    """The sender of a message: the site itself, or the member in whose name it sends."""

    user: User
    person: Person
    own: Sequence[int] = ()  # their own nodes, which get a copy

    def outgoing(self, nodes: Iterable[int], letter: Letter) -> Outgoing:
        """Return the letter as a message for these nodes and the author's own."""
        nodes = list(dict.fromkeys([*nodes, *self.own]))
        members, body = {"datahead": letter.datahead}, keep(letter.pieces(), letter.size)
        return Outgoing("delivery", self.user.uid, self.user.pk, nodes, members, body, tracked=True)


def _author(sender: Any) -> _Author:
    if sender is None:
        site = site_user()
        return _Author(site, Person(site_alias(site), site.uid))
    (users, groups) = resolve(sender)
    if groups or len(users) != 1:
        raise Refused("sender_not_one_user")
    return _Author(users[0], Person(aliases_of(users)[users[0].pk], users[0].uid), nodes_of([users[0].pk]))


def _shares(author: _Author, users: Sequence[User], together: bool) -> Iterable[tuple[list[int], list[Person]]]:
    """Yield the nodes and the named readers of each message to users."""
    if not users:
        return
    hold([user.pk for user in users])
    if together:
        yield nodes_of(user.pk for user in users), [author.person]
        return
    names = aliases_of(users)
    for user in users:
        yield nodes_of([user.pk]), [author.person, Person(names[user.pk], user.uid)]


def _send(outgoing: Sequence[Outgoing], subject: str, thread: str, key: str) -> list[str]:
    """Queue tracked messages, and return their msgids. If the key was used before, return the msgids of then."""
    for item in outgoing:
        item.number = numbers.next()
    try:
        with transaction.atomic():  # another process that sends with the same key waits here for this commit
            SentMessage.objects.bulk_create(
                SentMessage(
                    id=item.number,
                    sender_id=item.sender,
                    subject=subject,
                    thread=thread,
                    key=key or None,
                    place=place,
                )
                for place, item in enumerate(outgoing)
            )
    except IntegrityError:
        if before := _sent_before(key):
            return before
        raise
    enqueue(outgoing, batch=None)
    for item in outgoing:
        reports.begin(item.number, item.nodes)
    return [format_msgid(item.number) for item in outgoing]


def _checked_key(given: Any) -> str:
    """Return a key as a plain string. Raise Refused if it is longer than KEY_MAX or is not valid text."""
    key = plain(str(given or ""), "the key")
    if len(key) > KEY_MAX:
        raise Refused("key_too_long", length=len(key), most=KEY_MAX)
    return key


def _sent_before(key: str) -> list[str]:
    """Return the msgids of the messages that were sent with this key."""
    sent = SentMessage.objects.filter(key=key).order_by("place") if key else []
    return [message.msgid for message in sent]
