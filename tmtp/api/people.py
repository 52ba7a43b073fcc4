"""Find the users and groups that a request names."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from django.contrib.auth import get_user_model

from tmtp.conf import import_dotted
from tmtp.email_spelling import normalise, spellings
from tmtp.models import Alias, Group, User
from tmtp.services.people.linking import users_of

from .conf import conf
from .errors import Refused
from .models import Token, TokenUser
from .schemas import PEOPLE_MAX, People, Recipients


def recipients(token: Token, named: Recipients) -> list[User | Group]:
    """Return people and groups, each once. Raise Refused as `people` does, and for a group that is not the token's."""
    found: list[User | Group] = [*_users(token, named), *_groups(token, named.groups)]
    if not found:
        raise Refused("no_recipient")
    return found


def people(token: Token, named: People) -> list[User]:
    """Return people, each once. Raise Refused, with the name, for one who is not there, or if nobody is named."""
    found = _users(token, named)
    if not found:
        raise Refused("no_recipient")
    return found


def _users(token: Token, named: People) -> list[User]:
    ways = (named.names, named.uids, named.usernames, named.emails, named.external_ids)
    if sum(map(len, ways)) > PEOPLE_MAX:
        raise Refused("recipients_too_many", most=PEOPLE_MAX)
    found = [
        *_all_of(named.names, _by_name(_clean(named.names))),
        *_all_of(named.uids, {user.uid: user for user in User.objects.filter(uid__in=_clean(named.uids))}),
        *_all_of(named.usernames, _by_username(_clean(named.usernames))),
        *_all_of(named.emails, _by_email(named.emails)),
        *_all_of(named.external_ids, _by_external_id(token, _clean(named.external_ids))),
    ]
    return list(dict.fromkeys(found))


def _all_of(names: Iterable[str], found: dict[str, User]) -> list[User]:
    for name in names:
        if name not in found:
            raise Refused("recipient_missing", recipient=name)
    return [found[name] for name in names]


def _clean(names: Iterable[str]) -> list[str]:
    """Return the names that the database can be asked for. PostgreSQL raises an error for NUL."""
    return [name for name in names if "\0" not in name]


def _by_name(names: Collection[str]) -> dict[str, User]:
    aliases = Alias.objects.filter(name__in=names, dropped=None, user__isnull=False).select_related("user")
    return {alias.name: alias.user for alias in aliases if alias.user}


def _by_username(names: Collection[str]) -> dict[str, User]:
    model: Any = get_user_model()
    if not names:
        return {}
    accounts = list(model._default_manager.filter(**{f"{model.USERNAME_FIELD}__in": names}))
    users = users_of(accounts)
    return {account.get_username(): users[account.pk] for account in accounts}


def _by_email(addresses: Collection[str]) -> dict[str, User]:
    """Return users by the address as it was given. Addresses are compared in their one spelling."""
    if not addresses:
        return {}
    if not conf.EMAIL_ADDRESSES:
        raise Refused("emails_off")
    asked = {form for address in _clean(addresses) for form in spellings(address)}
    accounts = import_dotted(conf.EMAIL_ADDRESSES).users_by_address(asked)
    users = users_of(list(accounts.values()))
    by_spelling = {normalise(address): users[account.pk] for address, account in accounts.items()}
    return {address: by_spelling[normalise(address)] for address in addresses if normalise(address) in by_spelling}


def _by_external_id(token: Token, ids: Collection[str]) -> dict[str, User]:
    own = TokenUser.objects.filter(token=token, external_id__in=ids).select_related("user")
    return {one.external_id: one.user for one in own}


def _groups(token: Token, gids: Collection[str]) -> list[Group]:
    if not gids:
        return []
    found = {group.gid: group for group in token.groups.filter(gid__in=_clean(gids))}
    for gid in gids:
        if gid not in found:
            raise Refused("group_not_found", gid=gid)
    return [found[gid] for gid in dict.fromkeys(gids)]
