"""A segment, and its conditions."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _


class Segment(models.Model):
    """Members who meet all or any of the conditions, and none of those that exclude."""

    class Match(models.TextChoices):
        """How the conditions are combined."""

        ALL = "all", _("all of the conditions")
        ANY = "any", _("at least one of the conditions")

    name = models.CharField(_("name"), max_length=100, unique=True)
    match = models.CharField(
        _("members meet"),
        max_length=3,
        choices=Match,
        default=Match.ALL,
        help_text=_("Conditions that exclude do not count. If there are no others, all members but those are meant."),
    )

    class Meta:
        verbose_name = _("segment")
        verbose_name_plural = _("segments")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Condition(models.Model):
    """A condition on members: its kind, one of `tmtp.delivery.segments.kinds`, and the value that some kinds need."""

    segment = models.ForeignKey(Segment, on_delete=models.CASCADE, related_name="conditions")
    exclude = models.BooleanField(_("exclude"), default=False)
    kind = models.CharField(_("condition"), max_length=50)
    value = models.CharField(
        _("value"),
        max_length=255,
        blank=True,
        help_text=_("A date such as 2026-01-31, a number of days before today, or the name of what is meant."),
    )

    class Meta:
        verbose_name = _("condition")
        verbose_name_plural = _("conditions")
        ordering = ["pk"]

    def __str__(self) -> str:
        from .kinds import available

        kind = available().get(self.kind)
        return f"{kind.label if kind else self.kind} {self.value}".strip()

    def clean(self) -> None:
        """Refuse a kind that this site does not have, and a value that makes no sense."""
        from .kinds import available

        kind = available().get(self.kind)
        if kind is None:
            raise ValidationError({"kind": _("This site has no such condition.")})
        try:
            kind.parsed(self.value)
        except ValidationError as error:
            raise ValidationError({"value": error.messages}) from None
