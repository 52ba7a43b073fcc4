"""Find the audience of a broadcast: users of TMTP, and accounts of the website that are no users yet.

The site itself and inactive accounts never belong to it. Nor do users that nobody owns: without an account, a name and
an identity, as a program leaves them that registers anew at every start. Conditions on
fields that the account model does not have (`is_staff`, `groups` and so on) are not offered.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group as AccountGroup
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.formats import date_format
from django.utils.text import get_text_list
from django.utils.translation import gettext as _

from tmtp.models import Alias, Group, Identity, Member, User
from tmtp.services.people.names import aliases_of

from ..errors import Refused
from ..segments import members as segment_members
from ..segments.kinds import account_has, all_accounts, midnight
from .models import Broadcast

# Conditions on accounts, with the field of the account model that each needs.
ABOUT_ACCOUNTS = {
    "account_groups": "groups",
    "staff_only": "is_staff",
    "joined_since": "date_joined",
    "joined_before": "date_joined",
    "seen_since": "last_login",
}

SAMPLE = 10  # names
LARGE = 100  # recipients


def conditions() -> list[str]:
    """Return the conditions whose fields this site's account model has."""
    return [name for name, field in ABOUT_ACCOUNTS.items() if account_has(field)]


def users(broadcast: Broadcast) -> QuerySet[User]:
    """Return the users in the audience, as of now."""
    found = User.objects.filter(is_site=False)
    if _asks_for_accounts(broadcast):
        found = found.filter(account__in=_accounts(broadcast))
    elif account_has("is_active"):
        found = found.filter(Q(account=None) | Q(account__is_active=True))
    if broadcast.segment:
        found = found.filter(segment_members.users(broadcast.segment))
    if broadcast.everyone or broadcast.segment:
        named = Alias.objects.filter(user=OuterRef("pk"), dropped=None)
        shown = Identity.objects.filter(user=OuterRef("pk"))
        found = found.filter(Q(account__isnull=False) | Exists(named) | Exists(shown))
    if groups := _named(broadcast, "groups"):
        joined = Member.objects.filter(group__in=groups, status=Member.Status.JOINED)
        found = found.filter(pk__in=joined.values("user_id"))
    return found


def groups_named(broadcast: Broadcast) -> int:
    """Return the number of groups that the broadcast names."""
    return len(_named(broadcast, "groups")) + len(_named(broadcast, "account_groups"))


def check(broadcast: Broadcast) -> None:
    """Raise Refused when the broadcast has no audience, one of its groups is gone, or a condition cannot be told."""
    if groups_named(broadcast) < broadcast.groups_named:
        raise Refused("broadcast_group_gone")
    if broadcast.segment:
        segment_members.check(broadcast.segment)
    for name in ABOUT_ACCOUNTS.keys() - set(conditions()):
        if _named(broadcast, name) if name == "account_groups" else getattr(broadcast, name):
            raise Refused("broadcast_condition", condition=name, field=ABOUT_ACCOUNTS[name])
    if not broadcast.everyone and not describe(broadcast):
        raise Refused("broadcast_for_nobody")


def accounts_without_user(broadcast: Broadcast) -> QuerySet[Any]:
    """Return the accounts in the audience that are no users of TMTP yet."""
    accounts = _accounts(broadcast).filter(tmtp_user=None)
    if broadcast.segment:
        accounts = accounts.filter(segment_members.accounts(broadcast.segment))
    return accounts.none() if _named(broadcast, "groups") else accounts


def count(broadcast: Broadcast) -> int:
    """Return the size of the audience, as of now."""
    return users(broadcast).count() + accounts_without_user(broadcast).count()


def is_large(broadcast: Broadcast, number: int) -> bool:
    """Return whether people are asked before it is sent to so many."""
    return broadcast.everyone or number >= LARGE


def sample(broadcast: Broadcast) -> list[str]:
    """Return the names of some of the audience."""
    names = [str(account) for account in accounts_without_user(broadcast).order_by("pk")[:SAMPLE]]
    some = list(users(broadcast).select_related("account").order_by("pk")[:SAMPLE])
    aliases = aliases_of(some)
    return [*(str(user.account or aliases[user.pk]) for user in some), *names][:SAMPLE]


def describe(broadcast: Broadcast) -> list[str]:
    """Return the conditions in words; an empty list when the broadcast is for everyone."""
    words = []
    if broadcast.segment:
        words.append(_("in the segment %(segment)s") % {"segment": broadcast.segment})
    if groups := [group.gid for group in Group.objects.filter(pk__in=_named(broadcast, "groups"))]:
        # Translators: whom a broadcast is sent to: those who have joined one of these groups
        words.append(_("joined %(groups)s") % {"groups": get_text_list(groups)})
    if groups := [group.name for group in AccountGroup.objects.filter(pk__in=_named(broadcast, "account_groups"))]:
        # Translators: whom a broadcast is sent to: those who are in one of these groups of accounts
        words.append(_("in %(groups)s") % {"groups": get_text_list(groups)})
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


def _named(broadcast: Broadcast, groups: str) -> list[int]:
    """Return the ids of the groups that it names; none if it is not saved."""
    return list(getattr(broadcast, groups).values_list("pk", flat=True)) if broadcast.pk else []


def _accounts(broadcast: Broadcast) -> QuerySet[Any]:
    found = all_accounts()
    if groups := _named(broadcast, "account_groups"):
        inside = all_accounts().filter(groups__in=groups)
        found = found.filter(pk__in=inside.values("pk"))
    if broadcast.staff_only:
        found = found.filter(is_staff=True)
    if broadcast.joined_since:
        found = found.filter(date_joined__gte=midnight(broadcast.joined_since))
    if broadcast.joined_before:
        found = found.filter(date_joined__lt=midnight(broadcast.joined_before))
    if broadcast.seen_since:
        found = found.filter(last_login__gte=midnight(broadcast.seen_since))
    return found


def _asks_for_accounts(broadcast: Broadcast) -> bool:
    named = ABOUT_ACCOUNTS.keys() - {"account_groups"}
    return any(getattr(broadcast, name) for name in named) or bool(_named(broadcast, "account_groups"))
