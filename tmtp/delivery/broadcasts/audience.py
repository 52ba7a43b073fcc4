"""Whom a broadcast is for: users of TMTP, and members of the website who are none yet.

Never the site itself, nor who has an account that is not active. What an account model does not know (`is_staff`,
`groups`, …) no condition can ask for.
"""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from tmtp.models import Member, User

from ..errors import Refused
from .models import Broadcast

# Conditions on accounts, and the field of the account model that each needs.
ABOUT_ACCOUNTS = {
    "account_groups": "groups",
    "staff_only": "is_staff",
    "joined_since": "date_joined",
    "joined_before": "date_joined",
    "seen_since": "last_login",
}


def conditions() -> list[str]:
    """The conditions that this site's account model can answer."""
    return [name for name, field in ABOUT_ACCOUNTS.items() if _account_has(field)]


def users(broadcast: Broadcast) -> QuerySet[User]:
    """The users it is for, as of now."""
    found = User.objects.filter(is_site=False)
    if _asks_for_accounts(broadcast):
        found = found.filter(account__in=_accounts(broadcast))
    elif _account_has("is_active"):
        found = found.filter(Q(account=None) | Q(account__is_active=True))
    groups = list(broadcast.groups.values_list("pk", flat=True))
    if groups:
        joined = Member.objects.filter(group__in=groups, status=Member.Status.JOINED)
        found = found.filter(pk__in=joined.values("user_id"))
    return found


def groups_named(broadcast: Broadcast) -> int:
    """How many groups it names."""
    return broadcast.groups.count() + broadcast.account_groups.count()


def check(broadcast: Broadcast) -> None:
    """Raises Refused when nothing says whom it is for, or when a group that did is gone."""
    if groups_named(broadcast) < broadcast.groups_named:
        raise Refused("broadcast_group_gone")
    if not broadcast.everyone and not described(broadcast):
        raise Refused("broadcast_for_nobody")


def newcomers(broadcast: Broadcast) -> QuerySet[Any]:
    """The accounts it is for that are no users of TMTP yet."""
    accounts = _accounts(broadcast).filter(tmtp_user=None)
    return accounts.none() if broadcast.groups.exists() else accounts


def count(broadcast: Broadcast) -> int:
    """How many it is for, as of now."""
    return users(broadcast).count() + newcomers(broadcast).count()


def described(broadcast: Broadcast) -> list[str]:
    """The conditions in words; none when it is for everyone."""
    words = []
    if groups := [group.gid for group in broadcast.groups.all()]:
        words.append(_("joined %(groups)s") % {"groups": _(" or ").join(groups)})
    if groups := [group.name for group in broadcast.account_groups.all()]:
        words.append(_("in %(groups)s") % {"groups": _(" or ").join(groups)})
    if broadcast.staff_only:
        words.append(_("staff"))
    for day, text in (
        (broadcast.joined_since, _("signed up since %(day)s")),
        (broadcast.joined_before, _("signed up before %(day)s")),
        (broadcast.seen_since, _("signed in since %(day)s")),
    ):
        if day:
            words.append(text % {"day": date_format(day)})
    return words


def _accounts(broadcast: Broadcast) -> QuerySet[Any]:
    found = get_user_model()._default_manager.all()
    if _account_has("is_active"):
        found = found.filter(is_active=True)
    if groups := list(broadcast.account_groups.values_list("pk", flat=True)):
        inside = get_user_model()._default_manager.filter(groups__in=groups)
        found = found.filter(pk__in=inside.values("pk"))
    if broadcast.staff_only:
        found = found.filter(is_staff=True)
    if broadcast.joined_since:
        found = found.filter(date_joined__gte=_midnight(broadcast.joined_since))
    if broadcast.joined_before:
        found = found.filter(date_joined__lt=_midnight(broadcast.joined_before))
    if broadcast.seen_since:
        found = found.filter(last_login__gte=_midnight(broadcast.seen_since))
    return found


def _asks_for_accounts(broadcast: Broadcast) -> bool:
    named = ABOUT_ACCOUNTS.keys() - {"account_groups"}
    return any(getattr(broadcast, name) for name in named) or broadcast.account_groups.exists()


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))


def _account_has(field: str) -> bool:
    try:
        get_user_model()._meta.get_field(field)
    except FieldDoesNotExist:
        return False
    return True
