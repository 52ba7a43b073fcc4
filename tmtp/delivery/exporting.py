"""What this app adds to the export of a member's data: when they were told by e-mail that messages wait."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tmtp.members_data.archive import Part, json_part
from tmtp.models import User

from .models import Notice


def parts(account: Any, user: User) -> Iterator[Part]:
    notice = Notice.objects.filter(account=account).values("last", "unsubscribed").first() if account else None
    if notice:
        yield json_part("notices-by-email.json", notice)
