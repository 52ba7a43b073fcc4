"""A message to the site, as its handler, TMTP_DELIVERY["HANDLER"], gets it. See docs/how-to/receive-answers.md."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from tmtp.models import Node, User
from tmtp.services.messages.mailbox import Received, remove
from tmtp.services.messages.sending import send_message

from .errors import Refused
from .models import Attempt

OPS = ("delivery", "ping", "invite")  # what somebody has written; all else in the mailbox is news for devices


@dataclass(frozen=True)
class Answer(Received):
    """A message to the site: see `Received` for its text, subject, attachments, …

    `mailbox` is where it waits until it is acknowledged.
    """

    mailbox: Node = field(repr=False)

    @property
    def author(self) -> User | None:
        """Who wrote it; None when they are gone. The `alias` of a post is only what its head says."""
        return self.sender

    @property
    def account(self) -> Any:
        """The member of the website who wrote it; None when the author is none."""
        return self.author.account if self.author else None

    @property
    def gid(self) -> str:
        """The group that the site is invited to; empty when this is no invitation."""
        return str(self.header.get("gid", "")) if self.op == "invite" else ""

    def reply(self, text: str, *, subject: str = "", attachments: Iterable[Any] = ()) -> list[str]:
        """Answer its author, in its thread; gives the msgids. A ping or an invitation begins a thread.

        The same text is sent once, however often the handler runs. Raises Refused when the author is gone.
        """
        if self.author is None:
            raise Refused("author_gone", msgid=self.msgid)
        in_thread = self.op == "delivery"
        return send_message(
            self.author,
            subject or self.subject or _("Your message"),
            text,
            thread=self.thread if in_thread else "",
            attachments=attachments,
            key=f"reply {self.msgid} {_digest(subject, text)}",
        )

    def acknowledge(self) -> None:
        """Take it out of the mailbox, in the caller's transaction. What has been acknowledged never comes again.

        It is done after the handler anyway; a handler does it where it writes, in one `transaction.atomic()`.
        """
        with transaction.atomic():
            remove(self.mailbox, [self.number])
            Attempt.objects.filter(pk=self.number).delete()


def is_answer(message: Received) -> bool:
    """Whether somebody wrote this to the site: not a copy of its own, nor news between devices."""
    if message.op not in OPS or (message.sender is not None and message.sender.is_site):
        return False
    head = message.head
    receipt = head.confirmid and not head.text_size and not head.attachments  # tells a client that it was read
    return not (head.nodesync or receipt)


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:32]
