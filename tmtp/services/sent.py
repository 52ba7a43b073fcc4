"""What the site's code sends: queued, kept track of, and sent once under a key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import IntegrityError, transaction

from ..models import SentMessage
from ..protocol.values import format_msgid
from . import reports
from .errors import Refused
from .letters import plain
from .numbers import numbers
from .queue import Outgoing, enqueue

KEY_MAX = 255


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


def checked_key(given: Any) -> str:
    """A key as a plain string. Raises Refused when it is longer than it may be, or no database keeps it."""
    key = plain(str(given or ""), "the key")
    if len(key) > KEY_MAX:
        raise Refused(f"the key has {len(key)} characters; {KEY_MAX} are the most")
    return key


def sent_before(key: str) -> list[str]:
    """The msgids of what was sent with this key; none when nothing was."""
    sent = SentMessage.objects.filter(key=key).order_by("place") if key else []
    return [message.msgid for message in sent]
