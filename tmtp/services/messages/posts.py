"""A post as a client or the website asks for it (tmtp.md ops 7 and 8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...protocol.requests import TO_USER, Recipient
from ..people.actors import Sender
from ..storage.spool import Spooled

Body = bytes | Spooled


@dataclass(slots=True)
class Notification:
    """What op 8 has over op 7."""

    recipients: Sequence[Recipient]
    body: Body
    notehead: int = 0
    notesum: int = 0
    not_self: bool = False


@dataclass(slots=True)
class Post:
    """Op 7 or 8. A notification makes it op 8."""

    sender: Sender
    recipients: Sequence[Recipient]
    body: Body
    datahead: int = 0
    datasum: int = 0
    digest: bytes = b""  # of the request, to know it again
    notification: Notification | None = None

    @property
    def all_recipients(self) -> Sequence[Recipient]:
        """The recipients of the post and of its notification."""
        return [*self.recipients, *self.notification.recipients] if self.notification else self.recipients

    @property
    def gids(self) -> set[str]:
        """The groups among all recipients."""
        return {to.id for to in self.all_recipients if to.type != TO_USER}

    @property
    def spool_names(self) -> list[str]:
        """The spool files that the post came with."""
        bodies = (self.body, self.notification and self.notification.body)
        return [body.name for body in bodies if isinstance(body, Spooled)]
