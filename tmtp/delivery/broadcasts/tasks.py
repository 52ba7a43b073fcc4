"""What workers run for broadcasts. Any task may run twice, even at the same time, and may die at any time."""

from __future__ import annotations

import time
from contextlib import suppress

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from tmtp.models import SentMessage
from tmtp.services.messages.recall import recall

from ..budget import Budget, let_others_write
from ..errors import Refused
from ..one_of_many import guarded
from ..private_errors import quoting_nobody
from ..workers import run_soon
from . import lifecycle
from .lifecycle import RUN, TAKE_BACK
from .models import Broadcast, Part
from .sending import send, unattended

RECALLED_AT_ONCE = 100


@quoting_nobody
def run(pk: int) -> None:
    """Send a broadcast for a while, then let other tasks have the worker."""
    budget = Budget()
    if send(pk, lambda: budget):
        run_soon(RUN, pk)


@quoting_nobody
def take_back(pk: int) -> None:
    """Recall the messages of a broadcast for a while: a portion's message, or many personal ones, in a transaction."""
    budget = Budget()
    parts = Part.objects.filter(broadcast=pk)
    at_once = RECALLED_AT_ONCE if any(one.is_personal for one in Broadcast.objects.filter(pk=pk)) else 1
    while some := list(SentMessage.objects.filter(pk__in=parts.values("pk"), recalled=None)[:at_once]):
        if not budget:
            run_soon(TAKE_BACK, pk)
            return
        begun = time.monotonic()
        with transaction.atomic():
            for message in some:
                recall(message.msgid)
        let_others_write(time.monotonic() - begun)


def _begin(broadcast: Broadcast) -> None:
    with suppress(Refused):  # another worker was faster, or it has been deleted
        lifecycle.begin_due(broadcast)


@quoting_nobody
def start_due() -> None:
    """Start the broadcasts that are due, and continue those on which no worker works. Runs each minute."""
    due = Broadcast.objects.filter(state=Broadcast.State.SCHEDULED, send_at__lte=timezone.now())
    for broadcast in due:
        guarded(_begin, broadcast)
    for broadcast in unattended().exclude(pk__in=[one.pk for one in due]):
        run_soon(RUN, broadcast.pk)
    left = Part.objects.filter(broadcast=OuterRef("pk"), message__recalled=None)
    for pk in Broadcast.objects.filter(Exists(left), recalled__isnull=False).values_list("pk", flat=True):
        run_soon(TAKE_BACK, pk)
