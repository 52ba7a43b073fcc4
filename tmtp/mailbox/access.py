"""Look up a member's mailbox, and the threads and messages in it that URLs name. Nobody gets another member's."""

from __future__ import annotations

from typing import Any

from django.db.models import Exists, OuterRef
from django.http import Http404
from django.shortcuts import get_object_or_404

from ..models import Node
from ..protocol.values import NUMBER_MAX, parse_msgid
from ..services.messages.mailbox import Received, messages_of
from ..services.people.linking import user_of
from ..services.people.placeholders import mailbox_of
from .models import Entry, Mailbox, Thread


def mailbox_for(account: Any) -> Node:
    """Return the mailbox of a member of the website, with its user. The first call creates it."""
    mine = Node.objects.filter(user__account=account, kind=Node.Kind.MAILBOX, dropped=None)
    off = Exists(Mailbox.objects.filter(node=OuterRef("pk"), shortcuts=False))
    # First without a transaction: on SQLite it would wait for whoever writes.
    return mine.select_related("user").annotate(shortcuts_off=off).first() or mailbox_of(user_of(account))


def has_shortcuts(mailbox: Node) -> bool:
    """Return whether single keys do something on the pages of a mailbox, which `mailbox_for` has returned."""
    return not getattr(mailbox, "shortcuts_off", False)


def thread_of(mailbox: Node, pk: int) -> Thread:
    """Return a thread in the mailbox. Raise Http404 if there is none."""
    return get_object_or_404(Thread, node=mailbox, pk=pk)


def number_of(msgid: str) -> int:
    """Return the number of a message from a URL. Raise Http404 if it cannot be one."""
    try:
        number = parse_msgid(msgid)
    except ValueError as error:
        raise Http404 from error
    if number > NUMBER_MAX:
        raise Http404
    return number


def entry_of(mailbox: Node, msgid: str) -> Entry:
    """Return the index entry of a message in the mailbox. Raise Http404 if there is none."""
    return get_object_or_404(Entry.objects.select_related("thread"), node=mailbox, number=number_of(msgid))


def message_of(mailbox: Node, msgid: str) -> Received:
    """Return a message in the mailbox. Raise Http404 if there is none."""
    return Received(get_object_or_404(messages_of(mailbox), pk=number_of(msgid)))
