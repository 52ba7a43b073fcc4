"""What is counted under TMTP["LIMITS"], over all processes."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class LimitCount(models.Model):
    """An amount that counts under a limit: what was spent of a rate, or how many links a server has open.

    `key` is a keyed hash of the limit's name and of whom it applies to (`services.queue.limit_counts`), so that no
    addresses or uids are kept. Of a rate there is one row, with `server` 0: `amount` was spent at the time `counted`,
    and `rate` is given back each second, until nothing is left at `until`. Times are seconds since the epoch, by the
    database's clock.
    """

    pk = models.CompositePrimaryKey("key", "server")
    key = models.BigIntegerField()
    server = models.BigIntegerField()
    amount = models.FloatField()
    rate = models.FloatField(default=0)
    counted = models.FloatField(default=0)
    until = models.FloatField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["until"], condition=Q(until__isnull=False), name="tmtp_limit_until"),
            models.Index(fields=["server"], condition=Q(server__gt=0), name="tmtp_limit_server"),
        ]

    def __str__(self) -> str:
        return f"{self.amount}"
