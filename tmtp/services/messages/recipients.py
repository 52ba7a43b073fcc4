"""Resolve the recipients that the site's code names: members of the website, users, groups, uids, aliases, gids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Model

from ...models import Alias, Group, User
from ..errors import Refused
from ..people.linking import users_of

AT_ONCE = 5000


def resolve(to: Any) -> tuple[list[User], list[Group]]:
    """Return the users and groups that `to` names, each once, in order. See `send_message` for `to`.

    Create users for members of the website who have none. Raise Refused, with the name, for an unknown recipient.
    """
    named = _each(to)
    found: dict[Any, User | Group] = {}
    for start in range(0, len(named), AT_ONCE):
        some = named[start : start + AT_ONCE]
        _check_there(some)
        accounts = {one.pk: one for one in some if isinstance(one, get_user_model())}
        users = users_of(list(accounts.values())) if accounts else {}
        names = _named({str(one) for one in some if not isinstance(one, Model)})
        for one in some:
            recipient = _recipient(one, users, names)
            found[type(recipient), recipient.pk] = recipient
    if not found:
        raise Refused("no_recipient")
    people = [one for one in found.values() if isinstance(one, User)]
    return people, [one for one in found.values() if isinstance(one, Group)]


def _check_there(some: Sequence[Any]) -> None:
    """Raise Refused if one of these objects is not saved, or has been deleted."""
    for model in (get_user_model(), User, Group):
        ours = [one for one in some if isinstance(one, model)]
        if ours:
            keys = {one.pk for one in ours} - {None}
            there = set(model._base_manager.filter(pk__in=keys).values_list("pk", flat=True))
            for one in ours:
                if one.pk not in there:
                    raise Refused("recipient_not_saved", recipient=str(one))


def _each(to: Any) -> list[Any]:
    if isinstance(to, Iterable) and not isinstance(to, str | bytes | Model):
        return list(to)
    return [to]


def _recipient(one: Any, users: dict[Any, User], names: dict[str, User | Group]) -> User | Group:
    if isinstance(one, User | Group):
        return one
    if isinstance(one, get_user_model()):
        return users[one.pk]
    recipient = None if isinstance(one, Model) else names.get(str(one))
    if recipient is None:
        raise Refused("recipient_unknown", recipient=str(one))
    return recipient


def _named(names: set[str]) -> dict[str, User | Group]:
    """Return the users and groups with these aliases, uids and gids."""
    names = {name for name in names if name.isprintable()}  # PostgreSQL raises an error for some others
    if not names:
        return {}
    found: dict[str, User | Group] = {group.gid: group for group in Group.objects.filter(gid__in=names)}
    for alias in Alias.objects.filter(name__in=names, dropped=None, user__isnull=False).select_related("user"):
        if alias.user:
            found[alias.name] = alias.user
    return found | {user.uid: user for user in User.objects.filter(uid__in=names)}
