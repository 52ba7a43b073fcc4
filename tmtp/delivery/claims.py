"""Claims: one worker at a time does a piece of work, and another one does it when the first has died.

Whoever does the work holds a claim that expires after `TMTP_DELIVERY["CLAIM_FOR"]` seconds unless it is renewed. A
claim only keeps workers apart. Because it may expire while its holder still runs, every change that the holder makes
must be limited to the rows that it still holds: see `held`.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.db import Error, connection, models
from django.db.models import Q, QuerySet
from django.utils import timezone

from .conf import conf

log = logging.getLogger("tmtp.delivery")


class Claimable(models.Model):
    """A row that stands for a piece of work. `claim` is empty when nobody does it."""

    claim = models.CharField(max_length=32, blank=True, default="", editable=False)
    claimed_until = models.DateTimeField(null=True, editable=False)

    class Meta:
        abstract = True


Row = TypeVar("Row", bound=Claimable)


def is_free() -> Q:
    """Return the condition that nobody holds a claim, or that it has expired."""
    return Q(claimed_until=None) | Q(claimed_until__lt=timezone.now())


def take(rows: QuerySet[Row], **changes: Any) -> str:
    """Claim those of the rows that are free, and apply `changes` to them.

    Return the new claim; an empty string when no row was free.
    """
    claim = secrets.token_hex(16)
    return claim if rows.filter(is_free()).update(claim=claim, claimed_until=_expiry(), **changes) else ""


def held(rows: QuerySet[Row], claim: str) -> QuerySet[Row]:
    """Return those of the rows that are still held under a claim."""
    return rows.filter(claim=claim)


def renew(rows: QuerySet[Row]) -> None:
    """Postpone the expiry of the claims on rows."""
    rows.update(claimed_until=_expiry())


def release(rows: QuerySet[Row], **changes: Any) -> int:
    """End the claims on rows, and apply `changes` to them. Return the number of rows."""
    return rows.update(claim="", claimed_until=None, **changes)


@contextmanager
def renewing(rows: QuerySet[Row]) -> Iterator[None]:
    """Renew the claims on rows, in a thread, while the block runs."""
    ended = threading.Event()

    def run() -> None:
        try:
            while not ended.wait(conf.CLAIM_FOR / 3):
                try:
                    renew(rows)
                except Error as error:
                    log.warning("a claim could not be renewed: %s", error)
        finally:
            connection.close()

    thread = threading.Thread(target=run, name="tmtp-delivery-claim", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _expiry() -> datetime:
    return timezone.now() + timedelta(seconds=conf.CLAIM_FOR)
