"""Presence lists (tmtp.md op 4): that those named exist, and telling the user's other nodes. The list is in memory."""

from __future__ import annotations

from collections.abc import Sequence

from ...models import User
from ..errors import Refused
from ..people.actors import Sender, devices_of
from ..queue.batch import Batch, in_transaction
from ..queue.queue import Outgoing, enqueue

MOST = 1200  # what an `ohiedit` header has room for


@in_transaction
def edit(sender: Sender, uids: Sequence[str], *, tell: str, batch: Batch | None = None) -> int:
    """Check that the users exist, and tell the sender's nodes of an edit of type `tell`, if it is not empty.

    Gives the number of the message, 1 without one. Raises Refused.
    """
    if len(uids) > MOST:
        raise Refused("too_many_uids", most=MOST)
    known = set(User.objects.filter(uid__in=set(uids)).values_list("uid", flat=True))
    for uid in uids:
        if uid not in known:
            raise Refused("user_not_found", uid=uid)
    if not tell:
        return 1
    # The client in the field was made for the reference's way of writing the elements.
    members = {"for": [{"Id": uid, "Type": 0} for uid in uids], "type": tell}
    (number,) = enqueue([Outgoing("ohiedit", sender.uid, sender.user, devices_of([sender.user]), members)], batch)
    return number
