"""What servers count and measure, for people and programs that watch them (docs/decisions/0024-observability.md)."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from .nodes import ServerLease


class ServerFigures(models.Model):
    """The latest figures of a running server, renewed every few seconds. Counters begin when the server starts."""

    server = models.OneToOneField(
        ServerLease, on_delete=models.CASCADE, primary_key=True, db_constraint=False, related_name="figures"
    )
    at = models.DateTimeField(_("time"))
    values = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("figures of a server")
        verbose_name_plural = _("figures of servers")

    def __str__(self) -> str:
        return str(self.server_id)


class Sample(models.Model):
    """The figures at the beginning of a minute: of a server, by its lease, or with WHOLE of the whole service.

    Counters only rise as long as a server runs, so samples in between can be deleted.
    """

    WHOLE = 0

    at = models.DateTimeField(_("time"))
    server = models.BigIntegerField(_("server"), default=WHOLE)
    values = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("sample")
        verbose_name_plural = _("samples")
        constraints = [models.UniqueConstraint(fields=["at", "server"], name="tmtp_one_sample")]

    def __str__(self) -> str:
        return f"{self.at} {self.server}"
