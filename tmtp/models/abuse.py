"""Reports of abuse, which members send to the site's admins."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from ..protocol.values import NAME_MAX_CHARACTERS, format_msgid
from .groups import Group
from .people import User


class AbuseReport(models.Model):
    """A report about a message, a member or a group.

    `name` is the alias or gid under which the reporter knows what they report. `text` is that of the message, and is
    empty unless the reporter has agreed to send it.
    """

    class Reason(models.IntegerChoices):
        SPAM = 1, _("spam")
        HARASSMENT = 2, _("harassment or threats")
        ILLEGAL = 3, _("illegal content")
        IMPERSONATION = 4, _("impersonation")
        OTHER = 5, _("other")

    class State(models.IntegerChoices):
        OPEN = 1, _("open")
        RESOLVED = 2, _("resolved")
        DISMISSED = 3, _("dismissed")

    reporter = models.ForeignKey(
        User, verbose_name=_("reported by"), null=True, on_delete=models.SET_NULL, related_name="abuse_reports_made"
    )
    user = models.ForeignKey(
        User, verbose_name=_("reported user"), null=True, on_delete=models.SET_NULL, related_name="abuse_reports"
    )
    group = models.ForeignKey(
        Group, verbose_name=_("reported group"), null=True, on_delete=models.SET_NULL, related_name="abuse_reports"
    )
    message = models.BigIntegerField(_("message"), null=True)
    name = models.CharField(_("known as"), max_length=NAME_MAX_CHARACTERS)
    reason = models.PositiveSmallIntegerField(_("reason"), choices=Reason)
    comment = models.TextField(_("comment"), blank=True)
    text = models.TextField(_("text of the message"), blank=True)
    created = models.DateTimeField(_("created"), auto_now_add=True)
    state = models.PositiveSmallIntegerField(_("state"), choices=State, default=State.OPEN)
    note = models.TextField(_("note of the admins"), blank=True)
    handled = models.DateTimeField(_("handled"), null=True)
    handled_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("handled by"),
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )

    class Meta:
        verbose_name = _("report of abuse")
        verbose_name_plural = _("reports of abuse")
        indexes = [models.Index(fields=["state", "-created"], name="tmtp_abuse_by_state")]

    def __str__(self) -> str:
        return self.name

    @property
    def msgid(self) -> str:
        """The message id of the protocol, or an empty string."""
        return "" if self.message is None else format_msgid(self.message)
