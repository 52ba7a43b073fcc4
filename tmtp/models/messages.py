"""Messages, the queues they wait in, and what is kept of them: reports and receipts.

A message's number counts nanoseconds since the epoch, so its number is its time, and the order of numbers is the order
of delivery.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from ..protocol.values import format_msgid
from ..times import time_of
from .nodes import Node
from .people import User


class NumberField(models.BigIntegerField):
    """A 64-bit primary key chosen by tmtp. On SQLite its type is `integer`, so that it is the rowid."""

    def db_type(self, connection: Any) -> str | None:
        return "integer" if connection.vendor == "sqlite" else super().db_type(connection)


class Message(models.Model):
    """A message to be delivered: the head of the frame as it is sent, and the body or its spool file.

    `secret` is the sealed nodeid that a `user` message for a new node carries (see services.storage.encryption). Of a
    `tracked` message, one of the site's, there is a `SentMessage`, and a `Report` for each node it is for.
    """

    id = NumberField(primary_key=True)
    op = models.CharField(_("kind"), max_length=8)
    sender = models.ForeignKey(
        User,
        verbose_name=_("sender"),
        null=True,
        on_delete=models.SET_NULL,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    head = models.BinaryField()
    body = models.BinaryField(null=True)
    spool = models.CharField(max_length=64, default="")
    size = models.BigIntegerField(_("octets"), default=0)
    secret = models.TextField(default="")
    tracked = models.BooleanField(default=False)

    class Meta:
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        indexes = [models.Index(fields=["spool"], condition=Q(spool__gt=""), name="tmtp_message_spooled")]

    def __str__(self) -> str:
        return self.msgid

    @property
    def msgid(self) -> str:
        """The message id of the protocol."""
        return format_msgid(self.id)

    @property
    def posted(self) -> datetime:
        """The time when the message was accepted."""
        return time_of(self.id)


class QueueEntry(models.Model):
    """A message that waits for a node. A queue is ordered by rank, then by the message's number."""

    class Rank(models.IntegerChoices):
        """FIRST is for `user` messages."""

        FIRST = 0
        NORMAL = 1

    pk = models.CompositePrimaryKey("node_id", "rank", "message_id")
    # No constraints in the database: each would cost a look-up per row, and only the store writes this table.
    node = models.ForeignKey(Node, on_delete=models.CASCADE, db_constraint=False, db_index=False, related_name="+")
    rank = models.PositiveSmallIntegerField(choices=Rank)
    message = models.ForeignKey(Message, on_delete=models.CASCADE, db_constraint=False, related_name="+")

    class Meta:
        verbose_name = _("waiting message")
        verbose_name_plural = _("waiting messages")

    def __str__(self) -> str:
        return format_msgid(self.message_id)


class SentMessage(models.Model):
    """A message that the site's code sent; kept when nobody waits for it any more.

    `key` is what the caller made the sending idempotent with, and `place` which of its messages this is.
    """

    id = NumberField(primary_key=True)
    sender = models.ForeignKey(
        User, verbose_name=_("sender"), null=True, on_delete=models.SET_NULL, db_constraint=False, related_name="+"
    )
    subject = models.TextField(_("subject"))
    thread = models.CharField(_("thread"), max_length=16, blank=True)
    key = models.CharField(_("key"), max_length=255, null=True, editable=False)  # noqa: DJ001 - unique unless null
    place = models.PositiveIntegerField(default=0, editable=False)
    recalled = models.DateTimeField(_("recalled"), null=True, editable=False)

    class Meta:
        verbose_name = _("sent message")
        verbose_name_plural = _("sent messages")
        constraints = [models.UniqueConstraint(fields=["key", "place"], name="tmtp_sent_once")]

    def __str__(self) -> str:
        return self.subject

    @property
    def msgid(self) -> str:
        """The message id of the protocol."""
        return format_msgid(self.id)

    @property
    def posted(self) -> datetime:
        """The time when the message was queued."""
        return time_of(self.id)


class Report(models.Model):
    """The delivery of a tracked message to one node."""

    class End(models.IntegerChoices):
        """Why the message will never be delivered."""

        RECALLED = 1, _("recalled")
        EXPIRED = 2, _("expired")
        DROPPED = 3, _("the device was removed")
        DISCARDED = 4, _("discarded")

    pk = models.CompositePrimaryKey("message_id", "node_id")
    message = models.ForeignKey(SentMessage, on_delete=models.CASCADE, db_constraint=False, related_name="reports")
    node = models.ForeignKey(Node, on_delete=models.CASCADE, db_constraint=False, related_name="+")
    sent = models.DateTimeField(_("sent"), null=True)
    acknowledged = models.DateTimeField(_("acknowledged"), null=True)
    read = models.DateTimeField(_("read"), null=True)
    ended = models.DateTimeField(_("ended"), null=True)
    end = models.PositiveSmallIntegerField(_("why it ended"), choices=End, null=True)

    class Meta:
        verbose_name = _("delivery report")
        verbose_name_plural = _("delivery reports")
        indexes = [models.Index(fields=["node"], name="tmtp_report_node")]

    def __str__(self) -> str:
        return f"{format_msgid(self.message_id)} {self.node_id}"


class Receipt(models.Model):
    """A request that created a message, kept for ten minutes, so that the same request is not run twice.

    `key` is the node's id and 32 bits of the digest. Its index is in memory on SQLite (services.storage.sql.records),
    and made by a migration on PostgreSQL.
    """

    key = models.BigIntegerField()
    digest = models.BinaryField(max_length=32)
    number = models.BigIntegerField()

    def __str__(self) -> str:
        return format_msgid(self.number)
