"""Messages to the site that its handler was called with."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tmtp.protocol.values import format_msgid

from ..claims import Claimable


class InboundThread(models.Model):
    """A thread that a member began with the site: who takes part in it. Deleted after REPORTS_KEPT.

    `number` is that of its first message, `participants` has uids and gids.
    """

    number = models.BigIntegerField(primary_key=True)
    participants = models.JSONField(default=list)

    def __str__(self) -> str:
        return format_msgid(self.number)


class ReportChange(models.Model):
    """A delivery report that has settled, or has changed since, and is to be handed to REPORT_HANDLER.

    A report may have several rows. Those that are handed over are deleted, so the table is as small as what is new.
    """

    number = models.BigIntegerField()  # of the message
    node = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{format_msgid(self.number)} {self.node}"


class Attempt(Claimable):
    """How often the handler was called with a message, and how the last call failed. Deleted with the message.

    A claim is held by the worker in which the handler runs. `dead` is the time when no further call is made.
    """

    # tmtp deletes messages with its own statements, past Django: no constraint in the database.
    message = models.OneToOneField(
        "tmtp.Message",
        verbose_name=_("message"),
        primary_key=True,
        on_delete=models.CASCADE,
        db_constraint=False,
        related_name="+",
    )
    tries = models.PositiveIntegerField(_("tries"), default=0)
    next_try = models.DateTimeField(_("next try"), default=timezone.now)
    error = models.TextField(_("error"), blank=True)
    dead = models.DateTimeField(_("given up"), null=True, db_index=True)

    class Meta:
        verbose_name = _("failed answer")
        verbose_name_plural = _("failed answers")

    def __str__(self) -> str:
        return format_msgid(self.pk)
