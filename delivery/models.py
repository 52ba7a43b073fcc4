"""What the policies remember. Messages themselves are in `tmtp`."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from .broadcasts.models import Broadcast, Part, Recipient

__all__ = ["Broadcast", "Mark", "Part", "Recipient"]


class Mark(models.Model):
    """When something was last done, and how far it came. See `delivery.marks`."""

    name = models.CharField(_("name"), max_length=50, primary_key=True)
    at = models.DateTimeField(_("at"), null=True)
    number = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = _("mark")
        verbose_name_plural = _("marks")

    def __str__(self) -> str:
        return self.name
