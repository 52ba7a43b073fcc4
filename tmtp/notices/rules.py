"""Which new messages a member is told of, and when not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, Literal
from zoneinfo import ZoneInfo

from django.utils import timezone

from tmtp.mailbox.models import Thread
from tmtp.mailbox.summary import GROUP, PING
from tmtp.protocol.values import looks_like_uid
from tmtp.times import aware

from .models import Kind, Override, Preferences

Channel = Literal["desktop", "push", "digest"]
What = Override.What


@dataclass(frozen=True)
class Rules:
    """What a member has chosen, and the exceptions by (what, key)."""

    preferences: Preferences
    overrides: Mapping[tuple[str, str], str]

    def wants(self, thread: Thread, channel: Channel) -> bool:
        """Return whether the member is told of news in a thread. A thread's exception comes before its groups'."""
        if thread.muted:
            return False
        choices = self._choices([(What.THREAD, thread.key)])
        choices = choices or self._choices([(What.GROUP, gid) for gid in groups_of(thread)])
        if choices:
            return Override.Choice.NEVER not in choices
        return channel == "digest" or kind_of(thread) in getattr(self.preferences, channel)

    def _choices(self, keys: Iterable[tuple[str, str]]) -> set[str]:
        return {self.overrides[key] for key in keys if key in self.overrides}

    def is_quiet(self, now: datetime) -> bool:
        """Return whether it is in the member's quiet hours. They may begin before midnight and end after it."""
        begin, end = self.preferences.quiet_from, self.preferences.quiet_until
        if begin is None or end is None or begin == end:
            return False
        time = aware(now).astimezone(zone_of(self.preferences)).time()
        return begin <= time < end if begin < end else time >= begin or time < end


def rules_of(account: Any) -> Rules:
    """Return the rules of a member."""
    return all_rules([account])[account.pk]


def all_rules(accounts: Iterable[Any]) -> dict[Any, Rules]:
    """Return the rules of members, by the accounts' primary keys."""
    wanted = {account.pk: account for account in accounts}
    rows = Preferences.objects.in_bulk(list(wanted))
    overrides: dict[Any, dict[tuple[str, str], str]] = {pk: {} for pk in wanted}
    for one in Override.objects.filter(account__in=list(wanted)):
        overrides[one.account_id][one.what, one.key] = one.choice
    return {pk: Rules(rows.get(pk) or Preferences(account=account), overrides[pk]) for pk, account in wanted.items()}


def kind_of(thread: Thread) -> Kind:
    """Return the kind of the messages in a thread."""
    if thread.key.startswith(PING):
        return Kind.PINGS
    return Kind.GROUPS if groups_of(thread) else Kind.MESSAGES


def groups_of(thread: Thread) -> list[str]:
    """Return the gids of the groups that take part in a thread, or that it is about."""
    if thread.key.startswith(GROUP):
        return [thread.key.removeprefix(GROUP)]
    return [name for name in thread.participants or () if not looks_like_uid(name)]


def zone_of(preferences: Preferences) -> tzinfo:
    """Return the member's time zone."""
    if preferences.time_zone:
        with suppress(KeyError, ValueError, OSError):  # zones are renamed and removed now and then
            return ZoneInfo(preferences.time_zone)
    return timezone.get_default_timezone()
