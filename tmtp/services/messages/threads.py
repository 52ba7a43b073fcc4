"""Who takes part in a thread: a post says by itself which thread it is for, so anyone could write in any."""

from __future__ import annotations

from collections.abc import Collection

from ...models import Member, Report, User
from .mailbox import Received

PARTICIPANTS_MAX = 1000  # uids and gids that are kept of a thread
_IN_GROUP = (Member.Status.JOINED, Member.Status.INVITED)  # an invited member may post, too


def participants(first: Received) -> list[str]:
    """Return the uids and gids that a thread was begun with: its author's, and those of its readers."""
    return list(dict.fromkeys([first.uid, *(reader.uid for reader in first.readers)]))[:PARTICIPANTS_MAX]


def takes_part(uid: str, among: Collection[str]) -> bool:
    """Return whether a user is one of these participants, by name or as a member of a group."""
    if uid in among:
        return True
    groups = [name for name in among if name != uid]
    return Member.objects.filter(user__uid=uid, group__gid__in=groups, status__in=_IN_GROUP).exists()


def was_sent(user: User, number: int) -> bool:
    """Return whether the site sent the message with this number to the user, among others perhaps."""
    return Report.objects.filter(message_id=number, node__user=user).exists()
