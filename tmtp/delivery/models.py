"""What the policies remember. Messages themselves are in `tmtp`."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from tmtp.protocol.values import format_msgid

from .broadcasts.models import Broadcast, Part, Recipient

__all__ = ["Attempt", "Broadcast", "Mark", "Notice", "Part", "Recipient", "Stalled"]


class Mark(models.Model):
    """When something was last done, and how far it came. See `tmtp.delivery.marks`."""

    name = models.CharField(_("name"), max_length=50, primary_key=True)
    at = models.DateTimeField(_("at"), null=True)
    number = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = _("mark")
        verbose_name_plural = _("marks")

    def __str__(self) -> str:
        return self.name


class Attempt(models.Model):
    """A message to the site that its handler was given: how often, and what came of it. Gone when the message is.

    `claim` is the run of a worker that is at it, until `claimed_until` at least.
    """

    # Messages are deleted by the statements of tmtp, past Django: no constraint in the database.
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
    claim = models.CharField(max_length=32, blank=True, editable=False)
    claimed_until = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = _("failed answer")
        verbose_name_plural = _("failed answers")

    def __str__(self) -> str:
        return format_msgid(self.pk)


class Stalled(models.Model):
    """A connected device whose first waiting message has been the same for a while. See `tmtp.delivery.stalled`."""

    node = models.OneToOneField("tmtp.Node", primary_key=True, on_delete=models.CASCADE, related_name="+")
    number = models.BigIntegerField()
    since = models.DateTimeField()
    asked = models.PositiveIntegerField(default=0)
    next_try = models.DateTimeField()

    def __str__(self) -> str:
        return format_msgid(self.number)


class Notice(models.Model):
    """That a member was told by e-mail that messages wait, and whether they want to be told."""

    account = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        verbose_name=_("member"),
        primary_key=True,
        on_delete=models.CASCADE,
        related_name="+",
    )
    last = models.DateTimeField(_("last told"), null=True, editable=False)
    unsubscribed = models.DateTimeField(_("wants no notices since"), null=True, blank=True)

    class Meta:
        verbose_name = _("notice by e-mail")
        verbose_name_plural = _("notices by e-mail")

    def __str__(self) -> str:
        return str(self.account)
