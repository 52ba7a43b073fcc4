"""A message to the site, as its handler gets it. See docs/how-to/receive-answers.md."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from tmtp.models import Node, User
from tmtp.protocol.values import parse_msgid
from tmtp.services.messages import threads
from tmtp.services.messages.mailbox import Received, messages_of, remove
from tmtp.services.messages.sending import send_message

from ..errors import Refused
from .models import Attempt, InboundThread

REPORT = "report"  # a batch of delivery reports (`report_batches`); it is never sent to a device
OPS = ("delivery", "ping", "invite")  # what a person wrote; everything else in the mailbox is news for devices


@dataclass(frozen=True)
class InboundMessage(Received):
    """A message to the site: see `Received` for its text, subject, attachments and so on.

    `mailbox` is the node where it waits until it is acknowledged.
    """

    mailbox: Node = field(repr=False)

    @property
    def author(self) -> User | None:
        """The user who wrote it; None when the user is gone."""
        return self.sender

    @property
    def account(self) -> Any:
        """The website's account of the author; None when the author has none."""
        return self.author.account if self.author else None

    @cached_property
    def thread(self) -> str:
        """The msgid of the first message of the thread, if the author takes part in that thread; else its own.

        The head of a post may name any thread, one between the site and another member too.
        """
        named = self.named_thread
        if named == self.msgid or (self.author and self._is_in_thread(self.author, parse_msgid(named))):
            return named
        return self.msgid

    def _is_in_thread(self, author: User, number: int) -> bool:
        if threads.was_sent(author, number):
            return True
        known = InboundThread.objects.filter(pk=number).first()
        if known:
            return threads.takes_part(author.uid, known.participants)
        first = messages_of(self.mailbox).filter(pk=number, op="delivery").first()
        try:
            return first is not None and threads.takes_part(author.uid, threads.participants(Received(first)))
        except OSError:  # it cannot be read, which is its own matter
            return False

    @property
    def gid(self) -> str:
        """The group that the site is invited to; empty when this is not an invitation."""
        return str(self.header.get("gid", "")) if self.op == "invite" else ""

    @cached_property
    def reports(self) -> list[dict[str, Any]]:
        """The delivery reports in a message to REPORT_HANDLER, as in docs/how-to/webhooks.md; else an empty list."""
        if self.op != REPORT:
            return []
        found: list[dict[str, Any]] = json.loads(self.beginning(self.message.size))["reports"]
        return found

    def reply(self, text: str, *, subject: str = "", attachments: Iterable[Any] = ()) -> list[str]:
        """Send a message to the author, in the same thread, and return its msgids.

        A reply to a ping or an invitation begins a thread. The same text is sent once, however often the handler
        runs. Raise Refused when the author is gone.
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
        """Remove the message from the mailbox, in the caller's transaction, so that it never comes again.

        This happens after the handler returns anyway. A handler that writes to the database does it itself, in one
        `transaction.atomic()` with what it writes.
        """
        with transaction.atomic():
            if is_for_handler(self) and self.op == "delivery" and self.thread == self.msgid:
                began = {"participants": threads.participants(self)}
                InboundThread.objects.get_or_create(number=self.number, defaults=began)
            remove(self.mailbox, [self.number])
            Attempt.objects.filter(pk=self.number).delete()


def is_for_handler(message: Received) -> bool:
    """Return whether this is for the site's handlers: reports, and what a person wrote to the site.

    Copies of the site's own posts and news between devices are not.
    """
    if message.op == REPORT:
        return True
    if message.op not in OPS or (message.sender is not None and message.sender.is_site):
        return False
    return not message.head.is_for_devices


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:32]
