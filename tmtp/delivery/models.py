"""The state of workers, devices and notices. Messages themselves are in `tmtp`."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from tmtp.protocol.values import format_msgid

from .broadcasts.models import Broadcast, File, Part, Recipient, Template
from .inbound.models import Attempt, InboundThread, ReportChange
from .segments.models import Condition, Segment

__all__ = [
    "Attempt",
    "Broadcast",
    "Condition",
    "File",
    "InboundThread",
    "LastRun",
    "Notice",
    "Part",
    "Recipient",
    "ReportChange",
    "Segment",
    "StalledDevice",
    "Template",
]


class LastRun(models.Model):
    """When something was last done, and how far it came. See `tmtp.delivery.last_runs`."""

    name = models.CharField(_("name"), max_length=50, primary_key=True)
    at = models.DateTimeField(_("at"), null=True)
    progress = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = _("last run")
        verbose_name_plural = _("last runs")

    def __str__(self) -> str:
        return self.name


class StalledDevice(models.Model):
    """A connected device whose first waiting message stays the same. See `tmtp.delivery.stalled_devices`."""

    node = models.OneToOneField("tmtp.Node", primary_key=True, on_delete=models.CASCADE, related_name="+")
    number = models.BigIntegerField()  # of the first waiting message
    since = models.DateTimeField()
    asked = models.PositiveIntegerField(default=0)  # how often its server was asked to send again
    next_try = models.DateTimeField()

    def __str__(self) -> str:
        return format_msgid(self.number)


class Notice(models.Model):
    """When a member was last told by e-mail that messages wait, and whether the member has unsubscribed."""

    account = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        verbose_name=_("member"),
        primary_key=True,
        on_delete=models.CASCADE,
        related_name="+",
    )
    last = models.DateTimeField(_("last notified"), null=True, editable=False)
    unsubscribed = models.DateTimeField(_("unsubscribed"), null=True, blank=True)

    class Meta:
        verbose_name = _("notice by e-mail")
        verbose_name_plural = _("notices by e-mail")

    def __str__(self) -> str:
        return str(self.account)
