"""What workers run for broadcasts. Any task may run twice, at once too, and may die at any time."""

from __future__ import annotations

import time
from contextlib import suppress

from django.db.models import Exists, OuterRef
from django.utils import timezone
from django_q.tasks import async_task

from tmtp.models import SentMessage
from tmtp.services.errors import Refused
from tmtp.services.messages.recall import recall

from ..work import Budget
from .models import Broadcast, Part
from .sending import let_others_write, unattended, work
from .verbs import RUN, TAKE_BACK, start


def run(pk: int) -> None:
    """Send a broadcast on for a while, then let others have the worker."""
    budget = Budget()
    if work(pk, lambda: budget):
        async_task(RUN, pk)


def take_back(pk: int) -> None:
    """Recall the messages of a broadcast, for a while; each in a transaction of its own."""
    budget = Budget()
    for message in SentMessage.objects.filter(pk__in=Part.objects.filter(broadcast=pk), recalled=None):
        if not budget:
            async_task(TAKE_BACK, pk)
            return
        begun = time.monotonic()
        recall(message.msgid)
        let_others_write(time.monotonic() - begun)


def look() -> None:
    """Each minute: begin what is due, and take up what nobody works at."""
    due = Broadcast.objects.filter(state=Broadcast.State.SCHEDULED, send_at__lte=timezone.now())
    for broadcast in due:
        with suppress(Refused):  # somebody was faster
            start(broadcast)
    for broadcast in unattended().exclude(pk__in=[one.pk for one in due]):
        async_task(RUN, broadcast.pk)
    left = Part.objects.filter(broadcast=OuterRef("pk"), message__recalled=None)
    for pk in Broadcast.objects.filter(Exists(left), recalled__isnull=False).values_list("pk", flat=True):
        async_task(TAKE_BACK, pk)
