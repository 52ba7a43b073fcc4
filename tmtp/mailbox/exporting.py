"""What the mailbox adds to the export of a member's data: threads with their marks, what was read, and drafts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..members_data.archive import Part, json_list
from ..members_data.messages import why_unreadable
from ..models import Node, User
from ..protocol.values import format_msgid
from ..services.messages.attachments import safe_name
from .drafts import pieces_of
from .models import Draft, DraftFile, Entry, Mailbox, Thread

ROW = 300  # octets, about


def parts(account: Any, user: User) -> Iterator[Part]:
    """Yield nothing for a member who has never opened the mailbox."""
    node = user.nodes.filter(kind=Node.Kind.MAILBOX, dropped=None).first()
    mailbox = Mailbox.objects.filter(node=node).first() if node else None
    if node is None or mailbox is None:
        return
    threads = Thread.objects.filter(node=node).order_by("pk")
    yield json_list("mailbox/threads.json", map(_thread, threads.iterator()), threads.count() * ROW)
    entries = Entry.objects.filter(node=node).order_by("number")
    rows = entries.values_list("number", "thread__key", "read", "deleted")
    yield json_list("mailbox/messages.json", map(_marks, rows.iterator()), entries.count() * ROW)
    drafts = Draft.objects.filter(node=node, sent=None).order_by("pk")
    yield json_list("mailbox/drafts.json", (_draft(draft) for draft in drafts.prefetch_related("files")))
    for file in DraftFile.objects.filter(draft__in=drafts).order_by("pk"):
        yield Part(_path(file), _content(file), file.size)


def _thread(thread: Thread) -> dict[str, Any]:
    return {
        "thread": thread.key,
        "subject": thread.subject,
        "people": thread.people,
        "messages": thread.messages,
        "unread": thread.unread,
        "archived": thread.archived,
        "muted": thread.muted,
        "starred": thread.starred,
    }


def _marks(row: tuple[int, str, Any, Any]) -> dict[str, Any]:
    number, thread, read, deleted = row
    return {"message": format_msgid(number), "thread": thread, "read": read, "deleted": deleted}


def _draft(draft: Draft) -> dict[str, Any]:
    return {
        "from": draft.alias,
        "to": draft.to,
        "thread": draft.thread,
        "subject": draft.subject,
        "text": draft.text,
        "changed": draft.changed,
        "files": [_path(file) for file in draft.files.all()],
    }


def _path(file: DraftFile) -> str:
    """Return the path in the archive. A name of 255 octets, the most that a file system takes, stays that long."""
    return f"mailbox/drafts/{file.draft_id}/{file.pk}/{safe_name(file.name)}"


def _content(file: DraftFile) -> Iterable[bytes]:
    """Yield the content. A file that is deleted meanwhile, with its draft, or is damaged, is empty."""
    try:
        yield from pieces_of(file)
    except OSError as error:
        why_unreadable(error)
