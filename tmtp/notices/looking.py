"""Whether a member looks at a page of the site. Then nothing is sent to them: the page shows what is new.

A page says so when it comes in front of the member, every minute while it is there, and when it is left. What it says
may arrive in another order, and the last of it never, if the browser or the network fails. So each page numbers what
it says, and the site believes it for `LOOKING`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from .models import OpenPage

LOOKING = timedelta(seconds=90)
REMEMBERED = timedelta(minutes=10)  # longer than a request may be on its way
PAGES_MAX = 100  # of a member; those that said something last are remembered


def note(account: Any, page: str, word: int, visible: bool) -> None:
    """Note what a page says, unless something that it has said later has arrived."""
    said = {"word": word, "visible": visible, "at": timezone.now()}
    with transaction.atomic():
        OpenPage.objects.bulk_create([OpenPage(account=account, page=page, **said)], ignore_conflicts=True)
        OpenPage.objects.filter(account=account, page=page, word__lt=word).update(**said)
    mine = OpenPage.objects.filter(account=account).order_by("-at", "-pk")
    if too_many := list(mine.values_list("pk", flat=True)[PAGES_MAX:]):
        OpenPage.objects.filter(pk__in=too_many).delete()


def is_looking(account: Any) -> bool:
    """Return whether a page is in front of the member."""
    return OpenPage.objects.filter(account=account, visible=True, at__gt=timezone.now() - LOOKING).exists()


def forget_old() -> None:
    """Forget pages that have said nothing for long."""
    OpenPage.objects.filter(at__lt=timezone.now() - REMEMBERED).delete()
