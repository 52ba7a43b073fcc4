"""The request to post, from a client or the website (tmtp.md ops 7 and 8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...protocol.requests import TO_USER, Recipient
from ..people.actors import Sender
from ..storage.spool import Spooled

Body = bytes | Spooled
GROUP_COST = 100  # how many recipients a group counts as, before it has been looked up


def cost_of(*lists: Sequence[Recipient] | None) -> int:
    """Return how many recipients these lists count as, for limits and for the sharing of batches."""
    return sum([1 if to.type == TO_USER else GROUP_COST for recipients in lists for to in recipients or ()])


@dataclass(slots=True)
class Notification:
    """The second message of a post with notification (op 8)."""

    recipients: Sequence[Recipient]
    body: Body
    notehead: int = 0
    notesum: int = 0
    not_self: bool = False


@dataclass(slots=True)
class Post:
    """A post: op 7, or with a notification, op 8."""

    sender: Sender
    recipients: Sequence[Recipient]
    body: Body
    datahead: int = 0
    datasum: int = 0
    digest: bytes = b""  # of the request, see services.queue.receipts
    notification: Notification | None = None

    @property
    def all_recipients(self) -> Sequence[Recipient]:
        """The recipients of the post and of its notification."""
        return [*self.recipients, *self.notification.recipients] if self.notification else self.recipients

    @property
    def gids(self) -> set[str]:
        """The gids among all recipients."""
        return {to.id for to in self.all_recipients if to.type != TO_USER}

    @property
    def spool_names(self) -> list[str]:
        """The names of the spool files of the bodies."""
        bodies = (self.body, self.notification and self.notification.body)
        return [body.name for body in bodies if isinstance(body, Spooled)]
