"""Send posts, pings and answers to invitations from the mailbox, as a member's client does.

The mailbox is the sending node of a post, so the member's devices get a copy of it. By the protocol, the sending node
itself gets a copy only if its user is among the recipients by name. So the member is added to the recipients, and the
mailbox contains what was written in it. Other clients see no difference, since a delivery does not name its
recipients.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db import transaction

from ..conf import conf
from ..models import Alias, Group, Member, Node, User
from ..protocol.requests import TO_GROUP_WITHOUT_ME, TO_USER, Recipient
from ..protocol.values import parse_msgid
from ..services.errors import Refused, Unreachable
from ..services.groups import groups, roles
from ..services.messages import posting
from ..services.messages.attachments import attachments_of
from ..services.messages.mailbox import Received, messages_of
from ..services.messages.post_format import Letter, Person, compose
from ..services.messages.posts import Post
from ..services.people.actors import Sender
from ..services.people.names import check_known, find_user
from ..services.people.placeholders import hold
from ..services.queue import receipts
from ..services.queue.batch import Service
from ..services.storage.spool import keep
from ..web.limits import spend, spend_ping, spend_post
from . import drafts
from .models import Draft, DraftFile, Thread


@dataclass(frozen=True, slots=True)
class Readers:
    """The users and groups that a message is for. In a letter, a group is a person whose uid is its gid."""

    users: Sequence[Person] = ()
    groups: Sequence[Person] = ()

    def __bool__(self) -> bool:
        return bool(self.users or self.groups)

    @property
    def uids(self) -> list[str]:
        return [person.uid for person in (*self.users, *self.groups)]

    @property
    def names(self) -> list[str]:
        return [person.alias for person in (*self.users, *self.groups)]


def aliases(user: User) -> list[str]:
    """Return the user's aliases, oldest first."""
    return list(Alias.objects.filter(user=user, dropped=None).order_by("pk").values_list("name", flat=True))


def may_write(user: User, gid: str) -> bool:
    """Return whether the user has joined a group and may post to it."""
    place = (
        Member.objects.filter(user=user, group__gid=gid, status=Member.Status.JOINED).select_related("group").first()
    )
    return place is not None and roles.may_post(place.group, place)


def announcement_of(user: User, readers: Readers) -> str:
    """Return the gid of a group among the readers that only others may post to, or an empty string."""
    gids = [person.uid for person in readers.groups]
    only = Group.objects.filter(gid__in=gids, posting=Group.Right.MODERATORS).order_by("pk")
    own = Member.objects.filter(user=user, role__gt=Member.Role.MEMBER).values("group")
    return only.exclude(pk__in=own).values_list("gid", flat=True).first() or "" if gids else ""


def named(names: Iterable[str]) -> Readers:
    """Return the users and groups with these names: uids, aliases or gids. Raise Refused for an unknown name."""
    users: dict[str, Person] = {}
    found_groups: dict[str, Person] = {}
    for name in names:
        user = find_user(name)
        if user:
            users.setdefault(user.uid, Person(name, user.uid))
        elif Group.objects.filter(gid=name).exists():
            found_groups[name] = Person(name, name)
        else:
            check_known(name)
            raise Refused("alias_not_found", name=name)
    return Readers(list(users.values()), list(found_groups.values()))


def readers_of(mailbox: Node, thread: Thread) -> Readers:
    """Return the readers of an answer in a thread: the author and readers of its first message.

    If the first message is not in the mailbox, or cannot be read, return those who have written in the thread.
    """
    me = mailbox.user.uid
    first = _first(mailbox, thread.key)
    if first is None:
        wrote = thread.entries.exclude(uid=me).order_by("-number").values_list("alias", "uid")[:100]
        return _existing({uid: Person(alias, uid) for alias, uid in wrote})
    readers = _existing({person.uid: person for person in first.readers if person.uid != me})
    if not readers.groups and first.uid not in {me, *(person.uid for person in readers.users)}:
        author = _existing({first.uid: Person(first.alias, first.uid)})
        return Readers([*readers.users, *author.users])
    return readers


def _first(mailbox: Node, key: str) -> Received | None:
    """Return the first message of a thread, or None if it is not in the mailbox, or cannot be read."""
    if ":" in key:
        return None
    message = messages_of(mailbox).filter(pk=parse_msgid(key), op="delivery").first()
    first = Received(message) if message else None
    try:
        return first if first and first.head else None
    except OSError:
        return None


def _existing(people: dict[str, Person]) -> Readers:
    """Return those of the people (by uid or gid) that exist. The list comes from a sender, who can write anything."""
    uids = set(User.objects.filter(uid__in=people).values_list("uid", flat=True))
    gids = set(Group.objects.filter(gid__in=people).values_list("gid", flat=True))
    return Readers(
        [person for uid, person in people.items() if uid in uids],
        [person for gid, person in people.items() if gid in gids - uids and person.alias == gid],
    )


def alias_in(mailbox: Node, thread: Thread, own: Sequence[str]) -> str:
    """Return the alias under which the thread's first message names the member, if it is one of their own.

    Otherwise return the first of their own, or their uid.
    """
    first = _first(mailbox, thread.key)
    named_as = [person.alias for person in first.head.readers if person.uid == mailbox.user.uid] if first else []
    return next((name for name in named_as if name in own), own[0] if own else mailbox.user.uid)


