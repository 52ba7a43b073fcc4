"""The number of unread threads in a mailbox, for a site's menu."""

from __future__ import annotations

from typing import Any

from django.db.models import Subquery

from ..models import Node
from .models import Thread

UNREAD_MAX = 99


def unread(account: Any, most: int = UNREAD_MAX + 1) -> int:
    """Return the number of threads with unread messages of a member of the website, at most `most`.

    Archived and muted threads are not counted. This costs one short query. It creates no mailbox and indexes nothing,
    so the number is that of the last time the mailbox was opened.
    """
    mine = Node.objects.filter(user__account=account, kind=Node.Kind.MAILBOX, dropped=None).values("pk")[:1]
    threads = Thread.objects.filter(node=Subquery(mine), unread__gt=0, archived=False, muted=False)
    return len(threads.values_list("pk", flat=True)[:most])
