"""The participants of a thread. A post names its thread itself, so a sender could name a thread of others."""

from __future__ import annotations

from collections.abc import Collection

from ...models import Member, Report, User
from .mailbox import Received

PARTICIPANTS_MAX = 1000  # uids and gids that are kept for a thread
_IN_GROUP = (Member.Status.JOINED, Member.Status.INVITED)  # invited members may post, too


def participants(first: Received) -> list[str]:
    """Return the uids and gids of the author and the readers of a thread's first message."""
    return list(dict.fromkeys([first.uid, *(reader.uid for reader in first.readers)]))[:PARTICIPANTS_MAX]


def takes_part(uid: str, among: Collection[str]) -> bool:
    """Return whether a user is one of these participants, or a member of a group among them."""
    if uid in among:
        return True
    groups = [name for name in among if name != uid]
    return Member.objects.filter(user__uid=uid, group__gid__in=groups, status__in=_IN_GROUP).exists()


def was_sent(user: User, number: int) -> bool:
    """Return whether the user is a recipient of the site's message with this number."""
    return Report.objects.filter(message_id=number, node__user=user).exists()