def write(
    mailbox: Node,
    alias: str,
    to: Readers,
    subject: str,
    text: str,
    *,
    files: Iterable[Any] = (),
    once: str = "",
    draft: Draft | None = None,
) -> list[int]:
    """Begin one thread with all the users, and one with each group. Return the numbers of their first messages.

    With `once`, the same call within ten minutes sends nothing, and returns the same numbers. Of a `draft`, the files
    are sent, too, and then it is deleted. Raise Refused if a message cannot be sent. Then none is sent to anyone.
    """
    me = Person(alias, mailbox.user.uid)
    drafted = _drafted(draft)
    attached = [*drafts.attachments(drafted), *attachments_of(files)]
    begin = partial(compose, me, subject, text, attachments=attached)
    letters = [(Readers(groups=[group]), begin(readers=[group])) for group in to.groups]
    if to.users or not letters:
        others = [person for person in to.users if person.uid != me.uid]
        letters.insert(0, (Readers(others), begin(readers=[me, *others])))
    return _post(mailbox, letters, once, alias, subject, then=partial(_finish, draft, drafted))


def reply(
    mailbox: Node,
    thread: Thread,
    alias: str,
    text: str,
    *,
    files: Iterable[Any] = (),
    once: str = "",
    draft: Draft | None = None,
) -> list[int]:
    """Write an answer in a thread. The other arguments are those of `write`."""
    me = Person(alias, mailbox.user.uid)
    drafted = _drafted(draft)
    attached = [*drafts.attachments(drafted), *attachments_of(files)]
    letter = compose(me, "", text, thread=thread.key, attachments=attached)
    letters = [(readers_of(mailbox, thread), letter)]
    return _post(mailbox, letters, once, alias, thread.key, then=partial(_finish, draft, drafted))


def _drafted(draft: Draft | None) -> list[DraftFile]:
    return list(draft.files.order_by("pk")) if draft else []


def _finish(draft: Draft | None, files: Sequence[DraftFile], numbers: Sequence[int]) -> None:
    if draft:
        drafts.finish(draft, files, numbers[0])


def ping(mailbox: Node, alias: str, to: str, text: str, *, once: str = "") -> int:
    """Send a short text to the user who has an alias, and return its number. Raise Refused."""
    spend_ping(mailbox.user)
    # There is no sending node, so that all nodes of the user, the mailbox included, get a copy.
    sender = Sender(mailbox.user.uid, mailbox.user_id)
    return _once(mailbox, once, partial(posting.ping, sender, alias, to, text.encode()), "ping", alias, to, text)


def join(mailbox: Node, gid: str) -> int:
    """Accept an invitation. Raise Refused."""
    return _once(mailbox, "", partial(groups.join, Sender(mailbox.user.uid, mailbox.user_id, mailbox.pk), gid))


@transaction.atomic
def _once(mailbox: Node, once: str, make: Service[int], *content: str) -> int:
    spend(mailbox.user)
    return receipts.once(mailbox.pk, _digest(once, *content), make)


def _post(
    mailbox: Node,
    letters: Sequence[tuple[Readers, Letter]],
    once: str,
    *identity: str,
    then: Callable[[Sequence[int]], None],
) -> list[int]:
    """Post letters in one transaction, in which `then` is called with their numbers, and return the numbers."""
    me = mailbox.user
    sender = Sender(me.uid, me.pk, mailbox.pk)
    posts = []
    for to, letter in letters:
        most = conf.MAX_BODY
        if most is not None and letter.size > most:
            raise Refused("message_too_large")
        recipients = [Recipient(person.uid, TO_USER) for person in to.users]
        recipients += [Recipient(person.uid, TO_GROUP_WITHOUT_ME) for person in to.groups]
        spend_post(me, recipients, letter.size)
        recipients.append(Recipient(me.uid, TO_USER))
        content = hashlib.sha256()
        body = keep(_hashed(letter.pieces(), content), letter.size)
        digest = _digest(once, *identity, content.hexdigest(), *_files_of(letter), *to.uids)
        posts.append(Post(sender, recipients, body, letter.datahead, digest=digest))
    with _with_names_in_errors(letters), transaction.atomic():
        uids = [person.uid for to, _letter in letters for person in to.users]
        hold(list(User.objects.filter(uid__in=uids).values_list("pk", flat=True)))
        numbers = [posting.post_whole(item) for item in posts]
        then(numbers)
        return numbers


@contextmanager
def _with_names_in_errors(letters: Sequence[tuple[Readers, Letter]]) -> Iterator[None]:
    """Replace the uid in an Unreachable error with the name that the sender has used."""
    try:
        yield
    except Unreachable as refused:
        names = {person.uid: person.alias for to, _letter in letters for person in to.users}
        uid = str(refused.parameters["name"])
        raise Unreachable("unreachable", name=names.get(uid, uid)) from refused


def _hashed(pieces: Iterator[bytes], content: hashlib._Hash) -> Iterator[bytes]:
    """Yield the pieces of a letter, and hash all but its head, which contains the current time."""
    yield next(pieces)
    for piece in pieces:
        content.update(piece)
        yield piece


def _files_of(letter: Letter) -> list[str]:
    return [f"{file.size} {file.name}" for file in letter.attachments]


def _digest(once: str, *content: str) -> bytes:
    """Return the digest by which a request is recognised if it is sent again, or nothing without `once`."""
    return hashlib.sha256("\0".join((once, *content)).encode()).digest() if once else b""
