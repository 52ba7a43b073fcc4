"""The log of changes made through the API."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from .conf import conf
from .models import LoggedCall
from .tokens import token_of

PURGED_AT_ONCE = 1000


@contextmanager
def change(request: HttpRequest, action: str, subject: str = "") -> Iterator[LoggedCall]:
    """Make a change in one transaction together with its entry in the log. The block may set `subject`."""
    entry = LoggedCall(name=token_of(request).name, action=action, subject=subject)
    with transaction.atomic():
        yield entry
        entry.subject = entry.subject[:255]
        entry.save()


def purge(**_: Any) -> None:
    """Delete some entries that are older than LOG_KEPT. Receives `tmtp.signals.housekeeping`."""
    if conf.LOG_KEPT is not None:
        old = LoggedCall.objects.filter(at__lt=timezone.now() - timedelta(seconds=conf.LOG_KEPT))
        LoggedCall.objects.filter(
            pk__in=list(old.order_by("at").values_list("pk", flat=True)[:PURGED_AT_ONCE])
        ).delete()
