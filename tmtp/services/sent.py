"""What the site's code sends: queued, kept track of, and sent once under a key."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import IntegrityError, transaction

from ..models import SentMessage
from ..protocol.values import format_msgid
from . import reports
from .numbers import numbers
from .queue import Outgoing, enqueue


def send(outgoing: Sequence[Outgoing], subject: str, thread: str, key: str) -> list[str]:
    """Queue tracked messages; gives their msgids, or those that the same key was given before."""
    for item in outgoing:
        item.number = numbers.next()
    try:
        with transaction.atomic():  # another process may be sending with the same key: it waits here for our commit
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
        if before := sent_before(key):
            return before
        raise
    enqueue(outgoing)
    for item in outgoing:
        reports.begin(item.number, item.nodes)
    return [format_msgid(item.number) for item in outgoing]


def sent_before(key: str) -> list[str]:
    """The msgids of what was sent with this key; none when nothing was."""
    sent = SentMessage.objects.filter(key=key).order_by("place") if key else []
    return [message.msgid for message in sent]
