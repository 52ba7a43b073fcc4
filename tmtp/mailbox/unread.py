"""How much is new in a mailbox: for a number in the menu of a site."""

from __future__ import annotations

from typing import Any

from django.db.models import Subquery

from ..models import Node
from .models import Thread

UNREAD_MAX = 99


def unread(account: Any, most: int = UNREAD_MAX + 1) -> int:
    """Return how many threads of a user of the website have unread messages, `most` at most.

    This costs one short query. It creates no mailbox and indexes nothing: the number is from when the mailbox was
    last opened.
    """
    mine = Node.objects.filter(user__account=account, kind=Node.Kind.MAILBOX, dropped=None).values("pk")[:1]
    return len(Thread.objects.filter(node=Subquery(mine), unread__gt=0).values_list("pk", flat=True)[:most])
