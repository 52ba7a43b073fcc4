"""Presence lists (tmtp.md op 4): check their users, and send edits to the user's other devices.

The list itself is kept in memory (`tmtp.engine.presence`).
"""

from __future__ import annotations

from collections.abc import Sequence

from ...models import User
from ..errors import Refused
from ..people.actors import Sender, devices_of
from ..queue.batch import Batch, in_transaction
from ..queue.queue import Outgoing, enqueue

MOST = 1200  # as many as fit into an `ohiedit` header


@in_transaction
def edit(sender: Sender, uids: Sequence[str], *, tell: str, batch: Batch | None = None) -> int:
    """Check that the users exist, and queue an `ohiedit` message of the type `tell` for the sender's devices.

    Return the message's number. With an empty `tell`, queue nothing and return 1. Raise Refused for an unknown uid,
    or for more than MOST of them.
    """
    if len(uids) > MOST:
        raise Refused("too_many_uids", most=MOST)
    known = set(User.objects.filter(uid__in=set(uids)).values_list("uid", flat=True))
    for uid in uids:
        if uid not in known:
            raise Refused("user_not_found", uid=uid)
    if not tell:
        return 1
    # Existing clients expect the elements in the form in which the reference server writes them.
    members = {"for": [{"Id": uid, "Type": 0} for uid in uids], "type": tell}
    (number,) = enqueue([Outgoing("ohiedit", sender.uid, sender.user, devices_of([sender.user]), members)], batch)
    return number
