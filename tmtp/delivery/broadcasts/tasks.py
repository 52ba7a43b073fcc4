"""What workers run for broadcasts. Any task may run twice, even at the same time, and may die at any time."""

from __future__ import annotations

import time
from contextlib import suppress

from django.db.models import Exists, OuterRef
from django.utils import timezone

from tmtp.models import SentMessage
from tmtp.services.messages.recall import recall

from ..budget import Budget, let_others_write
from ..errors import Refused
from ..private_errors import quoting_nobody
from ..workers import run_soon
from .lifecycle import RUN, TAKE_BACK, start
from .models import Broadcast, Part
from .sending import send, unattended


@quoting_nobody
def run(pk: int) -> None:
    """Send a broadcast for a while, then let other tasks have the worker."""
    budget = Budget()
    if send(pk, lambda: budget):
        run_soon(RUN, pk)


@quoting_nobody
def take_back(pk: int) -> None:
    """Recall the messages of a broadcast for a while, each in a transaction of its own."""
    budget = Budget()
    for message in SentMessage.objects.filter(pk__in=Part.objects.filter(broadcast=pk), recalled=None):
        if not budget:
            run_soon(TAKE_BACK, pk)
            return
        begun = time.monotonic()
        recall(message.msgid)
        let_others_write(time.monotonic() - begun)


@quoting_nobody
def start_due() -> None:
    """Start the broadcasts that are due, and continue those on which no worker works. Runs each minute."""
    due = Broadcast.objects.filter(state=Broadcast.State.SCHEDULED, send_at__lte=timezone.now())
    for broadcast in due:
        with suppress(Refused):  # another worker was faster
            start(broadcast)
    for broadcast in unattended().exclude(pk__in=[one.pk for one in due]):
        run_soon(RUN, broadcast.pk)
    left = Part.objects.filter(broadcast=OuterRef("pk"), message__recalled=None)
    for pk in Broadcast.objects.filter(Exists(left), recalled__isnull=False).values_list("pk", flat=True):
        run_soon(TAKE_BACK, pk)
