"""What this app adds to the export of a member's data: what they want to be told, and the browsers that are told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from tmtp.members_data.archive import Part, json_part
from tmtp.models import User

from .models import Override, Preferences, Subscription

FIELDS = ("desktop", "push", "show_sender", "digest", "quiet_from", "quiet_until", "time_zone", "language")


def parts(account: Any, user: User) -> Iterator[Part]:
    """Yield one part. Of a browser's address only the host is in it: whoever has the rest can send notices."""
    if account is None:
        return
    browsers = Subscription.objects.filter(account=account).order_by("pk")
    yield json_part(
        "notifications.json",
        {
            "preferences": Preferences.objects.filter(account=account).values(*FIELDS).first(),
            "exceptions": list(Override.objects.filter(account=account).values("what", "key", "choice")),
            "browsers": [{"at": urlsplit(one.endpoint).hostname, "since": one.created} for one in browsers],
        },
    )
